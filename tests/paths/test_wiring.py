import pytest
import torch
from torch import Tensor, nn

from nodepath.paths import Network
from nodepath.paths.wiring import wiring


def feeds_of(model: nn.Module, x: Tensor) -> dict[str, set[str]]:
    """ "layer < i", or "out < i" -> who feeds it, "layer > i" or "in > i"."""
    found = wiring(Network(model, x))
    nodes = [f"in > {i}" for i in range(found.sources)]
    readers = []
    for site in found.sites:
        name = (site.name or "fixed").removesuffix(".weight")
        nodes += [f"{name} > {i}" for i in range(site.geometry.outputs)]
        readers += [f"{name} < {i}" for i in range(site.geometry.inputs)]
    readers += [f"out < {i}" for i in range(found.ends)]
    made = {reader: set() for reader in readers}
    for reader, node in zip(found.feeds.reader.tolist(), found.feeds.node.tolist(), strict=True):
        made[readers[reader]].add(nodes[node])
    return made


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b = nn.Conv2d(3, 2, 3), nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 2, 3, padding=1)
        self.c, self.head = nn.Conv2d(2, 2, 1), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        y = self.b(self.a(x).relu()) + x
        z = self.c(y) + y
        return self.head(torch.cat([z, x], 1).mean((2, 3)))


def test_a_sum_is_fed_by_all_that_it_adds_and_a_concatenation_by_each_alone():
    feeds = feeds_of(Block(), torch.zeros(1, 3, 8, 8))
    for i in range(2):
        assert feeds[f"stem < {i}"] == {f"in > {i}"}
        assert feeds[f"a < {i}"] == {f"stem > {i}"}  # not what is added later
        assert feeds[f"c < {i}"] == {f"b > {i}", f"stem > {i}"}
        assert feeds[f"head < {i}"] == {f"c > {i}", f"b > {i}", f"stem > {i}"}
        assert feeds[f"head < {i + 2}"] == {f"stem > {i}"}
        assert feeds[f"out < {i}"] == {f"head > {i}"}
    assert feeds["b < 3"] == {"a > 3"}


def test_flattened_features_are_their_channels():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(8, 3))
    feeds = feeds_of(model, torch.zeros(1, 1, 2, 2))
    assert [feeds[f"2 < {i}"] for i in range(8)] == [{"0 > 0"}] * 4 + [{"0 > 1"}] * 4


def test_a_flattened_input_is_a_node_a_unit():
    feeds = feeds_of(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), torch.zeros(1, 3, 2, 2))
    assert [feeds[f"1 < {i}"] for i in range(12)] == [{f"in > {i}"} for i in range(12)]


class Parallel(nn.Module):
    """A channel that is added later is read before, by what runs after the other branch."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.head = (nn.Linear(2, 2) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.a(x), self.b(x)
        return self.head(self.c(a) + (a + b))


def test_what_is_added_elsewhere_feeds_nobody_here():
    feeds = feeds_of(Parallel(), torch.zeros(1, 2))
    assert feeds["c < 0"] == {"a > 0"}
    assert feeds["head < 1"] == {"a > 1", "b > 1", "c > 1"}


class Mixing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.shift = nn.Linear(2, 4), nn.Linear(2, 3), nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x) + self.shift
        return self.b(torch.stack([a[:, :2].mean(1), a[:, 2:].sum(1) + x[:, 0]], 1))


def test_channels_that_are_mixed_feed_together():
    feeds = feeds_of(Mixing(), torch.zeros(1, 2))
    assert feeds["b < 0"] == {"a > 0", "a > 1"}
    assert feeds["b < 1"] == {"a > 2", "a > 3", "in > 0"}


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(self.a(x).relu())


def test_a_layer_that_is_used_twice_is_two_sites():
    found = wiring(Network(Twice(), torch.zeros(1, 2)))
    assert [site.name for site in found.sites] == ["a.weight", "a.weight"]
    assert list(zip(found.feeds.reader.tolist(), found.feeds.node.tolist(), strict=True)) == [(i, i) for i in range(6)]


def test_depthwise_and_grouped_layers_and_pooling_keep_channels_apart():
    model = nn.Sequential(
        *(nn.Conv2d(2, 4, 1), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.AvgPool2d(2)),
        *(nn.Conv2d(4, 2, 1, groups=2), nn.AdaptiveAvgPool2d(1)),
    )
    feeds = feeds_of(model, torch.zeros(1, 2, 8, 8))
    assert [feeds[f"2 < {i}"] for i in range(4)] == [{f"0 > {i}"} for i in range(4)]
    assert [feeds[f"4 < {i}"] for i in range(4)] == [{f"2 > {i}"} for i in range(4)]


@pytest.mark.parametrize("gradients", [True, False])
def test_attention_passes_values_on_and_leaves_no_trace(gradients):
    class Attend(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.attend = nn.Linear(3, 4), nn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            x = self.embed(x)
            return x + self.attend(x, x, x)[0]

    with torch.set_grad_enabled(gradients):
        feeds = feeds_of(Attend(), torch.zeros(1, 5, 3))
        assert torch.is_grad_enabled() is gradients
    assert feeds["attend.out_proj < 2"] == {"attend.in_proj_weight > 2"}  # of the values alone
    assert feeds["out < 3"] == {"attend.out_proj > 3", "embed > 3"}
