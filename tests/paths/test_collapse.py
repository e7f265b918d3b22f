"""Where a mask cuts a network, and which weights would mend it."""

import pytest
import torch
from modules import Wired
from torch import nn

from nodepath.paths import Network
from nodepath.paths.collapse import find_collapse
from nodepath.paths.reach import openings, reach

X = torch.zeros(1, 3)


def none(model: nn.Module, *names: str) -> dict[str, torch.Tensor]:
    return {name: torch.zeros_like(model.get_parameter(name), dtype=torch.bool) for name in names}


def residual() -> nn.Module:
    return Wired(
        lambda self, x: self.head(self.stem(x) + self.b(self.a(self.stem(x)))),
        stem=nn.Linear(3, 3), a=nn.Linear(3, 3), b=nn.Linear(3, 3), head=nn.Linear(3, 2),
    )  # fmt: skip


def projected() -> nn.Module:
    return Wired(
        lambda self, x: self.b(self.a(x)) + self.beside(x),
        a=nn.Linear(3, 3), b=nn.Linear(3, 3), beside=nn.Linear(3, 3),
    )  # fmt: skip


def test_a_whole_network_has_not_collapsed():
    found = find_collapse(Network(residual(), X), {})
    assert not found
    assert found.emptied == ()


def test_an_emptied_layer_of_a_chain_cuts_every_path():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    found = find_collapse(Network(model, X), none(model, "1.weight"))
    assert (found.emptied, found.bypassed, found.no_path) == (("1.weight",), (), True)
    assert found
    assert not found.harmless


def test_no_path_may_be_left_though_no_layer_is_empty():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    masks = {"0.weight": torch.tensor([[1, 1], [0, 0]]).bool(), "1.weight": torch.tensor([[0, 1], [0, 1]]).bool()}
    found = find_collapse(Network(model, torch.zeros(1, 2)), masks)
    assert found.emptied == ()
    assert found.no_path
    assert not found.harmless


@pytest.mark.parametrize("emptied", [("a.weight",), ("b.weight",), ("a.weight", "b.weight")])
def test_a_layer_that_a_live_skip_passes_by_is_harmless(emptied):
    model = residual()
    # the stem runs twice: both branches come from the input
    found = find_collapse(Network(model, X), none(model, *emptied))
    assert set(found.emptied) == set(found.bypassed) == set(emptied)
    assert found
    assert found.harmless


def test_a_layer_beside_a_dead_skip_is_not_bypassed():
    model = projected()
    found = find_collapse(Network(model, X), none(model, "a.weight", "beside.weight"))
    assert found.no_path
    assert found.bypassed == ()
    assert not found.harmless


def test_a_shortcut_beside_a_live_branch_is_bypassed():
    model = projected()
    found = find_collapse(Network(model, X), none(model, "beside.weight"))
    assert found.bypassed == ("beside.weight",)
    assert found.harmless


def test_layers_before_and_after_a_skip_are_not_bypassed():
    model = residual()
    for name in ("stem.weight", "head.weight"):
        found = find_collapse(Network(model, X), none(model, name))
        assert found.bypassed == ()
        assert found.no_path


def test_openings_are_the_weights_that_would_be_on_a_path_if_kept():
    """By trying each weight in turn."""
    generator = torch.Generator().manual_seed(3)
    model = nn.Sequential(nn.Conv1d(2, 3, 2), nn.ReLU(), nn.Conv1d(3, 2, 2, padding=1), nn.Flatten(), nn.Linear(10, 2))
    network = Network(model, torch.zeros(1, 2, 5))
    masks = {name: torch.rand(layer.shape, generator=generator) < 0.3 for name, layer in network.layers.items()}
    found = openings(network, masks)
    closed_and_open = 0
    for name, mask in masks.items():
        for index in range(mask.numel()):
            tried = {**masks, name: mask.clone()}
            tried[name].view(-1)[index] = True
            expected = bool(reach(network, tried).weights[name].view(-1)[index])
            assert bool(found[name].view(-1)[index]) == expected
            closed_and_open += expected and not bool(mask.view(-1)[index])
    assert closed_and_open  # the masks left something to open
