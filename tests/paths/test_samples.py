"""One sample is counted, however many the example input holds; where its first axis holds no samples, all of it."""

import math

import pytest
import torch
import torch.nn.functional as F
from modules import Wired
from torch import Tensor, nn

from nodepath import Topology, effective, measure, models
from nodepath.paths import Network

RESOLUTIONS = ("pixel", "channel")


def log10_paths(model: nn.Module, x, masks=None, **options) -> float:
    return measure(model, x, masks, **options).log10_paths


def half(model: nn.Module, x) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {n: torch.rand(la.shape, generator=generator) < 0.5 for n, la in Network(model, x).layers.items()}


# batches


def windows() -> nn.Module:
    """Attention within windows that are moved to the axis of the samples."""

    def wiring(self, x):
        samples = len(x)
        x = self.embed(x).reshape(samples * 2, 3, 4)
        x = x + self.attend(x, x, x)[0]
        return self.head(x.reshape(samples, 6, 4).mean(1))

    attend = nn.MultiheadAttention(4, 2, batch_first=True)
    return Wired(wiring, embed=nn.Linear(5, 4), attend=attend, head=nn.Linear(4, 2))


def two_towers() -> nn.Module:
    return Wired(
        lambda self, image, vector: self.head(self.image(image).mean((2, 3)) + self.vector(vector)),
        image=nn.Conv2d(3, 4, 3),
        vector=nn.Linear(5, 4),
        head=nn.Linear(4, 2),
    )


def steered() -> nn.Module:
    def wiring(self, x):
        x = self.first(x)
        return self.last(x * torch.sigmoid(self.gate(x.mean((2, 3))))[:, :, None, None])

    return Wired(wiring, first=nn.Conv2d(3, 4, 3), gate=nn.Linear(4, 4), last=nn.Conv2d(4, 2, 3))


MODELS = {
    "convolution": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)),
        lambda n: torch.zeros(n, 3, 8, 8),
    ),
    "resnet": (lambda: models.create("resnet20", num_classes=10, seed=0), lambda n: torch.zeros(n, 3, 16, 16)),
    "perceptron": (
        lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)),
        lambda n: torch.zeros(n, 4),
    ),
    "view": (
        lambda: Wired(lambda self, x: self.a(x.view(x.size(0), -1)), a=nn.Linear(12, 2)),
        lambda n: torch.zeros(n, 3, 4),
    ),
    "tokens": (lambda: nn.TransformerEncoderLayer(4, 2, 6, batch_first=True), lambda n: torch.zeros(n, 5, 4)),
    "windows": (windows, lambda n: torch.zeros(n, 6, 5)),
    "recurrent": (
        lambda: Wired(lambda self, x: self.b(self.a(x)[0]), a=nn.LSTM(3, 4, batch_first=True), b=nn.Linear(4, 2)),
        lambda n: torch.zeros(n, 5, 3),
    ),
    "ids": (
        lambda: nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 3), nn.Flatten(), nn.Linear(15, 2)),
        lambda n: torch.zeros(n, 5, dtype=torch.long),
    ),
    "bags": (
        lambda: nn.Sequential(nn.EmbeddingBag(7, 4), nn.Linear(4, 2)),
        lambda n: torch.zeros(n, 5, dtype=torch.long),
    ),
    "gate": (steered, lambda n: torch.zeros(n, 3, 8, 8)),
    "tuple": (two_towers, lambda n: (torch.zeros(n, 3, 8, 8), torch.zeros(n, 5))),
    "dict": (two_towers, lambda n: {"image": torch.zeros(n, 3, 8, 8), "vector": torch.zeros(n, 5)}),
}


@pytest.mark.parametrize("resolution", RESOLUTIONS)
@pytest.mark.parametrize(("make", "example"), MODELS.values(), ids=MODELS)
def test_the_number_of_samples_does_not_matter(make, example, resolution):
    model = make()
    masks = half(model, example(1))
    one = measure(model, example(1), masks, resolution=resolution)
    assert one.effective > 0
    for samples in (2, 3, 5):
        assert measure(model, example(samples), masks, resolution=resolution) == one
    live = effective(model, example(1), masks, resolution=resolution)
    assert effective(model, example(4), masks, resolution=resolution) == live


