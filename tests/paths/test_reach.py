"""Real architectures, small: measured in both resolutions, and pruned by `erk` and `synflow`, as they come.

docs/reach.md has all models of torchvision and one of every timm family: `python -m bench.reach`.
"""

import math
import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from modules import Wired
from torch import Tensor, nn

from nodepath import MaskSet, measure, prune
from nodepath.errors import CollapseWarning, TransformedWeightError, UnknownOperationError, ZeroLayerWarning
from nodepath.paths import control

Example = Tensor | tuple[Tensor, ...] | dict[str, Tensor]


class Decoder(nn.Module):
    """GPT: learned positions, pre-norm blocks of causal attention and a perceptron, a head tied to the embedding."""

    def __init__(self, vocabulary: int, width: int, heads: int, tokens: int, blocks: int, *, tied: bool = True) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(tokens, width)
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    "before": nn.LayerNorm(width),
                    "qkv": nn.Linear(width, 3 * width),
                    "out": nn.Linear(width, width),
                    "between": nn.LayerNorm(width),
                    "up": nn.Linear(width, 4 * width),
                    "down": nn.Linear(4 * width, width),
                }
            )
            for _ in range(blocks)
        )
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        if tied:
            self.head.weight = self.tokens.weight

    def forward(self, ids: Tensor) -> Tensor:
        samples, length = ids.shape
        x = self.tokens(ids) + self.positions(torch.arange(length))
        for block in self.blocks:
            qkv = block["qkv"](block["before"](x)).chunk(3, -1)
            q, k, v = (part.view(samples, length, self.heads, -1).transpose(1, 2) for part in qkv)
            read = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + block["out"](read.transpose(1, 2).reshape(samples, length, -1))
            x = x + block["down"](F.gelu(block["up"](block["between"](x))))
        return self.head(self.norm(x))


def vision(name: str) -> nn.Module:
    torchvision = pytest.importorskip("torchvision.models")
    return torchvision.get_model(name, weights=None, num_classes=5)


def segmentation(name: str) -> nn.Module:
    torchvision = pytest.importorskip("torchvision.models")
    return torchvision.get_model(name, weights=None, weights_backbone=None, num_classes=4)


def living(model: nn.Module) -> nn.Module:
    """The same without weights that begin at zero, which synflow could not tell apart."""
    for parameter in model.parameters():
        if parameter.ndim == 2 and not parameter.any():
            nn.init.normal_(parameter)
    return model


def swin(block: str | None = None) -> nn.Module:
    module = pytest.importorskip("torchvision.models.swin_transformer")
    parts = {"block": module.SwinTransformerBlockV2, "downsample_layer": module.PatchMergingV2} if block else {}
    return module.SwinTransformer([4, 4], 16, [2, 2], [2, 4], [4, 4], num_classes=5, **parts)


def vit() -> nn.Module:
    return living(pytest.importorskip("torchvision.models").VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=5))


def timm_model(name: str) -> nn.Module:
    timm = pytest.importorskip("timm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return timm.create_model(name, pretrained=False)


def encoder(*, batch_first: bool) -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=batch_first)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def image(side: int) -> Tensor:
    return torch.zeros(1, 3, side, side)


MODELS: dict[str, tuple[Callable[[], nn.Module], Example]] = {
    "mobilenet_v3_small": (lambda: vision("mobilenet_v3_small"), image(96)),
    "shufflenet_v2_x0_5": (lambda: vision("shufflenet_v2_x0_5"), image(64)),
    "swin": (swin, image(32)),
    "swin v2": (lambda: swin("v2"), image(32)),
    "vit": (vit, image(32)),
    "test_vit of timm": (lambda: timm_model("test_vit"), image(160)),
    "test_efficientnet of timm": (lambda: timm_model("test_efficientnet"), image(160)),
    "test_convnext of timm": (lambda: timm_model("test_convnext"), image(160)),
    "lraspp, segmentation": (lambda: segmentation("lraspp_mobilenet_v3_large"), image(96)),
    "encoder, batch first": (lambda: encoder(batch_first=True), torch.zeros(1, 5, 8)),
    "encoder, tokens first": (lambda: encoder(batch_first=False), torch.zeros(5, 1, 8)),
    "transformer": (
        lambda: nn.Transformer(8, 2, 1, 1, 16, batch_first=True),
        {
            "src": torch.zeros(1, 5, 8),
            "tgt": torch.zeros(1, 4, 8),
            "tgt_mask": nn.Transformer.generate_square_subsequent_mask(4),
        },
    ),
    "decoder, tied head": (lambda: Decoder(11, 8, 2, 6, 2), torch.zeros(1, 6, dtype=torch.long)),
    "decoder, head of its own": (lambda: Decoder(11, 8, 2, 6, 2, tied=False), torch.zeros(1, 6, dtype=torch.long)),
}


