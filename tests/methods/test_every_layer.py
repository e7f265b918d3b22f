"""No layer stays empty where the weights suffice for a path through each."""

import warnings
from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import nn

import nodepath
from nodepath.errors import CollapseWarning
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
        lambda: Net(
            lambda m, x: m["h"]((y := m["s"](x)) + m["b"](m["a"](y))),
            s=lin(2, 2),
            a=lin(2, 2),
            b=lin(2, 2),
            h=lin(2, 2),
        ),
        (2,),
    ),
    "two skips": (
        lambda: Net(two_blocks, s=lin(1, 2), a=lin(2, 1), b=lin(1, 2), c=lin(2, 2), d=lin(2, 2), h=lin(2, 1)),
        (1,),
    ),
    "projection": (
        lambda: Net(
            lambda m, x: m["h"](m["p"](y := m["s"](x)) + m["b"](m["a"](y))),
            s=lin(1, 2),
            a=lin(2, 2),
            b=lin(2, 2),
            p=lin(2, 2),
            h=lin(2, 1),
        ),
        (1,),
    ),
    "concat with the input": (
        lambda: Net(
            lambda m, x: m["h"](m["b"](torch.cat([m["a"](x), x], dim=1))), a=lin(2, 2), b=lin(4, 2), h=lin(2, 2)
        ),
        (2,),
    ),
    "dense blocks": (lambda: Net(dense_blocks, a=lin(1, 1), b=lin(2, 1), c=lin(3, 1), h=lin(4, 1)), (1,)),
    "gate": (lambda: Net(gated, a=lin(1, 3), sq=lin(3, 1), ex=lin(1, 3), h=lin(3, 1)), (1,)),
    "wide gate": (lambda: Net(gated, a=lin(1, 2), sq=lin(2, 2), ex=lin(2, 2), h=lin(2, 2)), (1,)),
    "gated unit": (lambda: Net(glu, up=lin(2, 4), down=lin(2, 2), h=lin(2, 1)), (2,)),
    "branches": (
        lambda: Net(
            lambda m, x: m["a"](x) + m["c"](m["b"](x)) + m["d"](x), a=lin(2, 2), b=lin(2, 1), c=lin(1, 2), d=lin(2, 2)
        ),
        (2,),
    ),
    "depthwise": (
        lambda: Net(
            lambda m, x: m["h"](m["d"](m["a"](x)).sum(2)), a=conv(1, 2), d=conv(2, 2, 3, groups=2), h=lin(2, 2)
        ),
        (1, 4),
    ),
    "grouped": (
        lambda: Net(lambda m, x: m["h"](m["g"](m["a"](x)).sum(2)), a=conv(1, 4), g=conv(4, 2, groups=2), h=lin(2, 2)),
        (1, 2),
    ),
}


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
        for seed in range(2):
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                masks = nodepath.prune(model, x, method[0], sparsity=1 - keep / number, seed=seed, **method[1])
            assert masks.metadata["collapse"]["emptied"] == []
            assert masks.kept == keep
            if (name, method[0], keep) == ("gate", "npb", 5):  # only a gate read elsewhere than it acts takes five
                assert nodepath.effective(model, x, masks).kept >= 4
                continue
            assert nodepath.effective(model, x, masks).kept == keep
            assert not any("lie on no path" in str(w.message) for w in warned)


class SqueezeExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c, self.dw = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.sq, self.ex = nn.Linear(8, 4), nn.Linear(4, 8)
        self.g, self.head = nn.Conv2d(8, 8, 3, groups=4), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.dw(self.c(x).relu())
        x = x * self.ex(self.sq(x.mean((2, 3))).relu()).sigmoid()[..., None, None]
        return self.head(self.g(x).mean((2, 3)))


