"""What a caller has set for all of torch changes no mask: inference mode, the default device, the default dtype."""

import warnings
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import nodepath
from brief import brief

NAMES = nodepath.methods.names()


def build() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            *(nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(32, 4)),
        )


def example() -> Tensor:
    return torch.zeros(1, 2, 6, 6)


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(8, 2, 6, 6, generator=generator), torch.arange(8) % 4


def pruned(name: str, model: nn.Module, x: Tensor, batch: Any) -> nodepath.MaskSet:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nodepath.prune(model, x, name, sparsity=0.6, batch=batch, on_collapse="warn", **brief(name, 3))


@cache
def usual(name: str) -> nodepath.MaskSet:
    return pruned(name, build(), example(), data())


LOOKS: dict[str, Callable[[nn.Module, Tensor, nodepath.MaskSet], Any]] = {
    "measure": nodepath.measure,
    "measure by channel": lambda model, x, masks: nodepath.measure(model, x, masks, resolution="channel"),
    "effective": nodepath.effective,
    "path_shares": lambda model, x, masks: {
        name: share.tolist() for name, share in nodepath.paths.path_shares(model, x, masks, of="weight").items()
    },
    "frontier": lambda model, x, masks: nodepath.frontier(model, x, sparsity=masks.sparsity, points=2),
}


@pytest.fixture(params=["meta", "float64"])
def foreign_default(request: pytest.FixtureRequest) -> Iterator[Callable[[], None]]:
    """Sets a default when called."""
    dtype = torch.get_default_dtype()

    def choose() -> None:
        if request.param == "meta":  # as a GPU would be: draws of a generator on the CPU fail there
            torch.set_default_device("meta")
        else:
            torch.set_default_dtype(torch.float64)

    yield choose
    torch.set_default_device(None)
    torch.set_default_dtype(dtype)


@pytest.mark.parametrize("name", NAMES)
class TestMasks:
    def test_in_inference_mode_are_the_same(self, name):
        expected, model, x, batch = usual(name), build(), example(), data()
        with torch.inference_mode():
            assert pruned(name, model, x, batch) == expected
            assert torch.is_inference_mode_enabled()

    def test_of_a_model_that_was_made_in_inference_mode_are_the_same(self, name):
        expected = usual(name)
        with torch.inference_mode():
            model, x, batch = build(), example(), data()
            assert pruned(name, model, x, batch) == expected
        assert pruned(name, model, x, batch) == expected

    def test_under_a_foreign_default_are_the_same(self, name, foreign_default):
        expected, model, x, batch = usual(name), build(), example(), data()
        foreign_default()
        assert pruned(name, model, x, batch) == expected


@pytest.mark.parametrize("look", LOOKS)
class TestLooks:
    def test_in_inference_mode_are_the_same(self, look):
        masks, model, x = usual("snip"), build(), example()
        expected = LOOKS[look](model, x, masks)
        with torch.inference_mode():
            assert LOOKS[look](model, x, masks) == expected
            assert LOOKS[look](build(), example(), masks) == expected

    def test_under_a_foreign_default_are_the_same(self, look, foreign_default):
        masks, model, x = usual("snip"), build(), example()
        expected = LOOKS[look](model, x, masks)
        foreign_default()
        assert LOOKS[look](model, x, masks) == expected


class Noting(nn.Module):
    """Makes a tensor on the default device in each forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = build()
        self.seen: list[str] = []

    def forward(self, x: Tensor) -> Any:
        self.seen.append(torch.zeros(1).device.type)
        return self.inner(x)


@pytest.mark.parametrize("name", ["npb", "snip", "px", "ntk-sap", "fisher"])
def test_the_model_itself_runs_with_the_default_device_of_its_owner(name):
    model, x, batch = Noting(), example(), data()
    torch.set_default_device("meta")
    try:
        pruned(name, model, x, batch)
        nodepath.measure(model, x)
        assert torch.zeros(()).device.type == "meta"
    finally:
        torch.set_default_device(None)
    assert set(model.seen) == {"meta"}