@pytest.mark.parametrize("name", MODELS)
def test_all_of_a_dense_model_is_effective_in_both_resolutions(name):
    build, x = MODELS[name]
    model = build()
    pixel, channel = (measure(model, x, resolution=resolution) for resolution in ("pixel", "channel"))
    for topology in (pixel, channel):
        assert topology.prunable == topology.kept == sum(layer.prunable for layer in topology.layers)
        assert topology.nodes == topology.dense_nodes
        assert topology.log10_paths == pytest.approx(topology.dense_log10_paths, rel=1e-9)
        assert topology.effective == topology.prunable  # at 64 pixels, outer cells of 5x5 kernels meet padding alone
    assert (pixel.nodes, pixel.control_nodes) == (channel.nodes, channel.control_nodes)
    assert pixel.control == channel.control


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("method", ["erk", "synflow"])
def test_models_are_pruned_end_to_end(name, method):
    build, x = MODELS[name]
    model = build()
    options = {"iterations": 5} if method == "synflow" else {}
    masks = pruned(model, x, method, 0.5, **options)
    topology = measure(model, x, masks, resolution="channel")
    assert masks.kept == topology.kept == round(0.5 * topology.prunable)
    assert 0 < topology.effective <= topology.kept
    assert 0 < topology.log10_paths < topology.dense_log10_paths


def pruned(model: nn.Module, x: Example, method: str, sparsity: float, **options: int) -> MaskSet:
    """Whatever layers it empties, and whatever layers begin at zero."""
    with warnings.catch_warnings():
        for kind in (CollapseWarning, ZeroLayerWarning):
            warnings.simplefilter("ignore", kind)
        return prune(model, x, method, sparsity=sparsity, on_collapse="warn", resolution="channel", **options)


SMALL_FAMILIES = """
test_convnext test_efficientnet test_vit test_mambaout test_byobnet test_resnet starnet_s050 test_coatnet
test_vit_relpos dla46x_c mobilevit_xxs edgenext_xx_small mobilenetv3_small_050 repghostnet_050 efficientvit_m0
ghostnet_050 regnetx_002 cspnext_tiny iformer_t cs3darknet_focus_s efficientvit_b0
efficientformerv2_s0 pvt_v2_b0 fasternet_t0 fastvit_t8 lcnetv2_small inception_next_atto pit_ti_224 levit_128s
mvitv2_tiny sequencer2d_s
""".split()


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL_FAMILIES)
def test_timm_families_are_measured_and_pruned(name):
    model = timm_model(name)
    x = torch.zeros(1, *model.pretrained_cfg["input_size"])
    pixel, channel = (measure(model, x, resolution=resolution) for resolution in ("pixel", "channel"))
    assert pixel.effective == channel.effective == pixel.prunable
    assert pixel.nodes == channel.nodes == pixel.dense_nodes
    for method, options in (("erk", {}), ("synflow", {"iterations": 10})):
        masks = pruned(model, x, method, 0.9, **options)
        assert 0 < measure(model, x, masks, resolution="channel").effective <= masks.kept


@pytest.mark.slow
@pytest.mark.parametrize("name", ["swiftformer_xs", "csatv2"])
def test_families_that_multiply_unmarked_factors_are_refused_by_name(name):
    model = timm_model(name)
    with pytest.raises(UnknownOperationError, match=r"mul in .* multiplies two activations.*control"):
        measure(model, torch.zeros(1, *model.pretrained_cfg["input_size"]))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["erk", "synflow"])
def test_a_segmentation_network_is_measured_and_pruned(method):
    model, x = segmentation("fcn_resnet50"), image(64)
    assert measure(model, x).nodes == measure(model, x, resolution="channel").nodes
    masks = pruned(model, x, method, 0.9)
    assert 0 < measure(model, x, masks, resolution="channel").effective <= masks.kept


