"""A projection shortcut is a matter of structure: alone beside at least two layers in sequence."""

import pytest
import torch
import torch.nn.functional as F
from modules import Wired
from torch import nn

from nodepath import measure, models


def conv(inputs: int, outputs: int, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)


def shortcuts(model: nn.Module) -> set[str]:
    x = torch.zeros(1, 3, 8, 8)
    return {layer.name for layer in measure(model, x).layers if layer.shortcut}


def test_a_block_with_names_of_its_own_is_recognised():
    model = Wired(
        lambda self, x: self.salt(x) + self.pepper(x),
        salt=nn.Sequential(conv(3, 4), nn.ReLU(), conv(4, 4)),
        pepper=nn.Sequential(nn.AvgPool2d(3, 1, 1), conv(3, 4, 1), nn.BatchNorm2d(4)),
    )
    assert shortcuts(model) == {"pepper.1.weight"}


def test_a_pre_activation_block_is_recognised():
    def wiring(self, x):
        x = self.stem(x)
        h = F.relu(self.norm(x))
        return self.c2(F.relu(self.c1(h))) + self.beside(h)

    parts = {"stem": conv(3, 4), "norm": nn.BatchNorm2d(4), "c1": conv(4, 6), "c2": conv(6, 6), "beside": conv(4, 6, 1)}
    assert shortcuts(Wired(wiring, **parts)) == {"beside.weight"}


def test_a_kernel_of_three_alone_beside_two_layers_is_one_too():
    model = Wired(lambda self, x: self.a(x) + self.c(self.b(x)), a=conv(3, 4), b=conv(3, 4), c=conv(4, 4))
    assert shortcuts(model) == {"a.weight"}


def test_a_pointwise_layer_beside_a_single_one_is_none():
    assert shortcuts(Wired(lambda self, x: self.a(x) + self.b(x), a=conv(3, 4), b=conv(3, 4, 1))) == set()


def test_two_layers_beside_each_other_are_not_two_in_sequence():
    model = Wired(
        lambda self, x: torch.cat([self.a(x), self.b(x)], 1) + self.c(x), a=conv(3, 2), b=conv(3, 2), c=conv(3, 4, 1)
    )
    assert shortcuts(model) == set()


def test_two_layers_in_sequence_on_both_sides_are_none():
    model = Wired(
        lambda self, x: self.b(self.a(x)) + self.d(self.c(x)), a=conv(3, 4), b=conv(4, 4), c=conv(3, 4), d=conv(4, 4)
    )
    assert shortcuts(model) == set()


def test_identity_shortcuts_are_none():
    model = Wired(lambda self, x: x + self.b(self.a(x)), a=conv(3, 3), b=conv(3, 3))
    assert shortcuts(model) == set()


def test_concatenations_make_no_shortcut():
    model = Wired(
        lambda self, x: self.d(torch.cat([self.a(x), self.c(self.b(x))], 1)),
        a=conv(3, 4, 1), b=conv(3, 4), c=conv(4, 4), d=conv(8, 2),
    )  # fmt: skip
    assert shortcuts(model) == set()


def test_branches_of_two_inputs_that_meet_make_no_shortcut():
    model = Wired(lambda self, x, y: self.b(self.a(x)) + self.c(y), a=conv(3, 4), b=conv(4, 4), c=conv(2, 4, 1))
    topology = measure(model, (torch.zeros(1, 3, 8, 8), torch.zeros(1, 2, 8, 8)))
    assert not any(layer.shortcut for layer in topology.layers)


def test_a_positional_embedding_makes_no_shortcut():
    def wiring(self, x):
        return self.c(self.b(self.a(x) + self.position))

    model = Wired(wiring, a=conv(3, 4), b=conv(4, 4), c=conv(4, 4))
    model.position = nn.Parameter(torch.zeros(1, 4, 8, 8))
    assert shortcuts(model) == set()


@pytest.mark.parametrize(("name", "count"), [("resnet20", 2), ("wrn-16-8", 3), ("resnet18-tiny", 3), ("lenet5", 0)])
def test_the_zoo_has_as_many_as_its_papers_say(name, count):
    spec = models.describe(name)
    found = [la for la in measure(models.create(name), torch.zeros(1, *spec.input_size)).layers if la.shortcut]
    assert len(found) == count
    assert all(layer.shape[2:] == (1, 1) for layer in found)


def test_paper_nodes_leave_the_shortcut_out_and_exact_nodes_count_it():
    model = Wired(lambda self, x: self.a(x) + self.c(self.b(x)), a=conv(3, 4, 1), b=conv(3, 5), c=conv(5, 4))
    x = torch.zeros(1, 3, 8, 8)
    assert measure(model, x).nodes == 3 + 4 + 5 + 4
    assert measure(model, x, convention="paper").nodes == 3 + 5
