"""Inputs of whole numbers: where an embedding or a layer reads them, paths begin; masks and positions begin none."""

import math

import pytest
import torch
import torch.nn.functional as F
from modules import Wired
from torch import Tensor, nn

from nodepath import Topology, effective, measure
from nodepath.errors import MaskMismatchError, NoPathError
from nodepath.paths import Network, path_shares

RESOLUTIONS = ("pixel", "channel")
VOCABULARY, WIDTH = 9, 4


def ids(*shape: int) -> Tensor:
    return torch.zeros(shape or (1, 5), dtype=torch.long)


def count(topology: Topology) -> float:
    return 10**topology.log10_paths


class LanguageModel(nn.Module):
    """Token and position embeddings, causal blocks, a head that may be the embedding."""

    def __init__(self, *, tied: bool, blocks: int = 1, positions: bool = True) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.positions = nn.Embedding(16, WIDTH) if positions else None
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 6, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, blocks, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        if tied:
            self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        if self.positions is not None:
            x = x + self.positions(torch.arange(tokens.shape[1]))
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1])
        return self.head(self.blocks(x, mask=mask, is_causal=True))


# embeddings


@pytest.mark.parametrize("resolution", RESOLUTIONS)
@pytest.mark.parametrize("tokens", [1, 5])
def test_paths_begin_at_the_features_of_an_embedding(tokens, resolution):
    model = nn.Sequential(nn.Embedding(VOCABULARY, WIDTH), nn.Linear(WIDTH, 3), nn.ReLU(), nn.Linear(3, 2))
    topology = measure(model, ids(1, tokens), resolution=resolution)
    assert count(topology) == pytest.approx(WIDTH * 3 * 2 * (tokens if resolution == "pixel" else 1))
    assert topology.nodes == topology.dense_nodes == WIDTH + 3 + 2
    assert [layer.name for layer in topology.layers] == ["1.weight", "3.weight"]
    mask = torch.ones(3, WIDTH, dtype=torch.bool)
    mask[:, 0] = False
    assert measure(model, ids(1, tokens), {"1.weight": mask}, resolution=resolution).nodes == WIDTH - 1 + 3 + 2


@pytest.mark.parametrize("dtype", [torch.long, torch.int32])
def test_neither_the_type_nor_the_values_of_ids_matter(dtype):
    model = LanguageModel(tied=False)
    expected = measure(model, ids())
    assert measure(model, torch.tensor([[3, 1, 4, 1, 5]], dtype=dtype)) == expected


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_features_of_an_embedding_are_nodes_where_they_meet_another_branch(resolution):
    """No layer reads them alone."""
    model = Wired(
        lambda self, x, kind: self.head(self.conv(x).flatten(2).transpose(1, 2) + self.kinds(kind)),
        conv=nn.Conv2d(3, WIDTH, 2, 2),
        kinds=nn.Embedding(2, WIDTH),
        head=nn.Linear(WIDTH, 2),
    )
    x = torch.zeros(1, 3, 4, 6), ids(1, 6)
    topology = measure(model, x, resolution=resolution)
    assert topology.nodes == topology.dense_nodes == 3 + WIDTH + WIDTH + 2
    assert count(topology) == pytest.approx((12 + 1) * WIDTH * 2 * (6 if resolution == "pixel" else 1))
    assert len(path_shares(model, x, resolution=resolution)["input1"]) == WIDTH


def test_two_embeddings_of_two_inputs_are_two_inputs():
    model = Wired(
        lambda self, tokens, kinds: self.head(self.tokens(tokens) + self.kinds(kinds)),
        tokens=nn.Embedding(VOCABULARY, WIDTH),
        kinds=nn.Embedding(2, WIDTH),
        head=nn.Linear(WIDTH, 2),
    )
    topology = measure(model, {"tokens": ids(), "kinds": ids()})
    assert count(topology) == pytest.approx(2 * 5 * WIDTH * 2)
    assert topology.nodes == 2 * WIDTH + 2
    assert list(path_shares(model, (ids(), ids()))) == ["input", "input1", "head.weight"]


def test_ids_that_were_moved_before_they_are_looked_up_are_looked_up():
    def wiring(self, tokens):
        return self.head(self.embed(tokens.flip(1)[:, :3].clamp(min=0).to(torch.int32)))

    model = Wired(wiring, embed=nn.Embedding(VOCABULARY, WIDTH), head=nn.Linear(WIDTH, 2))
    assert count(measure(model, ids())) == pytest.approx(3 * WIDTH * 2)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_a_bag_of_embeddings_is_one_vector(mode, resolution):
    model = Wired(
        lambda self, *x: self.head(self.bag(*x)),
        bag=nn.EmbeddingBag(VOCABULARY, WIDTH, mode=mode),
        head=nn.Linear(WIDTH, 2),
    )
    topology = measure(model, ids(1, 5), resolution=resolution)
    assert count(topology) == pytest.approx(WIDTH * 2)
    assert topology.nodes == WIDTH + 2
    bags = measure(model, (ids(6), torch.tensor([0])), resolution=resolution)
    assert bags == topology