def test_samples_that_return_several_outputs_are_told_from_tokens():
    model = Wired(lambda self, x: {"a": self.a(x), "b": (self.b(x), x.sum((1,)))}, a=nn.Linear(3, 2), b=nn.Linear(3, 4))
    assert measure(model, torch.zeros(6, 3)) == measure(model, torch.zeros(1, 3))


# what is no batch


@pytest.mark.parametrize("resolution", RESOLUTIONS)
@pytest.mark.parametrize("tokens", [2, 5])
def test_a_transformer_that_takes_tokens_first_keeps_them_all(tokens, resolution):
    def encoder(*, batch_first: bool) -> nn.Module:
        layer = nn.TransformerEncoderLayer(4, 2, 6, batch_first=batch_first)
        return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    model, x = encoder(batch_first=True), torch.zeros(1, tokens, 4)
    masks = half(model, x)
    expected = measure(model, x, masks, resolution=resolution)
    assert measure(encoder(batch_first=False), x.transpose(0, 1), masks, resolution=resolution) == expected


@pytest.mark.parametrize("samples", [2, 5])
def test_samples_on_the_second_axis_are_all_counted_with_all_their_tokens(samples):
    layer = nn.TransformerEncoderLayer(4, 2, 6)
    one, several = (measure(layer, torch.zeros(5, n, 4)) for n in (1, samples))
    assert several.log10_paths == pytest.approx(one.log10_paths + math.log10(samples))
    assert several.dense_log10_paths == pytest.approx(several.log10_paths)
    assert (several.nodes, several.effective, several.control) == (one.nodes, one.effective, one.control)
    by_channel = [measure(layer, torch.zeros(5, n, 4), resolution="channel").log10_paths for n in (1, samples)]
    assert by_channel[0] == by_channel[1]


def test_a_recurrent_network_that_takes_tokens_first_keeps_them_all():
    def network(*, batch_first: bool) -> nn.Module:
        return Wired(
            lambda self, x: self.head(self.cells(self.embed(x))[0]),
            embed=nn.Linear(3, 3),
            cells=nn.LSTM(3, 4, batch_first=batch_first),
            head=nn.Linear(4, 2),
        )

    x = torch.zeros(1, 5, 3)
    expected = log10_paths(network(batch_first=True), x)
    assert log10_paths(network(batch_first=False), x.transpose(0, 1)) == expected
    assert expected > log10_paths(network(batch_first=True), x[:, :2])


ACROSS_ROWS = {
    "sum": (lambda self, x: self.a(x).sum(0), 3 * 2 * 6),
    "difference": (lambda self, x: self.a(x)[1:] - self.a(x)[:-1], 3 * 2 * 10),
    "past": (lambda self, x: self.a(x).cumsum(0), 3 * 2 * 21),
    "future": (lambda self, x: self.a(x).flip(0).cumsum(0).flip(0), 3 * 2 * 21),
    "turned": (lambda self, x: self.a(x).flip(0), 3 * 2 * 6),
    "first and last": (lambda self, x: self.a(x)[::5], 3 * 2 * 2),
    "matrix": (lambda self, x: torch.ones(len(x), len(x)) @ self.a(x), 3 * 2 * 36),
    "two apart": (lambda self, x: self.a(x) + F.pad(self.a(x), (0, 0, 2, 0))[: len(x)], 3 * 2 * 10),
    "one on each side of an output": (lambda self, x: (self.a(x), self.a(x).sum()), 3 * 2 * 12),
}


@pytest.mark.parametrize(("wiring", "expected"), ACROSS_ROWS.values(), ids=ACROSS_ROWS)
def test_rows_that_reach_each_other_are_all_counted(wiring, expected):
    assert 10 ** log10_paths(Wired(wiring, a=nn.Linear(3, 2)), torch.zeros(6, 3)) == pytest.approx(expected)


