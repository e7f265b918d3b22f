"""Products that must be declared, and models that do unusual things around them."""

import math
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nodepath import measure
from nodepath.errors import UnknownOperationError
from nodepath.paths import control

X = torch.zeros(1, 4)


class Product(nn.Module):
    def __init__(self, declare=lambda x: x) -> None:
        super().__init__()
        self.a, self.b, self.head, self.declare = nn.Linear(4, 5), nn.Linear(4, 5), nn.Linear(5, 2), declare

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.a(x) * self.declare(self.b(x)))


def test_two_unmarked_factors_raise_an_error_that_says_how_to_declare_the_product():
    with pytest.raises(UnknownOperationError, match=r"mul.*multiplies two activations.*nodepath\.paths\.control"):
        measure(Product(), X)


@pytest.mark.parametrize("broadcast", [lambda s: s.a.weight.new_ones(1), lambda s: 2.0])
def test_constant_factors_need_no_declaration(broadcast):
    model = Product()
    model.forward = lambda x: model.head(model.a(x) * broadcast(model))
    assert measure(model, X).log10_paths == pytest.approx(math.log10(4 * 5 * 2))


def test_a_declared_factor_is_the_control():
    topology = measure(Product(control), X)
    assert topology.log10_paths == pytest.approx(math.log10(4 * 5 * 2))
    assert topology.control == 20
    assert topology.control_nodes == 5
    assert [layer.control for layer in topology.layers] == [0, 20, 0]


def test_a_model_of_others_is_declared_by_a_hook():
    model = Product()
    model.b.register_forward_hook(lambda module, inputs, made: control(made))
    assert measure(model, X).control == 20


def test_outside_of_a_measurement_control_returns_the_very_tensor():
    x = torch.randn(3)
    assert control(x) is x


def test_an_output_that_is_a_product_of_two_activations_raises():
    class Gram(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(4, 5)

        def forward(self, x: Tensor) -> Tensor:
            y = self.a(x)
            return y @ y.mT

    with pytest.raises(UnknownOperationError, match="product of two activations"):
        measure(Gram(), X)


def test_what_reads_attention_scores_beside_values_raises():
    class Interaction(Product):
        def forward(self, x: Tensor) -> Tensor:
            y = self.a(x)
            return torch.cat([y, (y.unsqueeze(2) @ self.b(x).unsqueeze(1)).flatten(1)], 1)

    with pytest.raises(UnknownOperationError, match="beside what carries paths"):
        measure(Interaction(), X)


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_blocks_are_counted(reentrant):
    class Checkpointed(nn.Module):
        def __init__(self, how) -> None:
            super().__init__()
            self.block, self.head, self.how = (
                nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 4)),
                nn.Linear(4, 2),
                how,
            )

        def forward(self, x: Tensor) -> Tensor:
            made = self.block(x) if self.how is None else checkpoint(self.block, x, use_reentrant=self.how)
            return self.head(x + made)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of checkpoint: nothing requires a gradient
        assert measure(Checkpointed(reentrant), X) == measure(Checkpointed(None), X)


def test_nan_in_weights_and_buffers_does_not_count():
    class Biased(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.qkv = nn.LayerNorm(4), nn.Linear(4, 12)
            self.register_buffer("bias", torch.zeros(3, 3))

        def forward(self, x: Tensor) -> Tensor:
            q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
            return (q @ k.mT + self.bias).softmax(-1) @ v

    model, x = Biased(), torch.zeros(1, 3, 4)
    clean = measure(model, x)
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data.fill_(torch.nan)
    assert measure(model, x) == clean
    assert clean.log10_paths == pytest.approx(math.log10(9 * 4 * 4))


def test_functional_gates_that_overwrite_their_value_are_counted():
    class InPlace(Product):
        def forward(self, x: Tensor) -> Tensor:
            y = self.a(x)
            y *= torch.sigmoid(self.b(x))
            return self.head(F.relu_(y))

    assert measure(InPlace(), X).control == 20
