"""Channel resolution of whole networks: pixels and tokens are one, whatever the model does to its axes."""

import math

import pytest
import torch
import torch.nn.functional as F
from modules import Wired
from torch import Tensor, nn

from nodepath import MaskSet, Topology, effective, measure, models
from nodepath.errors import UnknownOperationError
from nodepath.paths import Network
from nodepath.paths.flow import flow


def image(side: int = 8) -> Tensor:
    return torch.zeros(1, 3, side, side)


def by_channel(model: nn.Module, x, masks=None, **options) -> Topology:
    return measure(model, x, masks, resolution="channel", **options)


def paths(model: nn.Module, x, masks=None) -> float:
    """Paths in channel resolution, dense if `masks` is None; both ways to ask must agree."""
    topology = by_channel(model, x, masks)
    if masks is None:
        assert topology.dense_log10_paths == pytest.approx(topology.log10_paths, rel=1e-12)
    return 10**topology.log10_paths


def random_masks(model: nn.Module, x, density: float = 0.4) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    layers = Network(model, x).layers
    return {name: torch.rand(layer.shape, generator=generator) < density for name, layer in layers.items()}


def all_but_cost(topology: Topology) -> dict[str, object]:
    """Multiply-adds are of real images in both resolutions."""
    document = topology.to_dict()
    document["layers"] = [{k: v for k, v in layer.items() if "macs" not in k} for layer in document["layers"]]
    return {key: value for key, value in document.items() if "macs" not in key}


def numbers(topology: Topology) -> dict[str, float]:
    document = topology.to_dict()
    flat = {(layer["name"], key): value for layer in document.pop("layers") for key, value in layer.items()}
    return {key: value for key, value in {**document, **flat}.items() if isinstance(value, int | float)}


class Residual(nn.Module):
    """Two convolutions and a projection, each with BatchNorm."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.beside = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        made = F.relu(self.norms[0](self.first(x)), inplace=True)
        made = self.norms[1](self.second(made))
        made += self.norms[2](self.beside(x))
        return F.relu(made)


def residual_network() -> nn.Module:
    """Five halvings: of 32 pixels one is left."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 7, 2, 3),
        nn.MaxPool2d(3, 2, 1),
        Residual(4, 5, 2),
        Residual(5, 6, 2),
        Residual(6, 6, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    )


def u_net() -> nn.Module:
    def wiring(self, x):
        wide = self.first(x)
        deep = self.up(self.second(F.max_pool2d(wide, 2)))
        small = F.interpolate(self.third(F.avg_pool2d(wide, 4)), scale_factor=4, mode="bilinear", align_corners=False)
        return self.last(torch.cat([wide, deep, small], 1))

    return Wired(
        wiring,
        first=nn.Conv2d(3, 4, 3, padding=1),
        second=nn.Conv2d(4, 6, 3, padding=1, groups=2),
        third=nn.Conv2d(4, 1, 3, padding=2, dilation=2),
        up=nn.ConvTranspose2d(6, 2, 2, stride=2),
        last=nn.Conv2d(7, 2, 1),
    )


def squeezed() -> nn.Module:
    def wiring(self, x):
        x = self.first(x)
        gate = torch.sigmoid(self.grow(F.relu(self.shrink(F.adaptive_avg_pool2d(x, 1)))))
        return self.last(x * gate)

    parts = {"shrink": nn.Conv2d(4, 2, 1), "grow": nn.Conv2d(2, 4, 1)}
    return Wired(wiring, first=nn.Conv2d(3, 4, 3), last=nn.Conv2d(4, 2, 3), **parts)


def recurrent(*, embedded: bool = True) -> nn.Module:
    def wiring(self, x):
        return self.head(self.cells(self.embed(x))[0])

    embed = nn.Linear(3, 3) if embedded else nn.Identity()
    return Wired(wiring, embed=embed, cells=nn.LSTM(3, 4, batch_first=True), head=nn.Linear(4, 2))


class Transformer(nn.Module):
    """Patches by convolution, a class token, positions, one block."""

    def __init__(self, tokens: int, width: int = 4) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.positions = nn.Parameter(torch.randn(1, tokens + 1, width))
        self.block = nn.TransformerEncoderLayer(width, 2, 6, batch_first=True, norm_first=True, activation="gelu")
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        return self.head(self.block(x)[:, 0])


