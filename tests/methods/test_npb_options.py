"""Options of npb: presets, and what chooses the cells of a kernel."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

import nodepath
from nodepath.errors import ArgumentError
from nodepath.methods import create, needs_batch
from nodepath.methods.optimum.presets import PRESETS, caps_by_layer
from nodepath.paths import Network
from nodepath.scores.snip import Snip

X = torch.zeros(2, 3, 6, 6)
BATCH = (torch.randn(8, 3, 6, 6, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 4)


def convnet() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 6, 3), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(96, 4)).eval()


@dataclass(frozen=True, kw_only=True)
class Last:
    """A score that likes late cells."""

    needs_batch: ClassVar[bool] = False

    def __call__(self, subject, weights) -> dict[str, Tensor]:
        return {name: torch.arange(weight.numel()).reshape(weight.shape).float() for name, weight in weights.items()}


def prune(**options) -> nodepath.MaskSet:
    return nodepath.prune(convnet(), X, "npb", sparsity=0.8, **options)


class TestPreset:
    def test_by_default_is_balanced_and_recorded_with_what_it_means(self):
        options = prune().metadata["options"]
        assert options["preset"] == "balanced"
        assert (options["alpha"], options["beta"], options["max_per_kernel"]) == (0.5, 0.0, None)

    @pytest.mark.parametrize(
        ("name", "alpha", "beta", "cap"), [("published", 0.01, 1.0, 9), ("published-resnet18", 0.01, 2.0, 6)]
    )
    def test_published_is_that_of_the_paper(self, name, alpha, beta, cap):
        """node-path-balancing.md section 3; solved to the last digit, cells at random."""
        options = prune(preset=name).metadata["options"]
        assert (options["alpha"], options["beta"], options["max_per_kernel"]) == (alpha, beta, cap)
        assert (options["cells"], options["slack"]) == ("random", 0.0)

    @pytest.mark.parametrize("name", PRESETS)
    def test_is_no_more_than_its_options_unless_the_cap_narrows(self, name):
        preset = PRESETS[name]
        values = {key: getattr(preset, key) for key in ("alpha", "beta", "max_per_kernel", "cells", "slack")}
        assert prune(preset=name) == prune(**values)  # no projection shortcut, and a first layer of 3x3

    def test_yields_to_an_option_that_is_given(self):
        own = prune(preset="published", alpha=0.7, cells="magnitude")
        assert own.metadata["options"]["alpha"] == 0.7
        assert own.metadata["options"]["beta"] == 1.0
        assert own == prune(alpha=0.7, beta=1.0, max_per_kernel=9, cells="magnitude", slack=0.0)

    @pytest.mark.parametrize("name", PRESETS)
    def test_leaves_no_weight_of_resnet20_without_effect(self, name):
        model, x = nodepath.models.create("resnet20", seed=0), torch.zeros(1, 3, 32, 32)
        masks = nodepath.prune(model, x, "npb", sparsity=0.95, preset=name)
        topo = nodepath.measure(model, x, masks)
        assert topo.kept == topo.effective == round(0.05 * 270_896)


class TestCap:
    def caps(self, model: str, preset: str) -> dict[str, int | None]:
        network = Network(nodepath.models.create(model, seed=0), torch.zeros(1, 3, 32, 32))
        return caps_by_layer(PRESETS[preset], network.layers.values())

    def test_falls_after_each_projection_shortcut_to_five(self):
        caps = self.caps("resnet20", "published")
        assert caps.pop("conv1.weight") is None
        order = list(caps)
        shortcuts = [place for place, name in enumerate(order) if "shortcut" in name or "downsample" in name]
        assert len(shortcuts) == 2
        expected = (
            [9] * (shortcuts[0] + 1) + [7] * (shortcuts[1] - shortcuts[0]) + [5] * (len(order) - shortcuts[1] - 1)
        )
        assert list(caps.values()) == expected

    def test_of_six_falls_to_four_and_no_further(self):
        caps = list(self.caps("resnet18-tiny", "published-resnet18").values())
        assert caps[0] is None
        assert caps[1:] == sorted(caps[1:], reverse=True)
        assert set(caps[1:]) == {6, 4}

    def test_of_nine_stays_at_five_after_a_third_shortcut(self):
        assert set(self.caps("resnet18-tiny", "published").values()) == {None, 9, 7, 5}

    def test_of_other_presets_is_one_for_all_layers(self):
        assert set(self.caps("resnet20", "balanced").values()) == {None}


class TestCells:
    @pytest.mark.parametrize("name", ["magnitude", "last"])
    def test_by_a_score_are_the_best_of_their_kernels(self, name):
        model = nn.Conv2d(5, 6, 3, bias=False)
        score = Last() if name == "last" else name
        values = Last()(None, {"w": model.weight})["w"] if name == "last" else model.weight.detach().abs()
        arguments = {"alpha": 0.99, "beta": 1.0, "max_per_kernel": 2, "cells": score, "sparsity": 1 - 60 / 270}
        masks = nodepath.prune(model, torch.zeros(1, 5, 6, 6), "npb", **arguments)
        for mask, value in zip(masks["weight"].flatten(2).flatten(0, 1), values.flatten(2).flatten(0, 1), strict=True):
            largest = value.argsort(descending=True)[: int(mask.sum())]
            assert set(mask.nonzero().flatten().tolist()) == set(largest.tolist())

    @pytest.mark.parametrize(
        "layer", [nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False), nn.Conv2d(4, 6, 3, groups=2, bias=False)]
    )
    def test_by_a_score_are_those_of_the_kernel_also_in_grouped_and_transposed_layers(self, layer):
        """One cell a kernel, the largest: it shows in the mask that kernels and scores were matched."""
        arguments = {"alpha": 0.99, "beta": 1.0, "max_per_kernel": 1, "cells": "magnitude", "sparsity": 1 - 1 / 9}
        mask = nodepath.prune(layer, torch.zeros(1, 4, 6, 6), "npb", **arguments)["weight"]
        best = layer.weight.detach().abs().flatten(2).argmax(dim=2)
        assert torch.equal(mask.flatten(2).int().argmax(dim=2), best)
        assert bool((mask.flatten(2).sum(dim=2) == 1).all())

    def test_of_packed_projections_are_read_with_scores_of_their_own_rows(self):
        """Of q, k and v: each part is solved by itself."""

        class Attend(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

            def forward(self, x: Tensor) -> Tensor:
                return self.attention(x, x, x)[0]

        model, x = Attend(), torch.zeros(1, 4, 8)
        masks = nodepath.prune(model, x, "npb", sparsity=0.5, cells="magnitude")
        parts = masks["attention.in_proj_weight"].split(8)
        assert masks.kept == 128
        assert min(int(part.sum()) for part in parts) > 0

    def test_by_a_score_with_data_need_data(self):
        assert not needs_batch("npb")
        assert needs_batch("npb", cells="snip")
        with pytest.raises(ArgumentError, match="'npb' needs data"):
            prune(cells="snip")
        masks = prune(cells="snip", batch=BATCH)
        assert masks.metadata["protocol"]["samples"] == 8
        assert masks.metadata["protocol"]["bn"] == "eval-identity"
        assert masks.metadata["options"]["cells"] == "snip"

    def test_by_a_score_object_are_recorded_by_its_name(self):
        by_object, by_name = (prune(cells=cells, batch=BATCH) for cells in (Snip(), "snip"))
        assert by_object == by_name
        assert by_object.metadata["options"] == by_name.metadata["options"]

    def test_by_a_score_take_its_batch_norm_mode(self):
        @dataclass(frozen=True)
        class Warm(Last):
            bn: str = "train-batch"

        assert create("npb", cells=Warm()).bn == "train-batch"
        assert create("npb").bn == "eval-identity"

    def test_change_none_of_the_counts(self):
        """Where paths alone decide how many weights a kernel has, here in the first layer."""
        drawn, best = (prune(cells=cells)["0.weight"].flatten(2).sum(dim=2) for cells in ("random", "magnitude"))
        assert torch.equal(drawn.sum(dim=1).sort().values, best.sum(dim=1).sort().values)


def test_a_wider_cap_moves_weights_from_kernels_to_cells():
    few, many = (prune(alpha=0.0, max_per_kernel=cap)["3.weight"].flatten(2).any(dim=2).sum() for cap in (9, 1))
    assert few < many


def test_other_budgets_give_other_layer_counts():
    uniform = prune(budget="layerwise")
    for mask in uniform.values():
        assert int(mask.sum()) == pytest.approx(0.2 * mask.numel(), abs=1)
    assert prune(budget="layerwise", scope="erk") == prune()
