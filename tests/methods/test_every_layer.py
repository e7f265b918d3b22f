"""No layer stays empty where the weights suffice for a path through each."""

import warnings
from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import nn

import nodepath
from nodepath.errors import BudgetWarning
from nodepath.methods.every_layer import dead_layers, ways_back
from nodepath.paths import Network

Forward = Callable[[nn.ModuleDict, torch.Tensor], torch.Tensor]


class Net(nn.Module):
    """Layers without biases, and what joins them."""

    def __init__(self, forward: Forward, **layers: nn.Module) -> None:
        super().__init__()
        self.layers, self.joined = nn.ModuleDict(layers), forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.joined(self.layers, x)


def lin(inputs: int, outputs: int) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias=False)


def conv(inputs: int, outputs: int, size: int = 1, **options: int) -> nn.Conv1d:
    return nn.Conv1d(inputs, outputs, size, bias=False, **options)


def gated(m: nn.ModuleDict, x: torch.Tensor) -> torch.Tensor:
    x = m["a"](x)
    return m["h"](x * m["ex"](m["sq"](x)).sigmoid())


def dense_blocks(m: nn.ModuleDict, x: torch.Tensor) -> torch.Tensor:
    for name in ("a", "b", "c"):
        x = torch.cat([x, m[name](x)], dim=1)
    return m["h"](x)


def glu(m: nn.ModuleDict, x: torch.Tensor) -> torch.Tensor:
    value, gate = m["up"](x).chunk(2, dim=-1)
    return m["h"](x + m["down"](value * gate.sigmoid()))


def two_blocks(m: nn.ModuleDict, x: torch.Tensor) -> torch.Tensor:
    x = m["s"](x)
    x = x + m["b"](m["a"](x))
    return m["h"](x + m["d"](m["c"](x)))


NETS: dict[str, tuple[Callable[[], Net], tuple[int, ...]]] = {
    "chain": (lambda: Net(lambda m, x: m["c"](m["b"](m["a"](x))), a=lin(2, 2), b=lin(2, 2), c=lin(2, 2)), (2,)),
    "skip": (
        lambda: Net(lambda m, x: m["h"]((y := m["s"](x)) + m["b"](m["a"](y))), s=lin(2, 2), a=lin(2, 2), b=lin(2, 2), h=lin(2, 2)),
        (2,),
    ),
    "two skips": (lambda: Net(two_blocks, s=lin(1, 2), a=lin(2, 1), b=lin(1, 2), c=lin(2, 2), d=lin(2, 2), h=lin(2, 1)), (1,)),
    "projection": (
        lambda: Net(
            lambda m, x: m["h"](m["p"](y := m["s"](x)) + m["b"](m["a"](y))),
            s=lin(1, 2), a=lin(2, 2), b=lin(2, 2), p=lin(2, 2), h=lin(2, 1),
        ),
        (1,),
    ),
    "concat with the input": (
        lambda: Net(lambda m, x: m["h"](m["b"](torch.cat([m["a"](x), x], dim=1))), a=lin(2, 2), b=lin(4, 2), h=lin(2, 2)),
        (2,),
    ),
    "dense blocks": (lambda: Net(dense_blocks, a=lin(1, 1), b=lin(2, 2), c=lin(4, 1), h=lin(5, 1)), (1,)),
    "gate": (lambda: Net(gated, a=lin(1, 3), sq=lin(3, 1), ex=lin(1, 3), h=lin(3, 1)), (1,)),
    "wide gate": (lambda: Net(gated, a=lin(1, 2), sq=lin(2, 2), ex=lin(2, 2), h=lin(2, 2)), (1,)),
    "gated unit": (lambda: Net(glu, up=lin(2, 4), down=lin(2, 2), h=lin(2, 1)), (2,)),
    "branches": (
        lambda: Net(lambda m, x: m["a"](x) + m["c"](m["b"](x)) + m["d"](x), a=lin(2, 2), b=lin(2, 1), c=lin(1, 2), d=lin(2, 2)),
        (2,),
    ),
    "depthwise": (
        lambda: Net(lambda m, x: m["h"](m["d"](m["a"](x)).sum(2)), a=conv(1, 2), d=conv(2, 2, 3, groups=2), h=lin(2, 2)),
        (1, 4),
    ),
    "grouped": (
        lambda: Net(lambda m, x: m["h"](m["g"](m["a"](x)).sum(2)), a=conv(1, 4), g=conv(4, 2, groups=2), h=lin(2, 2)),
        (1, 2),
    ),
}  # fmt: skip


@cache
def least(name: str) -> tuple[int, ...]:
    """Up to three of the lowest counts for which a mask has no layer empty and all its weights on paths.

    By trying every mask: a weight lies on a path if it times the slope of the outputs in it is not 0.
    """
    make, shape = NETS[name]
    model = make().double()
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, *shape, dtype=torch.float64, generator=generator) + 0.5
    sizes = {key: value.numel() for key, value in model.named_parameters()}
    shapes = {key: value.shape for key, value in model.named_parameters()}
    number = sum(sizes.values())
    masks = torch.arange(2**number).unsqueeze(1) >> torch.arange(number) & 1
    values = masks * (torch.rand(number, dtype=torch.float64, generator=generator) + 0.5)

    def out(flat: torch.Tensor) -> torch.Tensor:
        parts = flat.split(list(sizes.values()))
        weights = {key: part.reshape(shapes[key]) for key, part in zip(sizes, parts, strict=True)}
        return torch.func.functional_call(model, weights, (x,)).sum()

    slopes = torch.func.vmap(torch.func.grad(out), chunk_size=4096)(values)
    full = ((values * slopes != 0) == masks.bool()).all(dim=1)
    for part in masks.split(list(sizes.values()), dim=1):
        full &= part.any(dim=1)
    return tuple(masks[full].sum(dim=1).unique().tolist()[:3])


@pytest.mark.parametrize(
    "method", [("npb", {}), ("npb", {"alpha": 0.2}), ("npb-even", {}), ("npb-even", {"width": 1.0})]
)
@pytest.mark.parametrize("name", NETS)
def test_no_layer_is_emptied_at_the_lowest_counts_that_can_fill_all(name, method):
    make, shape = NETS[name]
    model, x = make(), torch.zeros(1, *shape)
    number = sum(value.numel() for value in model.parameters())
    assert len(least(name)) == 3
    for keep in least(name):
        for seed in range(3):
            with warnings.catch_warnings():
                warnings.filterwarnings(
                    "error", "kept weights lie on no path|.*kept weights lie on no path", BudgetWarning
                )
                warnings.filterwarnings("ignore", "npb-even", BudgetWarning)
                masks = nodepath.prune(model, x, method[0], sparsity=1 - keep / number, seed=seed, **method[1])
            assert masks.kept == nodepath.effective(model, x, masks).kept == keep
            assert masks.metadata["collapse"]["emptied"] == []