# the size of the image


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("make", [residual_network, u_net, squeezed])
def test_the_size_of_the_image_does_not_matter_to_a_fully_convolutional_network(make, masked):
    model = make()
    masks = random_masks(model, image(32)) if masked else None
    small, large = (by_channel(model, image(side), masks) for side in (32, 64))
    assert all_but_cost(small) == all_but_cost(large)
    assert large.macs > small.macs
    assert measure(model, image(64), masks).log10_paths > small.log10_paths > 0


def test_the_size_of_the_image_does_not_matter_to_resnet20():
    model = models.create("resnet20", num_classes=10, seed=0)
    masks = random_masks(model, image(32), density=0.1)
    assert all_but_cost(by_channel(model, image(32), masks)) == all_but_cost(by_channel(model, image(64), masks))


def test_the_number_of_tokens_does_not_matter_to_a_transformer():
    few, many = Transformer(4), Transformer(16)
    few.load_state_dict({k: v for k, v in many.state_dict().items() if k != "positions"}, strict=False)
    masks = random_masks(few, image(8))
    assert all_but_cost(by_channel(few, image(8), masks)) == all_but_cost(by_channel(many, image(16), masks))


def test_the_number_of_tokens_does_not_matter_to_a_recurrent_network():
    model = recurrent(embedded=True)
    few, many = (by_channel(model, torch.zeros(1, tokens, 3)) for tokens in (5, 10))
    assert all_but_cost(few) == all_but_cost(many)


def test_paths_of_a_residual_network_are_a_product_over_its_blocks():
    """All channels of a layer have the same count, so a block multiplies by the ways on from one of its inputs."""
    blocks = [outputs * (9 * outputs * 9 + 1) for outputs in (5, 6, 6)]
    assert paths(residual_network(), image(32)) == pytest.approx(3 * 49 * 4 * math.prod(blocks) * 3, rel=1e-9)


# axes that change their places


def test_flattened_features_inherit_the_paths_of_their_channel():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 5))
    assert paths(model, image()) == pytest.approx(3 * 9 * 4 * 36 * 5)
    first = torch.zeros(4, 3, 3, 3, dtype=torch.bool)
    first[1, 0, 0, 0] = first[2, :2, 0, 0] = True
    second = torch.zeros(5, 4 * 36, dtype=torch.bool)
    second[0, 36 : 36 + 7] = second[1, 2 * 36 - 1 : 2 * 36 + 1] = True  # 7 + 1 of channel 1, 1 of channel 2
    topology = by_channel(model, image(), {"0.weight": first, "2.weight": second})
    assert 10**topology.log10_paths == pytest.approx(8 * 1 + 1 * 2)
    assert topology.nodes == 2 + 2 + 2
    assert by_channel(model, image(), {"0.weight": first, "2.weight": second}, convention="paper").nodes == 2 + 9 + 2


def test_flattened_after_a_permutation_features_belong_to_the_channel_that_they_come_from():
    model = Wired(
        lambda self, x: self.last(self.first(x).permute(0, 2, 3, 1).flatten(1)),
        first=nn.Conv2d(3, 4, 3),
        last=nn.Linear(4 * 36, 1),
    )
    first = torch.zeros(4, 3, 3, 3, dtype=torch.bool)
    first[2] = True
    second = torch.zeros(1, 4 * 36, dtype=torch.bool)
    second[0, 2::4] = True
    masks = {"first.weight": first, "last.weight": second}
    assert paths(model, image(), masks) == pytest.approx(27 * 36)
    assert by_channel(model, image(), {**masks, "last.weight": ~second}).log10_paths == -math.inf


def test_a_linear_on_the_channels_of_a_permuted_image_is_a_pointwise_convolution():
    def wiring(self, x):
        return self.last(F.gelu(self.middle(self.first(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2))

    def wired(middle: nn.Module) -> nn.Module:
        return Wired(wiring, first=nn.Conv2d(3, 4, 3), middle=middle, last=nn.Conv2d(5, 2, 3))

    by_linear = wired(nn.Linear(4, 5))
    by_convolution = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 1), nn.Conv2d(5, 2, 3))
    masks = list(random_masks(by_linear, image()).values())
    one = by_channel(
        by_linear, image(), dict(zip(("first.weight", "middle.weight", "last.weight"), masks, strict=True))
    )
    masks[1] = masks[1].reshape(5, 4, 1, 1)
    other = by_channel(by_convolution, image(), dict(zip(("0.weight", "1.weight", "2.weight"), masks, strict=True)))
    for what in ("log10_paths", "dense_log10_paths", "nodes", "effective", "effective_width", "macs"):
        assert getattr(one, what) == getattr(other, what), what