# the head


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_a_head_that_is_the_embedding_is_reported_and_is_not_pruned(resolution):
    tied, free = (measure(LanguageModel(tied=t), ids(), resolution=resolution) for t in (True, False))
    assert tied.tied == ("embed.weight",)
    assert free.tied == ()
    assert tied.unused == free.unused == ()
    assert "head.weight" in [layer.name for layer in free.layers]
    assert [layer.name for layer in tied.layers] == [la.name for la in free.layers if la.name != "head.weight"]
    assert tied.log10_paths == pytest.approx(free.log10_paths, rel=1e-12)
    assert tied.nodes == free.nodes - VOCABULARY
    assert tied.prunable == free.prunable - VOCABULARY * WIDTH
    assert tied.to_dict()["tied"] == ["embed.weight"]


@pytest.mark.parametrize("name", ["embed.weight", "head.weight"])
def test_a_mask_of_a_tied_head_or_of_an_embedding_is_refused(name):
    mask = {name: torch.ones(VOCABULARY, WIDTH, dtype=torch.bool)}
    with pytest.raises(MaskMismatchError, match=f"'{name}' is no prunable weight"):
        measure(LanguageModel(tied=True), ids(), mask)
    with pytest.raises(MaskMismatchError, match=r"'embed\.weight' is no prunable weight"):
        measure(LanguageModel(tied=False), ids(), {"embed.weight": mask[name]})


def test_a_causal_language_model_has_the_paths_that_its_mask_allows():
    """Each token reads those up to itself; then two layers of the block, beside their skips, and the head."""
    tokens = 5
    model = LanguageModel(tied=True)
    attended = [1 + WIDTH * WIDTH * read for read in range(1, tokens + 1)]
    expected = WIDTH * sum(attended) * (1 + 6 * WIDTH) * VOCABULARY
    assert count(measure(model, ids(1, tokens))) == pytest.approx(expected)
    by_channel = WIDTH * (1 + WIDTH * WIDTH) * (1 + 6 * WIDTH) * VOCABULARY
    assert count(measure(model, ids(1, tokens), resolution="channel")) == pytest.approx(by_channel)


def test_effective_weights_of_a_language_model_lead_to_its_head():
    model = LanguageModel(tied=True, blocks=2)
    masks = {name: torch.ones(la.shape, dtype=torch.bool) for name, la in Network(model, ids()).layers.items()}
    masks["blocks.layers.1.linear2.weight"][:] = False
    live = effective(model, ids(), masks)
    assert not live["blocks.layers.1.linear1.weight"].any()
    assert bool(live["blocks.layers.1.self_attn.in_proj_weight"].all())


# numbers that are features


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_ids_cast_to_floating_point_are_features(resolution):
    model = Wired(lambda self, x: self.b(F.relu(self.a(x.float()))), a=nn.Linear(6, 3), b=nn.Linear(3, 2))
    topology = measure(model, ids(1, 6), resolution=resolution)
    assert count(topology) == pytest.approx(6 * 3 * 2)
    assert topology.nodes == 6 + 3 + 2
    assert topology == measure(model, torch.zeros(1, 6), resolution=resolution)


def test_bytes_of_an_image_are_its_pixels():
    model = Wired(lambda self, x: self.a(x.permute(0, 3, 1, 2).float() / 255), a=nn.Conv2d(3, 4, 3))
    topology = measure(model, torch.zeros(1, 8, 8, 3, dtype=torch.uint8))
    assert count(topology) == pytest.approx(27 * 36 * 4)
    assert topology.nodes == 3 + 4


def test_one_hot_ids_are_features():
    model = Wired(lambda self, x: self.a(F.one_hot(x, VOCABULARY).float()), a=nn.Linear(VOCABULARY, 2))
    topology = measure(model, ids())
    assert count(topology) == pytest.approx(5 * VOCABULARY * 2)
    assert topology.nodes == VOCABULARY + 2


def test_features_that_two_layers_read_begin_once():
    def wiring(self, x):
        x = x.float()
        return self.a(x) + self.b(x)

    model = Wired(wiring, a=nn.Linear(6, 2), b=nn.Linear(6, 2))
    topology = measure(model, ids(1, 6))
    assert count(topology) == pytest.approx(6 * 2 * 2)
    assert topology.nodes == 6 + 2 + 2
    assert list(path_shares(model, ids(1, 6))) == ["input", "a.weight", "b.weight"]


# masks and positions


