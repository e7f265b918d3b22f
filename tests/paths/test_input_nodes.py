"""Which units of the input are nodes: image channels, features of tokens, or each unit of a flattened input."""

import torch
import torch.nn.functional as F
from modules import Wired
from torch import nn

from nodepath import measure


def input_nodes(model: nn.Module, x, outputs: int) -> int:
    return measure(model, x).nodes - outputs


def test_channels_of_an_image():
    assert input_nodes(nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 8, 8), 4) == 3


def test_units_of_a_flattened_image():
    assert input_nodes(nn.Sequential(nn.Flatten(), nn.Linear(48, 5)), torch.zeros(1, 3, 4, 4), 5) == 48


def test_features_of_tokens():
    assert input_nodes(nn.Linear(6, 5), torch.zeros(1, 7, 6), 5) == 6


def test_features_of_a_vector():
    assert input_nodes(nn.Linear(6, 5), torch.zeros(1, 6), 5) == 6


def test_units_of_an_image_that_is_pooled_before_it_is_flattened():
    """A Linear that reads a flattened image reads no columns of it."""
    model = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 5))
    assert input_nodes(model, torch.zeros(1, 3, 4, 4), 5) == 48


def test_units_of_a_flattened_image_of_which_a_part_is_read():
    model = Wired(lambda self, x: self.a(x.flatten(1)[:, :5]), a=nn.Linear(5, 4))
    topology = measure(model, torch.zeros(1, 1, 4, 4))
    assert topology.nodes == 5 + 4
    assert topology.dense_nodes == 16 + 4


def test_channels_of_an_image_cut_into_patches():
    """Patches on the last axis of a Linear: the image's columns are no channels."""
    model = Wired(lambda self, x: self.a(F.unfold(x, 2, stride=2).transpose(1, 2)).mean(1), a=nn.Linear(12, 5))
    assert input_nodes(model, torch.zeros(1, 3, 8, 8), 5) in (3, 192)


def test_channels_of_all_inputs_are_counted():
    model = Wired(lambda self, a, b: self.a(a) + self.b(b), a=nn.Linear(3, 2), b=nn.Linear(4, 2))
    topology = measure(model, (torch.zeros(1, 3), torch.zeros(1, 4)))
    assert topology.nodes == topology.dense_nodes == 3 + 4 + 2 + 2
    assert topology.effective_width == 11


def test_a_channel_that_no_path_leaves_is_no_effective_node():
    mask = torch.ones(4, 3, 3, 3, dtype=torch.bool)
    mask[:, 1] = False
    topology = measure(nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 8, 8), {"weight": mask})
    assert (topology.nodes, topology.dense_nodes) == (6, 7)