def test_patches_by_reshape_and_linear_are_patches_by_convolution():
    def cut(self, x):
        x = x.reshape(1, 3, 2, 4, 2, 4).permute(0, 2, 4, 1, 3, 5).reshape(1, 4, 48)
        return self.last(self.first(x)).mean(1)

    by_linear = Wired(cut, first=nn.Linear(48, 5), last=nn.Linear(5, 2))
    by_convolution = nn.Sequential(nn.Conv2d(3, 5, 4, 4), nn.Conv2d(5, 2, 1), nn.AdaptiveAvgPool2d(1))
    first, last = random_masks(by_linear, image()).values()
    first[:, :16] = False  # the first channel of the image is not read
    masks = {"0.weight": first.reshape(5, 3, 4, 4), "1.weight": last.reshape(2, 5, 1, 1)}
    one, other = (
        by_channel(by_linear, image(), {"first.weight": first, "last.weight": last}),
        by_channel(by_convolution, image(), masks),
    )
    for what in ("log10_paths", "dense_log10_paths", "nodes", "dense_nodes", "effective", "effective_width"):
        assert getattr(one, what) == pytest.approx(getattr(other, what), rel=1e-12), what
    assert paths(by_linear, image()) == pytest.approx(3 * 16 * 5 * 2)


def test_channels_that_become_pixels_are_one_with_the_paths_of_all():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.PixelShuffle(2), nn.Conv2d(2, 1, 1))
    assert paths(model, image()) == pytest.approx(3 * 9 * 8)
    kept = torch.zeros(8, 3, 3, 3, dtype=torch.bool)
    kept[1, 0, 0, 0] = kept[2, 0] = kept[5, :, 0, 0] = True  # 1 + 9 paths to the first channel, 3 to the second
    last = torch.tensor([True, False]).reshape(1, 2, 1, 1)
    assert paths(model, image(), {"0.weight": kept}) == pytest.approx(13)
    assert paths(model, image(), {"0.weight": kept, "2.weight": last}) == pytest.approx(10)


def test_pixels_that_become_channels_each_have_the_paths_of_theirs():
    model = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.PixelUnshuffle(2), nn.Conv2d(8, 1, 1))
    assert paths(model, image()) == pytest.approx(27 * 8)
    first = torch.zeros(2, 3, 3, 3, dtype=torch.bool)
    first[0], first[1, 0, 0, 0] = True, True
    last = torch.tensor([1, 1, 1, 0, 0, 1, 0, 0], dtype=torch.bool).reshape(1, 8, 1, 1)
    assert paths(model, image(), {"0.weight": first, "2.weight": last}) == pytest.approx(27 * 3 + 1)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_fixed_filter_before_the_first_layer_leaves_the_channels_of_the_input_what_they_are(dims):
    blur = (F.conv1d, F.conv2d, F.conv3d)[dims - 1]
    layer = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1](2, 3, 3)
    model = Wired(lambda self, x: self.first(blur(x, self.filter, groups=2)), first=layer)
    model.register_buffer("filter", torch.ones(2, 1, *(2 for _ in range(dims))))
    for side in (6, 7):
        topology = by_channel(model, torch.zeros(1, 2, *(side for _ in range(dims))))
        assert topology.nodes == topology.dense_nodes == 2 + 3
        assert 10**topology.log10_paths == pytest.approx(2 * 2**dims * 3**dims * 3)


@pytest.mark.parametrize("channels", [1, 2])
def test_constants_beside_the_channels_of_an_image_bring_no_paths(channels):
    """As the coordinates of CoordConv, also beside a single channel."""
    coordinates = torch.rand(1, 2, 8, 8)
    model = Wired(
        lambda self, x: self.first(torch.cat([x, coordinates], 1)), first=nn.Conv2d(channels + 2, 4, 3, bias=False)
    )
    topology = by_channel(model, torch.zeros(1, channels, 8, 8))
    assert 10**topology.log10_paths == pytest.approx(channels * 9 * 4)
    assert topology.effective == channels * 9 * 4
    assert topology.nodes == channels + 4


# tokens


