"""The dense count is remembered for a model, and only as long as it is right."""

import copy
import gc
import math
import weakref
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from modules import Wired
from torch import Tensor, nn

from nodepath import measure
from nodepath.paths import Network, register, table

X = torch.zeros(1, 3, 8, 8)


def dense(model: nn.Module, x=X, **options) -> float:
    """Of `measure`, and of a copy of the model, of which nothing is remembered."""
    found = measure(model, x, **options)
    afresh = measure(copy.deepcopy(model), x, **options)
    assert found.dense_log10_paths == afresh.dense_log10_paths
    assert found.path_ratio == pytest.approx(1, abs=1e-12)
    return found.dense_log10_paths


def convolutions() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.MaxPool2d(2))


class Counting(nn.Module):
    """Counts how often it runs."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        return self.inner(x)

    def runs_of(self, act: Callable[[], object]) -> int:
        before = self.runs
        act()
        return self.runs - before


def test_the_dense_network_is_counted_once():
    model = Counting(convolutions())
    masks = {"inner.0.weight": torch.zeros(4, 3, 3, 3, dtype=torch.bool)}
    first, second, third = (model.runs_of(lambda m=m: measure(model, X, m)) for m in (None, masks, None))
    assert first == second + 1 == third + 1


def test_a_network_asked_twice_runs_once():
    model = Counting(convolutions())
    network = Network(model, X)
    assert [model.runs_of(network.dense_log2_paths) for _ in range(3)] == [1, 0, 0]
    assert model.runs_of(lambda: Network(model, X).dense_log2_paths()) == 1  # to see what steps it takes, and no more


def test_other_weights_biases_and_norms_are_the_same_network():
    model = Counting(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3)))
    before = dense(model)
    with torch.no_grad():
        for values in (*model.parameters(), *(b for b in model.buffers() if b.is_floating_point())):
            values.uniform_(0.5, 2)
    network = Network(model, X)
    assert model.runs_of(network.dense_log2_paths) == 0
    assert dense(model) == before


def test_conventions_and_resolutions_are_remembered_apart():
    model = convolutions()
    options = [{"convention": c, "resolution": r} for c in ("exact", "paper") for r in ("pixel", "channel")]
    first = [dense(model, **each) for each in options]
    assert [dense(model, **each) for each in reversed(options)] == first[::-1]
    exact_pixel, exact_channel, paper_pixel, paper_channel = first
    assert exact_pixel > paper_pixel > exact_channel == paper_channel


# what changes the count


@pytest.mark.parametrize("resolution", ["pixel", "channel"])
def test_a_skip_that_is_switched_on_and_off_is_seen(resolution):
    def wiring(self, x):
        x = self.first(x)
        return x + self.second(x) if self.skip else self.second(x)

    model = Wired(wiring, first=nn.Conv2d(3, 4, 3), second=nn.Conv2d(4, 4, 3, padding=1), skip=True)
    on = dense(model, resolution=resolution)
    model.skip = False
    off = dense(model, resolution=resolution)
    model.skip = True
    assert off < on == dense(model, resolution=resolution)


CHANGES = {
    "stride": lambda model: setattr(model[2], "stride", (2, 2)),
    "padding": lambda model: setattr(model[2], "padding", (0, 0)),
    "dilation": lambda model: setattr(model[2], "dilation", (2, 2)),
    "window": lambda model: setattr(model[3], "kernel_size", 3),
    "groups": lambda model: model.__setitem__(2, nn.Conv2d(4, 4, 3, padding=1, groups=2)),
    "another layer": lambda model: model.append(nn.Conv2d(4, 2, 1)),
    "another pool": lambda model: model.__setitem__(3, nn.AdaptiveAvgPool2d(3)),
    "a slice": lambda model: model.append(Wired(lambda self, x: x[:, 1:])),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_layer_that_is_changed_is_seen(change):
    model = convolutions()
    before = dense(model)
    change(model)
    assert dense(model) != before


def test_a_slice_that_is_moved_is_seen():
    """The last two channels see one pixel each, the first two nine."""

    def wiring(self, x):
        return torch.cat([self.wide(x), self.narrow(x)], 1)[:, self.start : self.start + 2]

    model = Wired(wiring, wide=nn.Conv2d(3, 2, 3, padding=1), narrow=nn.Conv2d(3, 2, 1), start=0)
    first = dense(model)
    model.start = 1
    assert dense(model) < first


@pytest.mark.parametrize("resolution", ["pixel", "channel"])
def test_a_fixed_filter_that_is_changed_is_seen(resolution):
    model = Wired(lambda self, x: self.last(F.conv2d(x, self.filter, groups=3)), last=nn.Conv2d(3, 2, 3))
    model.register_buffer("filter", torch.ones(3, 1, 3, 3))
    full = dense(model, resolution=resolution)
    model.filter.mul_(2)
    assert dense(model, resolution=resolution) == full
    model.filter[:, :, 0] = 0
    assert dense(model, resolution=resolution) == pytest.approx(full + math.log10(6 / 9))


def test_a_fixed_matrix_that_is_changed_is_seen():
    model = Wired(lambda self, x: self.last(x) @ self.matrix, last=nn.Linear(3, 4))
    model.register_buffer("matrix", torch.eye(4))
    diagonal = dense(model, torch.zeros(1, 3))
    model.matrix.fill_(1)
    assert dense(model, torch.zeros(1, 3)) == pytest.approx(diagonal + math.log10(4))


INDEXED = {
    "getitem": lambda self, x: x[:, self.index],
    "index_select": lambda self, x: x.index_select(1, self.index),
    "gather": lambda self, x: x.gather(1, self.index[None]),
    "where": lambda self, x: torch.where(self.index == 0, x[:, : len(self.index)], torch.tensor(0.0)),
    "masked_fill": lambda self, x: x[:, : len(self.index)].masked_fill(self.index != 0, 0.0),
}


@pytest.mark.parametrize("read", INDEXED.values(), ids=INDEXED)
def test_an_index_that_is_changed_is_seen(read):
    """Of the features, the first four have one path more than the rest."""

    def wiring(self, x):
        made = self.first(x)
        return read(self, torch.cat([made + x, made], 1))

    model, x = Wired(wiring, first=nn.Linear(4, 4)), torch.zeros(1, 4)
    model.register_buffer("index", torch.tensor([0, 0, 0]))
    before = dense(model, x)
    model.index.copy_(torch.tensor([0, 7, 7]))
    after = dense(model, x)
    assert after < before
    model.index.zero_()
    assert dense(model, x) == before


def test_an_index_that_is_an_argument_is_seen():
    def wiring(self, x, index):
        made = self.first(x)
        return torch.cat([made + x, made], 1)[:, index]

    model = Wired(wiring, first=nn.Linear(4, 4))
    x = torch.zeros(1, 4)
    assert dense(model, (x, torch.tensor([0, 1]))) > dense(model, (x, torch.tensor([0, 7])))


def test_a_mask_of_attention_that_is_changed_is_seen():
    def wiring(self, x):
        return F.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x), attn_mask=self.mask)

    model = Wired(wiring, q=nn.Linear(3, 2), k=nn.Linear(3, 2), v=nn.Linear(3, 2))
    model.register_buffer("mask", torch.ones(4, 4, dtype=torch.bool))
    x = torch.zeros(1, 4, 3)
    everything = dense(model, x)
    model.mask.copy_(model.mask.tril())
    assert dense(model, x) == pytest.approx(everything + math.log10(10 / 16))


SIZES = {
    "pixels": (convolutions, X, torch.zeros(1, 3, 16, 8)),
    "pooled pixels": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1)),
        X,
        torch.zeros(1, 3, 16, 16),
    ),
    "tokens": (lambda: nn.Linear(3, 2), torch.zeros(1, 4, 3), torch.zeros(1, 5, 3)),
    "attention": (
        lambda: nn.TransformerEncoderLayer(4, 2, 4, batch_first=True),
        torch.zeros(1, 3, 4),
        torch.zeros(1, 7, 4),
    ),
    "token ids": (
        lambda: nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 2)),
        torch.zeros(1, 4, dtype=torch.long),
        torch.zeros(1, 5, dtype=torch.long),
    ),
}


@pytest.mark.parametrize(("make", "small", "large"), SIZES.values(), ids=SIZES)
def test_another_size_of_the_input_is_another_count(make, small, large):
    model = make()
    first = dense(model, small)
    assert dense(model, large) > first
    assert dense(model, small) == first


def test_another_type_of_the_same_model_is_the_same_count():
    model = convolutions()
    assert dense(model) == dense(model.double(), X.double())


def declared(rule: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
    def same_name(x: Tensor) -> Tensor:
        if torch.overrides.has_torch_function_unary(x):
            return torch.overrides.handle_torch_function(same_name, (x,), x)
        return x

    register(same_name)(rule)
    return same_name


def test_functions_of_the_same_name_are_told_apart(monkeypatch):
    monkeypatch.setattr(table, "_RULES", dict(table._RULES))  # what is declared here stays here
    kept = declared(lambda call, x: call.keep(x, shares_memory=True))
    doubled = declared(lambda call, x: call.emit(call.signal(x).counts * 2, call.signal(x).exponent))
    model = Wired(lambda self, x: self.declared(self.layer(x)), layer=nn.Linear(3, 2), declared=kept)
    assert dense(model, torch.zeros(1, 3)) == pytest.approx(math.log10(6))
    model.declared = doubled
    assert dense(model, torch.zeros(1, 3)) == pytest.approx(math.log10(12))


# lifetime


def test_what_is_remembered_does_not_keep_the_model_alive():
    model = convolutions()
    measure(model, X)
    measure(model, X, resolution="channel")
    gone = weakref.ref(model)
    weight = weakref.ref(model[0].weight)
    del model
    gc.collect()
    assert gone() is None
    assert weight() is None


def test_models_that_are_equal_are_remembered_apart():
    small, large = nn.Linear(3, 2), nn.Linear(3, 2)
    large.weight, large.out_features = nn.Parameter(torch.ones(5, 3)), 5
    large.bias = None
    assert dense(small, torch.zeros(1, 3)) == pytest.approx(math.log10(6))
    assert dense(large, torch.zeros(1, 3)) == pytest.approx(math.log10(15))