CHANNELS_FIRST = {
    "conv1d": (lambda: nn.Sequential(nn.Conv1d(3, 4, 3), nn.ReLU(), nn.Conv1d(4, 2, 3)), (3, 9)),
    "conv2d": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 2, 3)), (3, 9, 8)),
    "conv3d": (lambda: nn.Sequential(nn.Conv3d(2, 4, 2), nn.Conv3d(4, 2, 2)), (2, 4, 3, 5)),
    "depthwise": (lambda: nn.Sequential(nn.Conv1d(3, 6, 3, groups=3), nn.Conv1d(6, 2, 1)), (3, 9)),
    "depthwise alone": (lambda: nn.Conv1d(3, 3, 3, groups=3), (3, 9)),
    "transposed": (lambda: nn.Sequential(nn.ConvTranspose1d(3, 4, 2, 2), nn.Conv1d(4, 1, 1)), (3, 4)),
    "of two channels": (lambda: nn.Sequential(nn.Conv1d(2, 4, 3), nn.Conv1d(4, 2, 3)), (2, 9)),
}


@pytest.mark.parametrize("resolution", RESOLUTIONS)
@pytest.mark.parametrize(("make", "shape"), CHANNELS_FIRST.values(), ids=CHANNELS_FIRST)
def test_an_image_without_a_batch_axis_is_one_sample(make, shape, resolution):
    model = make()
    masks = half(model, torch.zeros(1, *shape))

    def found(x: Tensor) -> Topology:
        return measure(model, x, masks, resolution=resolution)

    assert found(torch.zeros(shape)) == found(torch.zeros(1, *shape))


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_a_vector_without_a_batch_axis_is_one_sample(resolution):
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    masks = half(model, torch.zeros(1, 4))
    one, other = (measure(model, torch.zeros(shape), masks, resolution=resolution) for shape in ((4,), (1, 4)))
    assert one == other


# several inputs


def sums() -> nn.Module:
    """Every row of both inputs reaches the output."""
    return Wired(lambda self, a, b: self.a(a).sum(0) + self.b(b).sum(0), a=nn.Linear(3, 2), b=nn.Linear(2, 2))


@pytest.mark.parametrize("rows", [(4, 7), (1, 7), (4, 1), (4, 4)])
def test_inputs_whose_first_axes_differ_are_taken_whole(rows):
    a, b = torch.zeros(rows[0], 3), torch.zeros(rows[1], 2)
    for x in ((a, b), [a, b], {"a": a, "b": b}, {"b": b, "a": a}):
        topology = measure(sums(), x)
        assert 10**topology.log10_paths == pytest.approx((rows[0] * 3 + rows[1] * 2) * 2)
        assert topology.nodes == 3 + 2 + 2 + 2


def test_a_table_beside_a_batch_is_taken_whole():
    """Each of 5 queries is compared with each of 7 rows of the table; its samples are all counted as well."""
    model = Wired(lambda self, x, table: self.a(x) @ table.T, a=nn.Linear(3, 4))
    table = torch.full((7, 4), -torch.inf)  # a constant: paths begin in the queries alone
    assert 10 ** log10_paths(model, (torch.zeros(5, 3), table)) == pytest.approx(5 * 3 * 4 * 7)


def test_ids_beside_an_image_may_be_of_another_length():
    model = Wired(
        lambda self, image, ids: self.head(self.conv(image).mean((2, 3)) + self.embed(ids).sum((0, 1))),
        conv=nn.Conv2d(3, 4, 3),
        embed=nn.Embedding(9, 4),
        head=nn.Linear(4, 2),
    )
    x = {"image": torch.zeros(1, 3, 5, 5), "ids": torch.zeros(6, 2, dtype=torch.long)}
    topology = measure(model, x)
    assert 10**topology.log10_paths == pytest.approx(27 * 9 * 4 * 2 + 6 * 2 * 4 * 2)
    assert topology.nodes == 3 + 4 + 4 + 2


def test_an_argument_that_is_no_tensor_is_handed_on():
    model = Wired(
        lambda self, x, scale, mode: self.a(x) * scale if mode == "one" else self.b(x),
        a=nn.Linear(3, 2),
        b=nn.Linear(3, 5),
    )
    assert measure(model, (torch.zeros(4, 3), 2.0, "one")).unused == ("b.weight",)
    assert measure(model, {"x": torch.zeros(4, 3), "scale": 2.0, "mode": "other"}).unused == ("a.weight",)
