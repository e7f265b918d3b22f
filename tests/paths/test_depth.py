"""No depth overflows or underflows."""

import math

import numpy as np
import pytest
import torch
from modules import Wired
from torch import Tensor, nn

from nodepath import MaskSet, effective, measure
from nodepath.errors import NonFiniteError


def chain(depth: int, width: int) -> nn.Sequential:
    return nn.Sequential(*(nn.Linear(width, width) for _ in range(depth)))


def masks_of(model: nn.Module, mask: Tensor) -> dict[str, Tensor]:
    return {name: mask.clone() for name, parameter in model.named_parameters() if parameter.ndim > 1}


def integers(mask: Tensor) -> np.ndarray:
    return np.array(mask.int().tolist(), dtype=object)


def test_a_thousand_layers_of_ten_have_ten_to_the_1001_paths():
    topology = measure(chain(1000, 10), torch.zeros(1, 10))
    assert topology.log10_paths == pytest.approx(1001, rel=1e-12)
    assert topology.path_ratio == 1.0
    assert topology.nodes == topology.effective_width == pytest.approx(10010)
    # each layer's width is 10, the input's too: log paths = sum of log widths
    assert topology.position == pytest.approx(0.5, rel=1e-12)


@pytest.mark.parametrize("seed", [0, 1])
def test_five_hundred_residual_blocks_equal_pythons_integers(seed):
    def wiring(self, x):
        for block in self.blocks:
            x = x + block(x)
        return x

    blocks = nn.ModuleList(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 4)) for _ in range(500))
    model = Wired(wiring, blocks=blocks)
    generator = torch.Generator().manual_seed(seed)
    masks = {
        f"{name}.weight": torch.rand(layer.weight.shape, generator=generator) < 0.6
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear)
    }
    counts = np.array([1] * 4, dtype=object)
    for i in range(500):
        hidden = integers(masks[f"blocks.{i}.0.weight"]).dot(counts)
        counts = counts + integers(masks[f"blocks.{i}.2.weight"]).dot(hidden)
    expected = math.log10(sum(counts))
    assert expected > 308  # beyond float64
    assert measure(model, torch.zeros(1, 4), masks).log10_paths == pytest.approx(expected, rel=1e-12)


def beside(width: int) -> Tensor:
    """One thread beside a dense block: never mixed."""
    mask = torch.ones(width + 1, width + 1, dtype=torch.bool)
    mask[width, :width] = mask[:width, width] = False
    return mask


def test_a_weight_that_carries_ten_to_the_minus_400_of_the_paths_is_effective():
    model = chain(401, 11)
    masks = masks_of(model, beside(10))
    x = torch.zeros(1, 11)
    live = effective(model, x, masks)
    assert all(bool((live[name] == mask).all()) for name, mask in masks.items())
    topology = measure(model, x, masks)
    assert topology.effective == topology.kept
    assert topology.nodes == 11 * 402
    assert topology.log10_paths == pytest.approx(402, rel=1e-12)


def test_threads_beside_a_dense_block_that_leads_nowhere_are_still_counted():
    model = chain(401, 11)
    masks = masks_of(model, beside(10))
    masks["400.weight"] = torch.zeros(11, 11, dtype=torch.bool)
    masks["400.weight"][:3, 10] = True  # all that is left: one thread, three outputs
    topology = measure(model, torch.zeros(1, 11), masks)
    assert topology.effective == 400 + 3
    assert topology.log10_paths == pytest.approx(math.log10(3), abs=1e-9)
    assert topology.effective_width == pytest.approx(401 + 3)


def test_counts_beyond_what_one_exponent_can_hold_end_in_a_typed_error():
    """Forward counts differ by 10^400 in the middle, and the smaller one wins in the end."""
    model = chain(1200, 22)
    wide, thin = torch.ones(11, 11, dtype=torch.bool), torch.eye(11, dtype=torch.bool)
    masks = {}
    for i in range(1200):
        first, second = (wide, thin) if i < 400 else (thin, wide)
        masks[f"{i}.weight"] = torch.block_diag(first, second)
    with pytest.raises(NonFiniteError, match="exponent"):
        measure(model, torch.zeros(1, 22), masks)
    assert effective(model, torch.zeros(1, 22), masks) == MaskSet(masks)


def test_deep_networks_without_a_path_say_so():
    model = chain(300, 10)
    masks = {"150.weight": torch.zeros(10, 10, dtype=torch.bool)}
    topology = measure(model, torch.zeros(1, 10), masks)
    assert topology.log10_paths == -math.inf
    assert topology.effective == topology.nodes == 0