def attention(**options) -> nn.Module:
    def wiring(self, x, padding=None, mask=None):
        return self.inner(x, x, x, key_padding_mask=padding, attn_mask=mask, need_weights=False)[0]

    return Wired(wiring, inner=nn.MultiheadAttention(WIDTH, 2, batch_first=True, **options))


def read_by(*keys: int) -> float:
    """Paths when so many keys are read by each query: a feature, a value, a feature of the result."""
    return WIDTH**3 * sum(keys)


def test_a_bool_mask_of_padding_hides_its_keys_and_is_no_input():
    x, padding = torch.zeros(1, 4, WIDTH), torch.tensor([[False, False, False, True]])
    assert count(measure(attention(), x)) == pytest.approx(read_by(4, 4, 4, 4))
    topology = measure(attention(), {"x": x, "padding": padding})
    assert count(topology) == pytest.approx(read_by(3, 3, 3, 3))
    assert topology.dense_log10_paths == topology.log10_paths
    assert topology.nodes == WIDTH + 3 * WIDTH + WIDTH
    assert [n for n in path_shares(attention(), (x, padding)) if n.startswith("input")] == ["input"]
    everything = measure(attention(), (x, torch.ones_like(padding)))
    assert everything.log10_paths == -math.inf


def test_a_mask_of_padding_belongs_to_the_samples():
    x, padding = torch.zeros(3, 4, WIDTH), torch.tensor([[False, False, False, True]] * 3)
    assert count(measure(attention(), (x, padding))) == pytest.approx(read_by(3, 3, 3, 3))


@pytest.mark.parametrize("kind", ["float", "bool"])
def test_a_mask_of_attention_is_a_constant_and_no_input(kind):
    x, mask = torch.zeros(1, 4, WIDTH), torch.ones(4, 4, dtype=torch.bool).triu(1)
    if kind == "float":
        mask = torch.zeros(4, 4).masked_fill(mask, -torch.inf)
    topology = measure(attention(), {"x": x, "mask": mask})
    assert count(topology) == pytest.approx(read_by(1, 2, 3, 4))
    assert topology.nodes == WIDTH + 3 * WIDTH + WIDTH
    assert [n for n in path_shares(attention(), {"x": x, "mask": mask}) if n.startswith("input")] == ["input"]
    by_channel = measure(attention(), {"x": x, "mask": mask}, resolution="channel")
    assert count(by_channel) == pytest.approx(read_by(1))
    assert by_channel.nodes == topology.nodes


def test_a_mask_of_whole_numbers_is_computed_and_no_input():
    """As in BERT: 1 for what may be read."""

    def wiring(self, tokens, mask):
        x = self.embed(tokens)
        scores = self.q(x) @ self.k(x).transpose(1, 2) / math.sqrt(WIDTH)
        scores = scores + (1.0 - mask[:, None, :].float()) * -10000.0
        return scores.softmax(-1) @ self.v(x)

    parts = {name: nn.Linear(WIDTH, WIDTH) for name in "qkv"}
    model = Wired(wiring, embed=nn.Embedding(VOCABULARY, WIDTH), **parts)
    for mask, read in (([[1, 1, 1, 1]], 4), ([[1, 0, 1, 0]], 2)):
        topology = measure(model, {"tokens": ids(1, 4), "mask": torch.tensor(mask)})
        assert count(topology) == pytest.approx(4 * read * WIDTH * WIDTH)
        assert topology.nodes == WIDTH + 3 * WIDTH


def test_positions_by_number_are_constants():
    with_positions, without = (measure(LanguageModel(tied=False, positions=p), ids()) for p in (True, False))
    assert with_positions == without
    assert list(path_shares(LanguageModel(tied=False), ids()))[:2] == [
        "input",
        "blocks.layers.0.self_attn.in_proj_weight",
    ]


def test_positions_that_are_an_input_begin_paths():
    """As any ids that an embedding looks up."""
    model = Wired(
        lambda self, tokens, places: self.head(self.embed(tokens) + self.places(places)),
        embed=nn.Embedding(VOCABULARY, WIDTH),
        places=nn.Embedding(16, WIDTH),
        head=nn.Linear(WIDTH, 2),
    )
    places = torch.arange(5)[None]
    assert count(measure(model, (ids(), places))) == pytest.approx(2 * 5 * WIDTH * 2)


def test_ids_that_nothing_reads_are_no_input():
    model = Wired(lambda self, x, unread: self.a(x), a=nn.Linear(3, 2))
    assert measure(model, (torch.zeros(1, 3), ids())).nodes == 3 + 2
    with pytest.raises(NoPathError, match="no output of Wired depends on the example input"):
        measure(Wired(lambda self, unread: self.a(torch.zeros(1, 3)), a=nn.Linear(3, 2)), ids())
