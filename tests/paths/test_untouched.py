"""`measure` and `effective` leave no trace, also after an error."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from modules import Wired
from torch import Tensor, nn

from nodepath import effective, measure
from nodepath.errors import InputMismatchError, MaskMismatchError, NodepathError, UnknownOperationError

X = torch.zeros(2, 3, 8, 8)


def network() -> nn.Sequential:
    """BatchNorm with statistics, dropout, mixed modes, a frozen layer, gradients and hooks."""
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 2)
    )
    model(torch.randn(2, 3, 8, 8)).sum().backward()
    model[1].eval()
    model[0].weight.requires_grad = False
    model[5].register_forward_hook(lambda module, inputs, output: None)
    model[5].weight.register_hook(lambda slope: slope)
    return model


def state_of(model: nn.Module) -> dict[str, Any]:
    def full(tensor: Tensor | None) -> Any:
        return None if tensor is None else (id(tensor), tensor.detach().clone(), tensor._version)

    return {
        "parameters": {n: (*full(p), full(p.grad), p.requires_grad) for n, p in model.named_parameters()},
        "buffers": {n: (id(b), b.detach().clone()) for n, b in model.named_buffers()},
        "modes": {n: m.training for n, m in model.named_modules()},
        "hooks": {n: [sorted(getattr(m, h)) for h in vars(m) if h.endswith("hooks")] for n, m in model.named_modules()},
        "members": {n: {k: id(v) for k, v in vars(m).items()} for n, m in model.named_modules()},
        "random": (torch.get_rng_state(), np.random.get_state()[1].copy()),
        "grad mode": torch.is_grad_enabled(),
    }


def assert_same(before: Any, after: Any) -> None:
    if isinstance(before, dict):
        assert before.keys() == after.keys()
        for key in before:
            assert_same(before[key], after[key])
    elif isinstance(before, tuple | list):
        assert len(before) == len(after)
        for one, other in zip(before, after, strict=True):
            assert_same(one, other)
    elif isinstance(before, Tensor):
        assert torch.equal(before, after)
    elif isinstance(before, np.ndarray):
        assert np.array_equal(before, after)
    else:
        assert before == after


def leaves_no_trace(model: nn.Module, act: Callable[[], Any], error: type[NodepathError] | None = None) -> None:
    torch.manual_seed(7)
    before = state_of(model)
    if error is None:
        act()
    else:
        with pytest.raises(error):
            act()
    assert_same(before, state_of(model))


def test_measure_leaves_no_trace():
    model = network()
    leaves_no_trace(model, lambda: measure(model, X, {"0.weight": torch.zeros(4, 3, 3, 3, dtype=torch.bool)}))
    leaves_no_trace(model, lambda: measure(model, X, convention="paper"))


def test_effective_leaves_no_trace():
    model = network()
    leaves_no_trace(model, lambda: effective(model, X, {"5.weight": torch.ones(2, 144, dtype=torch.bool)}))


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda model: measure(model, torch.zeros(1, 5, 8, 8)), InputMismatchError),
        (lambda model: measure(model, torch.zeros(1, 3, 9, 9)), InputMismatchError),
        (lambda model: measure(model, X, {"0.weight": torch.ones(1, dtype=torch.bool)}), MaskMismatchError),
    ],
)
def test_errors_leave_no_trace(act, error):
    model = network()
    leaves_no_trace(model, lambda: act(model), error)


def test_an_unknown_operation_in_the_middle_leaves_no_trace():
    model = nn.Sequential(*network(), Wired(lambda self, x: torch.erfinv(x)))
    leaves_no_trace(model, lambda: measure(model, X), UnknownOperationError)


class Counting(nn.Module):
    """Writes into its buffers in eval mode too; draws and replaces one of them."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("replaced", torch.zeros(()))
        self.register_buffer("late", None)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.calls.add_(torch.rand(()))
        return self.layer(x)


def test_buffers_written_in_place_by_the_forward_pass_are_restored():
    model = Counting()
    leaves_no_trace(model, lambda: measure(model, torch.zeros(1, 3)))


def test_buffers_replaced_by_the_forward_pass_are_restored():
    class Replacing(Counting):
        def forward(self, x: Tensor) -> Tensor:
            self.replaced = self.replaced + 1
            return self.layer(x)

    model = Replacing()
    before = model.replaced
    measure(model, torch.zeros(1, 3))
    assert model.replaced is before
    assert model.replaced.item() == 0


def test_the_example_input_is_left_alone_by_models_that_write_into_it():
    x = torch.ones(1, 3, requires_grad=False)
    measure(Wired(lambda self, x: self.a(x.add_(1)), a=nn.Linear(3, 2)), x)
    assert x.tolist() == [[1, 1, 1]]
    assert x._version == 0


def test_a_model_with_lazy_layers_stays_lazy():
    model = nn.Sequential(nn.LazyLinear(4), nn.Linear(4, 2))
    with pytest.raises(NodepathError, match=r"0\.weight|lazy"):
        measure(model, torch.zeros(1, 3))
    assert isinstance(model[0], nn.LazyLinear)


def test_copies_and_originals_measure_the_same():
    model = network()
    del model[5]._forward_hooks
    model[5]._forward_hooks = type(model[0]._forward_hooks)()
    model[5].weight._backward_hooks = None
    model.zero_grad()
    assert measure(copy.deepcopy(model), X) == measure(model, X)


@pytest.mark.parametrize("resolution", ["pixel", "channel"])
def test_the_number_of_threads_is_left_as_it_was(resolution):
    before, seen = torch.get_num_threads(), []
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    model.register_forward_pre_hook(lambda *_: seen.append(torch.get_num_threads()))
    torch.set_num_threads(2)
    try:
        measure(model, torch.zeros(1, 3, 8, 8), resolution=resolution)
        assert torch.get_num_threads() == 2
        assert set(seen) == ({1} if resolution == "channel" else {2})
        with pytest.raises(MaskMismatchError):
            measure(model, torch.zeros(1, 3, 8, 8), {"0.bias": torch.ones(4).bool()}, resolution=resolution)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
