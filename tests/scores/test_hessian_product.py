"""The Hessian of the loss times a vector, against the whole Hessian."""

import pytest
import torch
import torch.nn.functional as F
from smooth_net import NAMES, SmoothNet, about, data, flat, generator, hessian_by_hand, unflat
from torch import Tensor, nn

from nodepath.errors import ArgumentError, InputMismatchError
from nodepath.paths import Network
from nodepath.scores import Batch, Subject

MODES = ["eval-identity", "frozen", "train-batch"]


def vector(model: nn.Module) -> dict[str, Tensor]:
    size = sum(model.get_parameter(name).numel() for name in NAMES)
    return unflat(model, torch.randn(size, generator=generator(9), dtype=torch.float64))


@pytest.mark.parametrize("mode", MODES)
def test_is_the_row_sums_of_the_hessian_weighed_by_the_vector(mode):
    model, batch = SmoothNet(), data()
    subject, direction = about(model, batch, bn=mode), vector(model)
    found = subject.hessian_product(subject.network.weights(), direction)
    assert torch.allclose(flat(found), hessian_by_hand(model, *batch, mode) @ flat(direction), rtol=1e-9, atol=1e-12)
    assert not any(value.requires_grad for value in found.values())


def test_is_taken_at_the_weights_given():
    model, batch = SmoothNet(), data()
    other = SmoothNet(seed=4)
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            if name not in NAMES:
                parameter.copy_(model.get_parameter(name))
    subject, direction = about(model, batch), vector(model)
    found = subject.hessian_product({n: other.get_parameter(n).detach() for n in NAMES}, direction)
    assert torch.allclose(flat(found), hessian_by_hand(other, *batch) @ flat(direction), rtol=1e-9, atol=1e-12)


def test_of_a_batch_in_unequal_parts_is_that_of_the_whole():
    (x, targets), model = data(), SmoothNet()
    whole, parts = about(model, (x, targets)), about(model, [(x[:1], targets[:1]), (x[1:], targets[1:])])
    direction = vector(model)
    found = parts.hessian_product(parts.network.weights(), direction)
    expected = whole.hessian_product(whole.network.weights(), direction)
    assert torch.allclose(flat(found), flat(expected), rtol=1e-10)


def test_is_zero_where_nothing_bends():
    model = nn.Linear(3, 2).double()
    batch = Batch.of((torch.ones(2, 3, dtype=torch.float64), torch.ones(2, 2)), lambda out, _: out.sum())
    subject = Subject(Network(model, torch.zeros(1, 3)), generator(), batch)
    found = subject.hessian_product(subject.network.weights(), {"weight": torch.ones(2, 3, dtype=torch.float64)})
    assert torch.count_nonzero(found["weight"]) == 0


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(6, 18)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x).unflatten(-1, (3, 2, 3)).permute(2, 0, 3, 1, 4)
        return self.head(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2).mean(1))


def test_works_through_attention_by_its_plain_formula():
    """The fused kernel of the CPU cannot be differentiated twice."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Attention()
    x = torch.randn(4, 5, 6, generator=generator())
    subject = Subject(Network(model, x), generator(), Batch.of((x, torch.tensor([0, 1, 2, 0]))))
    weights = subject.network.weights()
    directions = {name: torch.ones_like(weight) for name, weight in weights.items()}
    found = subject.hessian_product(weights, directions)
    ahead, behind = (
        subject.slopes({n: w + step * directions[n] for n, w in weights.items()}) for step in (1e-2, -1e-2)
    )
    for name, product in found.items():
        assert torch.allclose(product, (ahead[name] - behind[name]) / 2e-2, rtol=2e-2, atol=1e-4), name


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, slope):
        return slope * 2


def test_of_what_cannot_be_differentiated_twice_is_an_error_that_says_what_to_take():
    model = nn.Linear(3, 2)
    batch = Batch.of((torch.ones(2, 3), torch.tensor([0, 1])), lambda out, t: F.cross_entropy(Once.apply(out), t))
    subject = Subject(Network(model, torch.zeros(1, 3)), generator(), batch)
    with pytest.raises(ArgumentError, match=r"differentiated twice.*'snip'"):
        subject.hessian_product(subject.network.weights(), {"weight": torch.ones(2, 3)})


@pytest.mark.parametrize("mode", ["train-batch", "warmed-up"])
def test_and_slopes_of_parts_are_refused_where_batchnorm_would_tell_them_apart(mode):
    x, targets = data()
    subject = about(SmoothNet(), [(x[:2], targets[:2]), (x[2:], targets[2:])], bn=mode)
    weights = subject.network.weights()
    with pytest.raises(ArgumentError, match=f"2 parts.*bn='{mode}'.*one part"):
        subject.slopes(weights)
    with pytest.raises(ArgumentError, match=f"2 parts.*bn='{mode}'.*one part"):
        subject.hessian_product(weights, weights)


def test_parts_are_taken_with_batch_statistics_where_there_is_no_batchnorm():
    model, x = nn.Linear(3, 2), torch.rand(4, 3, generator=generator())
    targets = torch.tensor([0, 1, 1, 0])
    parts = Batch.of([(x[:1], targets[:1]), (x[1:], targets[1:])])
    subjects = (Subject(Network(model, x), generator(), b, "train-batch") for b in (Batch.of((x, targets)), parts))
    whole, split = (subject.slopes(subject.network.weights())["weight"] for subject in subjects)
    assert torch.allclose(whole, split, rtol=1e-5)


@pytest.mark.parametrize("label", [3, -1])
def test_labels_without_an_output_are_refused_with_the_number_of_outputs(label):
    x, targets = data()
    targets[2] = label
    subject = about(SmoothNet(), (x, targets))
    with pytest.raises(InputMismatchError, match=f"label {label}, and the model 3 outputs"):
        subject.slopes(subject.network.weights())


def test_the_label_that_cross_entropy_ignores_is_ignored():
    x, targets = data()
    targets[2] = -100
    subject = about(SmoothNet(), (x, targets))
    rest = torch.arange(6) != 2
    other = about(SmoothNet(), (x[rest], targets[rest]))
    found, expected = (each.slopes(each.network.weights()) for each in (subject, other))
    assert torch.allclose(flat(found), flat(expected), rtol=1e-9)