def mixer() -> nn.Module:
    """Of 5 features, 4 tokens: embedding, a skip around a Linear over tokens, one around a Linear over channels."""

    def wiring(self, x):
        x = self.embed(x)
        x = x + self.tokens(self.norm(x).transpose(1, 2)).transpose(1, 2)
        return self.head((x + self.channels(x)).mean(1))

    parts = {"tokens": nn.Linear(4, 4), "channels": nn.Linear(3, 3), "head": nn.Linear(3, 2)}
    return Wired(wiring, embed=nn.Linear(5, 3), norm=nn.LayerNorm(3), **parts)


def test_a_linear_over_tokens_takes_tokens_for_channels():
    model, x = mixer(), torch.zeros(1, 4, 5)
    topology = by_channel(model, x)
    assert 10**topology.log10_paths == pytest.approx(4 * (5 + 5 * 4) * 3 * (1 + 3) * 2)
    assert topology.nodes == topology.dense_nodes == 5 + 3 + 4 + 3 + 2
    diagonal = torch.eye(4, dtype=torch.bool)
    diagonal[0, 0] = False
    assert paths(model, x, {"tokens.weight": diagonal}) == pytest.approx((4 + 3) * 5 * 3 * (1 + 3) * 2)


def test_tokens_laid_side_by_side_bring_their_paths_together():
    """As channels would that become pixels."""
    model = Wired(
        lambda self, x, y: self.last(torch.cat([self.first(x), self.second(y)], 1)),
        first=nn.Linear(3, 4),
        second=nn.Linear(5, 4),
        last=nn.Linear(4, 2),
    )
    assert paths(model, (torch.zeros(1, 6, 3), torch.zeros(1, 2, 5))) == pytest.approx((3 + 5) * 4 * 2)


def test_attention_reads_each_value_once_and_queries_and_keys_steer():
    attention = nn.MultiheadAttention(4, 2, batch_first=True)
    model = Wired(lambda self, x: self.inner(x, x, x)[0], inner=attention)
    topology = by_channel(model, torch.zeros(1, 7, 4))
    assert 10**topology.log10_paths == pytest.approx(4 * 4 * 4)
    assert (topology.control, topology.control_nodes) == (2 * 16, 2 * 4)
    assert topology.nodes == 4 + 3 * 4 + 4
    masks = {"inner.in_proj_weight": torch.ones(12, 4, dtype=torch.bool)}
    masks["inner.in_proj_weight"][8:] = torch.eye(4, dtype=torch.bool)
    assert paths(model, torch.zeros(1, 7, 4), masks) == pytest.approx(4 * 4)


def test_a_transformer_has_the_paths_of_its_skips_and_branches():
    block = (1 + 4 * 4) * (1 + 6 * 4)  # of each feature to all: attention, then the two linear layers
    assert paths(Transformer(4), image()) == pytest.approx(3 * 16 * 4 * block * 2)


def test_a_gate_of_squeeze_and_excitation_carries_no_path():
    topology = by_channel(squeezed(), image())
    assert 10**topology.log10_paths == pytest.approx(3 * 9 * 4 * 9 * 2)
    assert (topology.control, topology.control_nodes) == (2 * 8, 2 + 4)
    masks = {"first.weight": torch.zeros(4, 3, 3, 3, dtype=torch.bool)}
    masks["first.weight"][0, 0] = True
    live = by_channel(squeezed(), image(), masks)
    assert live.control == 2 + 2  # one channel is squeezed, and one is excited


def test_a_network_that_grows_an_image_from_a_vector_is_counted():
    """Units of a Linear that become pixels are nodes of their own, and stay apart."""
    model = nn.Sequential(nn.Linear(6, 16), nn.Unflatten(1, (4, 2, 2)), nn.ConvTranspose2d(4, 3, 2, 2))
    assert paths(model, torch.zeros(1, 6)) == pytest.approx(6 * 16 * 3 * 4)
    kept = torch.zeros(16, 6, dtype=torch.bool)
    kept[5, 0] = kept[8, :2] = True
    assert paths(model, torch.zeros(1, 6), {"0.weight": kept}) == pytest.approx(3 * 3 * 4)


def test_a_network_that_grows_an_image_from_a_single_pixel_has_kernels_of_parallel_edges():
    model = nn.Sequential(nn.ConvTranspose2d(6, 4, 4), nn.ReLU(), nn.ConvTranspose2d(4, 3, 4, 2, 1))
    assert paths(model, torch.zeros(1, 6, 1, 1)) == pytest.approx(6 * 16 * 4 * 16 * 3)