# by hand: what a transformer's blocks count


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize(("resolution", "tokens"), [("pixel", 5), ("channel", 1)])
def test_encoder_layers_count_the_values_of_all_tokens(batch_first, resolution, tokens):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=batch_first)
    x = torch.zeros(1, 5, 8) if batch_first else torch.zeros(5, 1, 8)
    attended = 1 + tokens * 8 * 8  # of each element: the residual, and all values by v and the out-projection
    paths = tokens * 8 * attended * (1 + 8 * 16)
    assert measure(layer, x, resolution=resolution).log10_paths == pytest.approx(math.log10(paths), rel=1e-12)


def test_decoders_count_the_values_of_the_tokens_before():
    width, length, vocabulary = 8, 6, 11
    model = Decoder(vocabulary, width, 2, length, 1)
    attended = sum(1 + (1 + token) * width * width for token in range(length))
    paths = vocabulary * width * attended * (1 + 4 * width * width)
    topology = measure(model, torch.zeros(1, length, dtype=torch.long))
    assert topology.log10_paths == pytest.approx(math.log10(paths), rel=1e-12)
    assert topology.tied == ("tokens.weight",)
    assert topology.control == 2 * width * width
    assert topology.control_nodes == 2 * width


# by hand: recurrent layers, whose weights are fixed edges


def recurrent(kind: type[nn.RNNBase], **options) -> nn.Module:
    sides = 2 if options.get("bidirectional") else 1
    return Wired(
        lambda self, x: self.after(self.middle(self.before(x))[0]),
        before=nn.Linear(3, 4),
        middle=kind(4, 5, batch_first=True, **options),
        after=nn.Linear((options.get("proj_size") or 5) * sides, 2),
    )


def shown(steps: int, *, read: int, memory: bool, keeps: bool) -> list[int]:
    """Paths to each of 5 hidden units after each token, of a cell whose units all read 4 inputs and all hidden units.

    Args:
        steps: Tokens.
        read: Paths to a unit from its own token.
        memory: The state before adds to the candidate (LSTM, GRU).
        keeps: The gate lets it pass from unit to unit alone.
    """
    found = [read]
    for _ in range(steps - 1):
        found.append(read + 5 * found[-1] + (found[-1] if memory and keeps else 0))
    return found


@pytest.mark.parametrize(("kind", "memory"), [(nn.LSTM, True), (nn.GRU, True), (nn.RNN, False)])
def test_recurrent_layers_count_the_tokens_before(kind, memory):
    hidden = shown(6, read=3 * 4, memory=memory, keeps=True)
    topology = measure(recurrent(kind), torch.zeros(1, 6, 3))
    assert topology.log10_paths == pytest.approx(math.log10(5 * 2 * sum(hidden)), rel=1e-12)
    assert topology.prunable == 3 * 4 + 5 * 2


def test_two_directions_count_the_tokens_behind_as_well():
    one, both = (measure(recurrent(nn.LSTM, bidirectional=two), torch.zeros(1, 6, 3)) for two in (False, True))
    assert both.log10_paths == pytest.approx(one.log10_paths + math.log10(2), rel=1e-12)


def test_projected_states_are_read_by_the_next_step():
    hidden, cell = [], 0
    for token in range(4):
        cell += 3 * 4 + (2 * hidden[-1] if token else 0)
        hidden.append(5 * cell)
    topology = measure(recurrent(nn.LSTM, proj_size=2), torch.zeros(1, 4, 3))
    assert topology.log10_paths == pytest.approx(math.log10(2 * 2 * sum(hidden)), rel=1e-12)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_folded_tokens_take_one_step(kind):
    long, short = (measure(recurrent(kind), torch.zeros(1, n, 3), resolution="channel") for n in (7, 1))
    assert long.log10_paths == short.log10_paths == pytest.approx(math.log10(3 * 4 * 5 * 2), rel=1e-12)