class ReadBesideItsInput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv1d(3, 4, 3), nn.Conv1d(7, 5, 3, dilation=2, padding=1)
        self.h = nn.Linear(20, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.h(self.b(torch.cat([self.a(x).relu(), x[..., 1:-1]], 1)).relu().flatten(1))


class AttentionBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.emb, self.att = nn.Linear(5, 8), nn.MultiheadAttention(8, 2, batch_first=True)
        self.up, self.down, self.head = nn.Linear(8, 12), nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.emb(x)
        x = x + self.att(x, x, x, need_weights=False)[0]
        value, gate = self.up(x).chunk(2, -1)
        return self.head((x + self.down(torch.nn.functional.silu(value) * gate)).mean(1))


@pytest.mark.parametrize(
    ("make", "shape", "keep", "method", "options"),
    [
        *((SqueezeExcite, (1, 3, 7, 7), keep, "npb-even", {}) for keep in (7, 12, 30)),
        (ReadBesideItsInput, (1, 3, 8), 6, "npb", {}),
        *((AttentionBlock, (1, 6, 5), keep, "npb", {"alpha": 0.44}) for keep in (9, 17)),
    ],
)
def test_small_budgets_leave_every_layer_on_paths(make, shape, keep, method, options):
    torch.manual_seed(0)
    model, x = make(), torch.zeros(shape)
    sparsity = 1 - keep / nodepath.measure(model, x).prunable
    for seed in range(4):
        with warnings.catch_warnings():
            warnings.simplefilter("error", CollapseWarning)
            masks = nodepath.prune(model, x, method, sparsity=sparsity, seed=seed, on_collapse="warn", **options)
        assert masks.kept == nodepath.effective(model, x, masks).kept == keep
        assert all(bool(mask.any()) for mask in masks.values())
    assert masks == nodepath.prune(model, x, method, sparsity=sparsity, seed=seed, **options)


@pytest.mark.slow
def test_as_many_weights_as_layers_make_one_path_through_a_resnet():
    model, x = nodepath.models.create("resnet20", num_classes=10, seed=0), torch.zeros(1, 3, 32, 32)
    masks = nodepath.prune(model, x, "npb-even", sparsity=1 - 22 / 270896)
    assert [int(mask.sum()) for mask in masks.values()] == [1] * 22


def residual() -> tuple[Network, dict[str, torch.Tensor]]:
    """A stem of three channels, a branch of two layers beside a skip, and a head; the skip alone lives, on all."""
    model = Net(
        lambda m, x: m["h"]((y := m["s"](x)) + m["b"](m["a"](y))), s=lin(2, 3), a=lin(3, 2), b=lin(2, 3), h=lin(3, 2)
    )
    network = Network(model, torch.zeros(1, 2))
    alive = {name: torch.zeros(layer.shape, dtype=torch.bool) for name, layer in network.layers.items()}
    alive["layers.s.weight"][:] = alive["layers.h.weight"][:] = True
    return network, alive


@pytest.mark.parametrize("seed", range(4))
def test_weights_on_which_no_others_depend_pay_for_a_way_back(seed):
    network, alive = residual()
    dead = dead_layers(network, alive)
    assert dead == ["layers.a.weight", "layers.b.weight"]
    way = next(ways_back(network, alive, dead, 12, torch.Generator().manual_seed(seed)))
    assert [int(mask.sum()) for mask in way.values()][1:3] == [1, 1]
    assert sum(int(mask.sum()) for mask in way.values()) == 12
    assert all(bool((way[name] <= alive[name]).all()) for name in ("layers.s.weight", "layers.h.weight"))
    assert nodepath.effective(network.model, torch.zeros(1, 2), nodepath.MaskSet(way)).kept == 12


def test_on_fewer_weights_than_layers_no_walk_looks_for_a_way_back(monkeypatch):
    network, alive = residual()
    monkeypatch.setattr(Network, "send", lambda *args: pytest.fail("walked"))
    assert not list(ways_back(network, alive, ["layers.a.weight"], 2, torch.Generator()))


def test_where_all_layers_live_no_walk_looks_for_dead_ones(monkeypatch):
    network, alive = residual()
    full = {name: torch.ones_like(mask) for name, mask in alive.items()}
    monkeypatch.setattr(Network, "send", lambda *args: pytest.fail("walked"))
    assert dead_layers(network, full) == []