# masks


CASES = [
    (residual_network, image(32)),
    (u_net, image(16)),
    (squeezed, image()),
    (mixer, torch.zeros(1, 4, 5)),
    (lambda: Transformer(4), image()),
    (lambda: nn.Sequential(nn.Conv1d(3, 4, 3), nn.Flatten(), nn.Linear(24, 2)), torch.zeros(1, 3, 8)),
    (lambda: nn.Sequential(nn.Linear(6, 16), nn.Unflatten(1, (4, 2, 2)), nn.Conv2d(4, 2, 1)), torch.zeros(1, 6)),
    (recurrent, torch.zeros(1, 5, 3)),
]
NAMES = ["residual", "u-net", "squeeze", "mixer", "transformer", "flatten", "generator", "recurrent"]


@pytest.mark.parametrize("convention", ["exact", "paper"])
@pytest.mark.parametrize(("make", "x"), CASES, ids=NAMES)
def test_masks_that_keep_everything_are_the_dense_network(make, x, convention):
    model = make()
    masks = {name: torch.ones(la.shape, dtype=torch.bool) for name, la in Network(model, x, "channel").layers.items()}
    masked, dense = (numbers(by_channel(model, x, given, convention=convention)) for given in (masks, None))
    assert masked == pytest.approx(dense, rel=1e-12)
    assert masked["path_ratio"] == pytest.approx(1, abs=1e-12)
    assert masked["effective"] == masked["prunable"]


@pytest.mark.parametrize(("make", "x"), CASES, ids=NAMES)
def test_what_is_not_effective_can_go(make, x):
    """Nothing changes without it, and nothing else is found to go."""
    model = make()
    masks = MaskSet(random_masks(model, x, density=0.2))
    live = effective(model, x, masks, resolution="channel")
    before, after = by_channel(model, x, masks), by_channel(model, x, live)
    assert 0 < after.kept == after.effective == before.effective <= before.kept
    assert after.log10_paths == pytest.approx(before.log10_paths)
    assert after.nodes == before.nodes
    assert effective(model, x, live, resolution="channel") == live


# what has no answer


def test_writing_into_some_pixels_is_refused_by_name_and_pixel_resolution_counts_it():
    def write(self, x):
        x = self.first(x).clone()
        x[:, :, :2] = 0.0
        return self.last(x)

    model = Wired(write, first=nn.Conv2d(3, 4, 3), last=nn.Conv2d(4, 2, 1))
    with pytest.raises(UnknownOperationError, match=r"__setitem__ in .* folded; use resolution='pixel'"):
        by_channel(model, image())
    with pytest.raises(UnknownOperationError, match="resolution='pixel'"):
        effective(model, image(), {}, resolution="channel")
    assert 10 ** measure(model, image()).log10_paths == pytest.approx(27 * 4 * 4 * 6 * 2)


def test_writing_over_a_whole_activation_is_counted():
    def write(self, x):
        fresh = torch.zeros(1, 4, 6, 6)
        fresh[...] = self.first(x)
        return self.last(fresh)

    model = Wired(write, first=nn.Conv2d(3, 4, 3), last=nn.Conv2d(4, 2, 1))
    assert paths(model, image()) == pytest.approx(27 * 4 * 2)


@pytest.mark.parametrize("side", [15, 16, 17])
def test_more_parallel_edges_than_a_byte_holds(side):
    model = nn.Conv2d(2, 3, side, stride=side)
    masks = {"weight": torch.ones(3, 2, side, side, dtype=torch.bool)}
    topology = measure(model, torch.zeros(1, 2, 34, 34), masks, resolution="channel")
    assert topology.log10_paths == pytest.approx(math.log10(6 * side**2), rel=1e-12)
    assert topology.effective == 6 * side**2


def test_weights_of_a_folded_kernel_are_added_up_in_float64():
    model, x = models.create("resnet20", seed=0), torch.zeros(1, 3, 32, 32)
    network = Network(model, x, "channel")
    single = {name: weight.abs() for name, weight in network.weights().items()}
    of_single = flow(network, single).log2_paths
    of_double = flow(network, {name: weight.double() for name, weight in single.items()}).log2_paths
    assert of_single == pytest.approx(of_double, rel=1e-13)