def test_a_token_reads_no_later_token_through_a_recurrent_layer():
    model = Wired(
        lambda self, x: self.rnn(self.lift(x))[0][:, 2], lift=nn.Linear(1, 4), rnn=nn.LSTM(4, 5, batch_first=True)
    )
    backwards = Wired(
        lambda self, x: self.rnn(self.lift(x))[0][:, 2, 5:],
        lift=nn.Linear(1, 4),
        rnn=nn.LSTM(4, 5, batch_first=True, bidirectional=True),
    )
    counts = [10 ** measure(each, torch.zeros(1, 6, 1)).log10_paths for each in (model, backwards)]
    states = shown(6, read=4, memory=True, keeps=True)
    assert counts == pytest.approx([5 * states[2], 5 * states[3]], rel=1e-9)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_an_unreached_recurrent_gate_is_zero_without_biases_alone(kind):
    for bias in (True, False):
        model = Wired(
            lambda self, x: self.value(x) * self.gate(self.lift(x))[0],
            value=nn.Linear(3, 5),
            lift=nn.Linear(3, 4, bias=False),
            gate=kind(4, 5, batch_first=True, bias=bias),
        )
        masks = {"lift.weight": torch.zeros(4, 3, dtype=torch.bool)}
        assert measure(model, torch.zeros(1, 1, 3), masks).effective == (15 if bias else 0)


def test_a_first_state_that_depends_on_the_input_is_refused():
    def wiring(self, x):
        state = self.lift(x[:, :1]).transpose(0, 1)
        return self.rnn(x, (state, state))[0]

    with pytest.raises(UnknownOperationError, match="lstm in 'rnn' begins with a state that depends on the input"):
        measure(Wired(wiring, lift=nn.Linear(3, 4), rnn=nn.LSTM(3, 4, batch_first=True)), torch.zeros(1, 5, 3))


# by hand: single rules


def test_a_shape_lent_by_another_activation_brings_no_paths():
    lent = Wired(
        lambda self, x: self.out(self.lin(x).flatten(0, 1).reshape_as(x)), lin=nn.Linear(4, 4), out=nn.Linear(4, 2)
    )
    viewed = Wired(
        lambda self, x: self.out(self.lin(x).flatten(0, 1).view_as(x)), lin=nn.Linear(4, 4), out=nn.Linear(4, 2)
    )
    grown = Wired(lambda self, x: self.out(self.lin(x[:, :1]).expand_as(x)), lin=nn.Linear(4, 4), out=nn.Linear(4, 2))
    for model in (lent, viewed, grown):
        assert measure(model, torch.zeros(1, 3, 4)).log10_paths == pytest.approx(math.log10(3 * 4 * 4 * 2))


@pytest.mark.parametrize("function", [torch.addcmul, torch.addcdiv])
def test_sums_with_a_product_count_the_term_and_the_value(function):
    def wiring(self, x):
        return function(self.a(x), self.b(x), self.g(x).sigmoid())

    model = Wired(wiring, a=nn.Linear(3, 2), b=nn.Linear(3, 2), g=nn.Linear(3, 2))
    topology = measure(model, torch.zeros(1, 3))
    assert topology.log10_paths == pytest.approx(math.log10(2 * 3 * 2))
    assert (topology.control, topology.effective) == (6, 18)


def test_two_unmarked_factors_are_refused_though_one_is_repeated():
    model = Wired(lambda self, x: self.a(x) * self.b(x), a=nn.Linear(3, 5), b=nn.Linear(3, 1))
    with pytest.raises(UnknownOperationError, match=r"multiplies two activations.*nodepath\.paths\.control"):
        measure(model, torch.zeros(1, 3))


def test_a_factor_is_declared_a_control_from_outside_by_a_hook():
    model = Wired(lambda self, x: self.a(x) * self.b(x), a=nn.Linear(3, 5), b=nn.Linear(3, 1))
    model.b.register_forward_hook(lambda _module, _inputs, output: control(output))
    topology = measure(model, torch.zeros(1, 3))
    assert topology.log10_paths == pytest.approx(math.log10(3 * 5))
    assert {layer.name: layer.control for layer in topology.layers} == {"a.weight": 0, "b.weight": 3}


def test_two_unmarked_factors_of_one_shape_are_refused():
    model = Wired(lambda self, x: self.a(x) * self.b(x), a=nn.Linear(3, 2), b=nn.Linear(3, 2))
    with pytest.raises(UnknownOperationError, match=r"multiplies two activations.*nodepath\.paths\.control"):
        measure(model, torch.zeros(1, 3))


