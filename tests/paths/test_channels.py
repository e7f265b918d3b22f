import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nodepath
from nodepath.paths import Network
from nodepath.paths.channels import Channels, _components, channels


def of(model: nn.Module, *shape: int) -> Channels:
    return channels(Network(model, torch.zeros(1, *shape)))


def written(found: Channels, name: str, row: int = 0) -> list[int]:
    return found.side((name, row), incoming=False).channels.tolist()


def read(found: Channels, name: str, row: int = 0) -> list[int]:
    return found.side((name, row), incoming=True).channels.tolist()


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.grow, self.shrink = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 1), nn.Conv2d(6, 4, 1)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.shrink(F.relu(self.grow(x)))
        return self.head(x.mean((2, 3)))


def test_a_residual_add_makes_one_channel_of_two():
    found = of(Residual(), 3, 8, 8)
    assert written(found, "stem.weight") == written(found, "shrink.weight") == read(found, "head.weight")
    assert read(found, "grow.weight") == written(found, "stem.weight")
    assert not set(written(found, "grow.weight")) & set(written(found, "stem.weight"))
    assert len(set(written(found, "grow.weight"))) == 6


def test_inputs_and_outputs_of_the_network_are_pinned():
    found = of(Residual(), 3, 8, 8)
    pinned = found.pinned.nonzero().flatten().tolist()
    assert sorted({*read(found, "stem.weight"), *written(found, "head.weight")}) == pinned


def test_what_is_written_is_read_after_a_concat_a_shuffle_and_a_slice():
    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right, self.after = nn.Conv2d(2, 4, 1), nn.Conv2d(2, 4, 1), nn.Conv2d(6, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            both = torch.cat([self.left(x), self.right(x)], 1)
            mixed = F.channel_shuffle(both, 2)  # left 0, right 0, left 1, right 1 ...
            return self.after(mixed[:, 1:7])

    found = of(Joined(), 2, 5, 5)
    left, right = written(found, "left.weight"), written(found, "right.weight")
    assert read(found, "after.weight") == [right[0], left[1], right[1], left[2], right[2], left[3]]
    assert len({*left, *right}) == 8


def test_flattened_features_are_their_channels():
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(12, 2))
    found = of(model, 1, 4, 4)
    assert read(found, "2.weight") == [channel for channel in written(found, "0.weight") for _ in range(4)]


def test_a_depthwise_layer_ties_what_it_reads_and_writes():
    model = nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 8, 3, groups=4), nn.Conv2d(8, 2, 1))
    found = of(model, 2, 5, 5)
    before = written(found, "0.weight")
    assert written(found, "1.weight") == read(found, "2.weight") == [channel for channel in before for _ in range(2)]


def test_a_gate_lives_with_what_it_steers():
    class Squeeze(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            sizes = ((2, 6), (6, 3), (3, 6), (6, 2))
            self.first, self.down, self.up, self.last = (nn.Conv2d(a, b, 1) for a, b in sizes)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            return self.last(x * self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)))).sigmoid())

    found = of(Squeeze(), 2, 5, 5)
    assert written(found, "up.weight") == written(found, "first.weight") == read(found, "last.weight")
    assert len(set(written(found, "down.weight"))) == 3


@pytest.mark.parametrize("packed", [True, False])
def test_queries_and_keys_are_tied_by_head_and_values_go_to_the_projection(packed):
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.out = nn.Linear(3, 8), nn.Linear(8, 2)
            self.attend = nn.MultiheadAttention(8, 2, batch_first=True) if packed else None
            self.q, self.k, self.v, self.project = (nn.Linear(8, 8) for _ in range(4))

        def forward(self, x: Tensor) -> Tensor:
            x = self.embed(x)
            if self.attend is not None:
                return self.out(self.attend(x, x, x)[0])
            q, k, v = (layer(x).unflatten(-1, (2, 4)).transpose(1, 2) for layer in (self.q, self.k, self.v))
            return self.out(self.project(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)))

    found = of(Attention(), 5, 3)
    if packed:
        q, k, v = (written(found, "attend.in_proj_weight", row) for row in (0, 8, 16))
        assert read(found, "attend.out_proj.weight") == v
    else:
        q, k, v = (written(found, f"{name}.weight") for name in "qkv")
        assert read(found, "project.weight") == v
    assert q == k
    assert len({*q, *v}) == 16


def test_a_weight_used_twice_ties_what_its_uses_write():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.again = nn.Linear(3, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.again(self.again(self.first(x)).relu())

    found = of(Twice(), 3)
    assert written(found, "first.weight") == read(found, "again.weight") == written(found, "again.weight")


def test_a_mixture_of_channels_is_no_channel():
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before, self.after = nn.Conv2d(2, 4, 1), nn.Conv2d(5, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.before(x)
            return self.after(torch.cat([x, x.mean(1, keepdim=True)], 1))

    found = of(Mixed(), 2, 5, 5)
    assert read(found, "after.weight") == [*written(found, "before.weight"), -1]


def test_resnet20_has_one_stream_a_stage():
    """794 output channels; each stage has four writers, three of which write what the other does; one is the input."""
    found = of(nodepath.models.create("resnet20", seed=0), 3, 32, 32)
    assert found.number == 794 - (3 * 16 + 3 * 32 + 3 * 64) + 1


def test_components_are_those_of_networkx():
    import networkx as nx

    generator = torch.Generator().manual_seed(0)
    for size, edges in ((1, 0), (30, 10), (60, 40), (200, 199)):
        left, right = torch.randint(size, (2, edges), generator=generator)
        graph = nx.Graph()
        graph.add_nodes_from(range(size))
        graph.add_edges_from(zip(left.tolist(), right.tolist(), strict=True))
        found = _components(size, left, right)
        assert int(found.max()) + 1 == nx.number_connected_components(graph)
        for component in nx.connected_components(graph):
            assert len({int(found[node]) for node in component}) == 1


def test_a_long_chain_of_adds_is_one_channel():
    left = torch.arange(999)
    assert int(_components(1000, left, left + 1).max()) == 0
