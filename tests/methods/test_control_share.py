"""What steers carries no paths: methods that score by paths keep of it what ERK would, at random."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nodepath import measure, prune
from nodepath.budgets import Erk
from nodepath.errors import ZeroLayerWarning
from nodepath.paths import Network
from nodepath.paths.reach import steering

X = torch.zeros(1, 5, 8)
ITERATED = [("synflow", {"iterations": 4}), ("synflow-npb", {"iterations": 6, "random_until": 2})]


class Gated(nn.Module):
    """Values in one layer, gates in another, a query in a third that also carries values."""

    def __init__(self) -> None:
        super().__init__()
        self.value, self.gate, self.both = nn.Linear(8, 16), nn.Linear(8, 16), nn.Linear(16, 24)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.both(F.silu(self.gate(x)) * self.value(x)).chunk(3, -1)
        return self.head((q @ k.mT).softmax(-1) @ v)


def test_steering_names_the_rows_of_queries_and_keys_and_the_whole_gate():
    found = steering(Network(Gated(), X))
    assert set(found) == {"gate.weight", "both.weight"}
    assert bool(found["gate.weight"].all())
    assert found["both.weight"].sum(1).tolist() == [16] * 16 + [0] * 8


def test_a_network_without_products_steers_nothing():
    assert steering(Network(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)), X)) == {}


@pytest.mark.parametrize("sparsity", [0.3, 0.7, 0.9])
@pytest.mark.parametrize(("method", "options"), ITERATED)
def test_controls_keep_the_share_of_erk(method, options, sparsity):
    model = Gated()
    network = Network(model, X)
    masks = prune(model, X, method, sparsity=sparsity, seed=1, on_collapse="warn", **options)
    assert masks.kept == round((1 - sparsity) * network.prunable)
    counts = Erk()(list(network.layers.values()), masks.kept)
    for name, cells in steering(network).items():
        share = counts[name] * int(cells.sum()) / cells.numel()
        assert int((masks[name] & cells).sum()) == round(share)


def test_controls_are_drawn_by_seed():
    kept = [prune(Gated(), X, "synflow", sparsity=0.5, seed=seed, iterations=2)["gate.weight"] for seed in (0, 0, 1)]
    assert torch.equal(kept[0], kept[1])
    assert not torch.equal(kept[0], kept[2])


def test_counts_by_layer_hold_for_layers_that_steer_in_part():
    counts = {"value.weight": 60, "gate.weight": 20, "both.weight": 90, "head.weight": 12}
    masks = prune(Gated(), X, "synflow", layer_counts=counts, iterations=3)
    assert {name: int(mask.sum()) for name, mask in masks.items()} == counts


def test_when_nearly_all_is_kept_what_carries_paths_is_kept_before_controls():
    masks = prune(Gated(), X, "synflow", sparsity=0.001, iterations=2)
    assert masks.kept == round(0.999 * Network(Gated(), X).prunable)


@pytest.mark.parametrize(("method", "options"), ITERATED)
def test_a_head_that_begins_at_zero_is_named_and_keeps_its_share(method, options):
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    nn.init.zeros_(model[2].weight)
    with pytest.warns(ZeroLayerWarning, match=r"'2\.weight'"):
        masks = prune(model, X, method, sparsity=0.5, **options)
    assert measure(model, X, masks).log10_paths > 0
    assert not model[2].weight.any()


def test_weights_that_stand_for_zeros_are_drawn_from_the_seed():
    """Weights that are all equal lose their places all at once, and a deep network with them."""
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 40))
    nn.init.zeros_(model[2].weight)
    with pytest.warns(ZeroLayerWarning):
        first, again, other = (prune(model, X, "synflow", sparsity=0.5, seed=seed) for seed in (3, 3, 4))
    assert first == again != other


def test_a_packed_projection_has_the_densities_of_three_layers():
    class Apart(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v, self.out = (nn.Linear(8, 8) for _ in range(4))

        def forward(self, x: Tensor) -> Tensor:
            return self.out(F.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x)))

    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 1, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.attention(x, x, x)[0]

    apart, packed = (Network(model, X) for model in (Apart(), Packed()))
    assert packed.layers["attention.in_proj_weight"].rows == (8, 8, 8)
    one, three = (Erk()(list(network.layers.values()), 100) for network in (packed, apart))
    assert one["attention.in_proj_weight"] == three["q.weight"] + three["k.weight"] + three["v.weight"]
    for convention in ("exact", "paper"):
        a, b = (measure(network.model, X, convention=convention) for network in (apart, packed))
        assert (a.nodes, a.effective, a.control) == (b.nodes, b.effective, b.control)
        assert a.effective_width == pytest.approx(b.effective_width)