def test_what_attention_reads_is_a_value_whatever_it_passed():
    def wiring(self, x):
        value, gate = self.both(x).sigmoid().chunk(2, -1)
        return F.scaled_dot_product_attention(self.q(x), self.k(x), value) * gate

    model = Wired(wiring, q=nn.Linear(3, 4), k=nn.Linear(3, 4), both=nn.Linear(3, 8))
    topology = measure(model, torch.zeros(1, 5, 3))
    assert topology.log10_paths == pytest.approx(math.log10(5 * 4 * 5 * 3))
    assert topology.control == 3 * 4 * 3  # queries, keys and the gate


class Mixed(nn.Module):
    """A parameter of the model's own in a product of matrices."""

    def __init__(self, parameter: Tensor, made: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.lin = nn.Linear(3, 4)
        self.own = nn.Parameter(parameter)
        self.made = made

    def forward(self, x: Tensor) -> Tensor:
        return self.lin(x) @ self.made(self.own)


def test_a_parameter_of_the_models_own_connects_all_that_it_multiplies():
    x = torch.zeros(1, 3)
    zeros, ones = torch.zeros(4, 5), torch.ones(5, 4)
    assert measure(Mixed(zeros, lambda w: w), x).log10_paths == pytest.approx(math.log10(3 * 4 * 5))
    assert measure(Mixed(ones, lambda w: w.T), x).log10_paths == pytest.approx(math.log10(3 * 4 * 5))
    assert measure(Mixed(torch.zeros(5, 4), lambda w: w.T), x).log10_paths == pytest.approx(math.log10(3 * 4 * 5))
    assert measure(Mixed(ones[:4], lambda w: w.triu()), x).log10_paths == pytest.approx(math.log10(3 * 10))
    assert measure(Mixed(ones, lambda w: w.T), x).prunable == 12


def test_the_weight_of_a_layer_in_a_product_of_matrices_is_refused():
    tied = Wired(lambda self, x: self.lin(x) @ self.lin.weight, lin=nn.Linear(3, 4))
    turned = Wired(lambda self, x: self.lin(x) @ (2 * self.lin.weight), lin=nn.Linear(3, 4))
    with pytest.raises(UnknownOperationError, match=r"'lin\.weight' itself"):
        measure(tied, torch.zeros(1, 3))
    with pytest.raises(TransformedWeightError, match=r"'lin\.weight'"):
        measure(turned, torch.zeros(1, 3))


def test_folded_tokens_stay_folded_beside_none():
    def wiring(self, x):
        y = self.lin(x)
        return self.out(torch.cat([y[:, :0], y], 1))

    model = Wired(wiring, lin=nn.Linear(3, 4), out=nn.Linear(4, 2))
    channel = measure(model, torch.zeros(1, 5, 3), resolution="channel")
    assert channel.log10_paths == pytest.approx(math.log10(3 * 4 * 2))


@pytest.mark.parametrize(("written", "killed"), [(0.0, True), (1.0, False)])
def test_a_constant_written_into_an_activation_is_silent_if_it_is_zero(written, killed):
    def wiring(self, x):
        gate = self.gate(x)
        gate[:, 2:] = written
        return self.value(x) * F.relu(gate)

    model = Wired(wiring, value=nn.Linear(3, 4, bias=False), gate=nn.Linear(3, 4, bias=False))
    topology = measure(model, torch.zeros(1, 3))
    assert {layer.name: layer.nodes for layer in topology.layers}["value.weight"] == (2 if killed else 4)


@pytest.mark.parametrize(("constant", "killed"), [(torch.zeros(1, 2), True), (torch.ones(1, 2), False)])
def test_a_constant_beside_an_activation_is_silent_if_it_is_zero(constant, killed):
    def wiring(self, x):
        return self.value(x) * F.relu(torch.cat([self.gate(x), constant], 1))

    model = Wired(wiring, value=nn.Linear(3, 4, bias=False), gate=nn.Linear(3, 2, bias=False))
    for resolution in ("pixel", "channel"):
        topology = measure(model, torch.zeros(1, 3), MaskSet({}), resolution=resolution)
        assert {layer.name: layer.nodes for layer in topology.layers}["value.weight"] == (2 if killed else 4)
