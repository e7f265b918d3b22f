"""What `measure` and `effective` say, of whatever model, input and masks."""

import json
import math

import numpy as np
import pytest
import torch
from modules import Wired
from torch import nn

from nodepath import MaskSet, effective, measure
from nodepath.errors import (
    ArgumentError,
    InputMismatchError,
    MaskMismatchError,
    NoPathError,
    NothingPrunableError,
    TransformedWeightError,
    UnknownOperationError,
)

X = torch.zeros(1, 3, 8, 8)


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.Flatten(), nn.Linear(32, 5))


def no(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.bool)


# masks


def test_what_a_mask_does_not_name_is_dense():
    model = network()
    everything = {n: torch.ones_like(p, dtype=torch.bool) for n, p in model.named_parameters() if p.ndim > 1}
    assert measure(model, X, {}) == measure(model, X, None) == measure(model, X, everything)
    assert measure(model, X, {"2.weight": everything["2.weight"]}) == measure(model, X)


def test_sparsity_and_counts_are_of_all_prunable_weights():
    mask = no(4, 3, 3, 3)
    mask[:2] = True
    topology = measure(network(), X, {"0.weight": mask})
    assert topology.prunable == 108 + 72 + 160
    assert topology.kept == 54 + 72 + 160
    assert topology.effective == 54 + 36 + 160
    assert topology.sparsity == 1 - 286 / 340
    assert topology.effective_sparsity == 1 - 250 / 340
    assert topology.layers[0].sparsity == 0.5
    assert [layer.name for layer in topology.layers] == ["0.weight", "2.weight", "4.weight"]
    assert [layer.nodes for layer in topology.layers] == [2, 2, 5]
    assert topology.node_ratio == (3 + 2 + 2 + 5) / (3 + 4 + 2 + 5)


def test_layers_come_in_the_order_of_use():
    model = Wired(lambda self, x: self.first(self.second(x)), first=nn.Linear(3, 2), second=nn.Linear(3, 3))
    assert [la.name for la in measure(model, torch.zeros(1, 3)).layers] == ["second.weight", "first.weight"]


def test_effective_keeps_names_and_metadata_and_is_a_subset():
    mask = no(4, 3, 3, 3)
    mask[0] = True
    masks = MaskSet({"0.weight": mask, "2.weight": torch.ones(2, 4, 3, 3, dtype=torch.bool)}, {"method": "mine"})
    live = effective(network(), X, masks)
    assert list(live) == list(masks)
    assert live.metadata == {"method": "mine"}
    assert live.kept == 27 + 18
    assert effective(network(), X, live) == live


@pytest.mark.parametrize("act", [measure, effective])
def test_a_mask_of_another_shape_names_itself_and_both_shapes(act):
    with pytest.raises(MaskMismatchError, match=r"'2\.weight' has shape \(2, 4\), the weight \(2, 4, 3, 3\)"):
        act(network(), X, {"2.weight": no(2, 4)})


@pytest.mark.parametrize("act", [measure, effective])
def test_a_mask_of_an_unknown_name_names_itself_and_the_nearest(act):
    with pytest.raises(MaskMismatchError, match=r"'2\.wieght' is no prunable weight .*did you mean '2\.weight'"):
        act(network(), X, {"2.wieght": no(2, 4, 3, 3)})


@pytest.mark.parametrize("act", [measure, effective])
def test_a_mask_of_a_bias_is_refused(act):
    with pytest.raises(MaskMismatchError, match=r"'0\.bias' is no prunable weight"):
        act(network(), X, {"0.bias": no(4)})


def test_an_unknown_convention_lists_the_known():
    with pytest.raises(ArgumentError, match=r"convention is 'papre'; choose 'exact' or 'paper'"):
        measure(network(), X, convention="papre")


# emptiness


@pytest.mark.parametrize("convention", ["exact", "paper"])
@pytest.mark.parametrize("empty", [("0.weight",), ("2.weight",), ("4.weight",), ("0.weight", "2.weight", "4.weight")])
def test_a_network_without_a_path_is_described_and_never_an_error(empty, convention):
    model = network()
    masks = {name: torch.zeros_like(model.get_parameter(name), dtype=torch.bool) for name in empty}
    topology = measure(model, X, masks, convention=convention)
    assert topology.log10_paths == -math.inf
    assert topology.path_ratio == 0.0
    assert math.isnan(topology.position)
    assert topology.nodes == topology.effective == topology.effective_macs == topology.effective_width == 0
    assert topology.node_ratio == 0.0
    assert topology.effective_sparsity == 1.0
    assert topology.kept == sum(p.numel() for n, p in model.named_parameters() if p.ndim > 1 and n not in masks)
    assert effective(model, X, masks).kept == 0


@pytest.mark.parametrize("convention", ["exact", "paper"])
def test_to_dict_is_strict_json_with_null_for_what_is_no_number(convention):
    topology = measure(network(), X, {"2.weight": no(2, 4, 3, 3)}, convention=convention)
    document = json.loads(json.dumps(topology.to_dict(), allow_nan=False))
    assert document["log10_paths"] is None
    assert document["position"] is None
    assert document["path_ratio"] == 0.0
    assert document["convention"] == convention
    assert document["layers"][1]["name"] == "2.weight"
    assert document["layers"][1]["shape"] == [2, 4, 3, 3]
    assert document["layers"][1]["kept"] == 0
    assert document["layers"][1]["sparsity"] == 1.0
    full = json.loads(json.dumps(measure(network(), X).to_dict(), allow_nan=False))
    assert full["log10_paths"] == pytest.approx(measure(network(), X).log10_paths)
    for key in ("prunable", "kept", "effective", "nodes", "macs", "effective_macs", "node_ratio", "effective_width"):
        assert full[key] == getattr(measure(network(), X), key)


def test_an_emptied_layer_beside_a_live_skip_leaves_the_paths_of_the_skip():
    model = Wired(
        lambda self, x: self.c(x + self.b(self.a(x))), a=nn.Linear(3, 3), b=nn.Linear(3, 3), c=nn.Linear(3, 2)
    )
    topology = measure(model, torch.zeros(1, 3), {"a.weight": no(3, 3)})
    assert topology.log10_paths == pytest.approx(math.log10(6))
    assert [layer.effective for layer in topology.layers] == [0, 0, 6]


def test_one_path_has_log_zero_and_ratio_zero():
    mask = no(2, 3)
    mask[0, 0] = True
    topology = measure(nn.Linear(3, 2), torch.zeros(1, 3), {"weight": mask})
    assert topology.log10_paths == 0.0
    assert topology.path_ratio == 0.0
    assert topology.nodes == 2


def test_biases_bring_no_paths():
    model = network()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(5.0)
    assert measure(model, X) == measure(network(), X)
    assert measure(model, X, {"0.weight": no(4, 3, 3, 3)}).nodes == 0


# modes and wrappers


def test_training_mode_and_dropout_change_nothing():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.9), nn.Flatten(), nn.Linear(144, 5))
    assert measure(model.train(), X) == measure(model.eval(), X)


def test_the_batch_size_of_the_example_does_not_matter():
    assert measure(network(), torch.zeros(7, 3, 8, 8)) == measure(network(), X)


def test_the_batch_size_does_not_matter_beside_an_argument_with_one_number_a_sample():
    model = Wired(lambda self, x, time: self.a(x) + time[:, None] * 0, a=nn.Linear(3, 2))
    one, four = ({"x": torch.zeros(n, 3), "time": torch.zeros(n)} for n in (1, 4))
    assert measure(model, four) == measure(model, one)


def test_values_and_dtype_of_the_example_and_of_the_weights_do_not_matter():
    expected = measure(network(), X)
    assert measure(network(), torch.full_like(X, math.nan)) == expected
    assert measure(network(), X.half()) == expected
    assert measure(network().double(), X) == measure(network().bfloat16(), X.bfloat16()) == expected


def test_inputs_as_tuple_list_or_keywords_are_the_same():
    model = Wired(lambda self, a, b: self.a(a) + self.b(b), a=nn.Linear(3, 2), b=nn.Linear(4, 2))
    a, b = torch.zeros(2, 3), torch.zeros(2, 4)
    assert measure(model, (a, b)) == measure(model, [a, b]) == measure(model, {"b": b, "a": a})
    assert measure(model, (a, b)).log10_paths == pytest.approx(math.log10(14))


def test_outputs_in_a_dict_or_a_tuple_are_summed():
    parts = {"a": nn.Linear(3, 2), "b": nn.Linear(3, 4)}
    for wiring in (
        lambda self, x: (self.a(x), [self.b(x)]),
        lambda self, x: {"one": self.a(x), "other": {"b": self.b(x)}},
    ):
        assert measure(Wired(wiring, **parts), torch.zeros(1, 3)).log10_paths == pytest.approx(math.log10(18))


def test_wrapped_models_have_the_names_of_what_they_wrap():
    model = network()
    expected = measure(model, X)
    assert measure(nn.DataParallel(model), X) == expected
    assert measure(torch.compile(model, backend="eager"), X) == expected
    assert measure(nn.DataParallel(torch.compile(model, backend="eager")), X) == expected


# what cannot be measured


def test_an_input_that_does_not_fit_names_the_layer():
    with pytest.raises(InputMismatchError, match=r"'4' raised RuntimeError.*pass an input of the shape"):
        measure(network(), torch.zeros(1, 3, 9, 9))
    with pytest.raises(InputMismatchError, match=r"'0' raised RuntimeError"):
        measure(network(), torch.zeros(1, 1, 8, 8))


def test_wrong_arguments_of_the_forward_are_an_input_that_does_not_fit():
    with pytest.raises(InputMismatchError, match="TypeError"):
        measure(network(), (X, X))
    with pytest.raises(InputMismatchError, match="TypeError"):
        measure(network(), {"image": X})


@pytest.mark.parametrize("x", [None, 3, "x", (), {}, torch.zeros(0, 3, 8, 8)])
def test_something_else_than_an_example_is_refused(x):
    with pytest.raises(ArgumentError, match="example input"):
        measure(network(), x)


def test_a_network_whose_layers_refuse_the_type_of_the_input_says_so():
    with pytest.raises(InputMismatchError, match="does not run on the example input"):
        measure(network(), torch.zeros(1, 3, 8, 8).byte())


def test_an_input_without_a_batch_axis_is_counted():
    topology = measure(nn.Linear(3, 2), torch.zeros(3))
    assert topology.log10_paths == pytest.approx(math.log10(6))
    assert topology.nodes == 3 + 2


def test_an_unknown_operation_names_itself_the_module_and_the_way_out():
    model = nn.Sequential(nn.Linear(3, 3), nn.Sequential(Wired(lambda self, x: torch.erfinv(x))))
    with pytest.raises(UnknownOperationError, match=r"erfinv in '1\.0' has no rule.*nodepath\.paths\.register"):
        measure(model, torch.zeros(1, 3))


@pytest.mark.parametrize(
    "decide",
    [
        lambda x: bool(x.sum()),
        lambda x: x.sum() > 0,
        lambda x: x.sum().item() > 0,
        lambda x: float(x.sum()) > 0,
        lambda x: x.argmax() == 1,
        lambda x: torch.equal(x, x),
        lambda x: x.detach().numpy().any(),
        lambda x: x.tolist() == [],
        lambda x: bool(torch.any(x)),
        lambda x: x.max() > 1,
    ],
)
def test_control_flow_that_depends_on_the_data_is_refused(decide):
    model = Wired(lambda self, x: self.a(x) if decide(x) else x, a=nn.Linear(3, 2))
    with pytest.raises(UnknownOperationError, match="forward of Wired"):
        measure(model, torch.zeros(1, 3))


def test_control_flow_that_depends_on_shapes_is_fine():
    model = Wired(
        lambda self, x: self.a(x) if x.shape[1] == 3 and len(x) == 1 and x.dim() == 2 else x, a=nn.Linear(3, 2)
    )
    assert measure(model, torch.zeros(1, 3)).effective == 6


def test_a_product_of_two_activations_is_refused():
    model = Wired(lambda self, x: self.a(x) * self.b(x), a=nn.Linear(3, 2), b=nn.Linear(3, 2))
    with pytest.raises(UnknownOperationError, match="multiplies two activations"):
        measure(model, torch.zeros(1, 3))


class Standardised(nn.Conv2d):
    def forward(self, x):
        weight = (self.weight - self.weight.mean()) / self.weight.std()
        return self._conv_forward(x, weight, self.bias)


def test_weight_standardisation_names_the_parameter():
    with pytest.raises(TransformedWeightError, match=r"'0' computes its weight from the parameter '0\.weight'"):
        measure(nn.Sequential(Standardised(3, 4, 3)), X)


@pytest.mark.parametrize(
    "wrap",
    [
        torch.nn.utils.parametrizations.weight_norm,
        torch.nn.utils.parametrizations.spectral_norm,
        torch.nn.utils.parametrizations.orthogonal,
    ],
)
def test_parametrized_weights_name_the_parameter(wrap):
    model = nn.Sequential(nn.Linear(3, 3), wrap(nn.Linear(3, 3)))
    with pytest.raises(
        TransformedWeightError, match=r"'1.*' computes its weight.*'1\.parametrizations\.weight\.original"
    ):
        measure(model, torch.zeros(1, 3))


def test_weights_held_by_torchs_own_pruning_name_the_parameter():
    model = nn.Sequential(nn.Linear(3, 3))
    torch.nn.utils.prune.random_unstructured(model[0], "weight", 0.5)
    with pytest.raises(TransformedWeightError, match=r"'0\.weight_orig'"):
        measure(model, torch.zeros(1, 3))


@pytest.mark.parametrize(
    "model",
    [
        nn.Identity(),
        nn.BatchNorm1d(3),
        nn.Sequential(nn.ReLU(), nn.LayerNorm(3)),
        Wired(lambda self, x: x, idle=nn.Linear(3, 3)),
    ],
)
def test_a_model_with_nothing_to_prune_says_so(model):
    with pytest.raises(NothingPrunableError, match=rf"{type(model).__name__} has nothing to prune"):
        measure(model, torch.zeros(2, 3))


# what is not prunable


def test_layers_that_the_forward_pass_never_uses_are_reported_and_take_no_mask():
    model = Wired(lambda self, x: self.a(x), a=nn.Linear(3, 2), idle=nn.Conv2d(3, 3, 1))
    topology = measure(model, torch.zeros(1, 3))
    assert topology.unused == ("idle.weight",)
    assert topology.prunable == 6
    assert topology.to_dict()["unused"] == ["idle.weight"]
    with pytest.raises(MaskMismatchError, match=r"'idle\.weight' is never used by the forward pass"):
        measure(model, torch.zeros(1, 3), {"idle.weight": no(3, 3, 1, 1)})


def test_layers_used_in_training_only_are_not_prunable():
    def wiring(self, x):
        return self.a(x) + self.auxiliary(x) if self.training else self.a(x)

    model = Wired(wiring, a=nn.Linear(3, 2), auxiliary=nn.Linear(3, 2)).train()
    assert measure(model, torch.zeros(1, 3)).unused == ("auxiliary.weight",)


def test_a_linear_tied_to_an_embedding_is_reported_and_takes_no_mask():
    embedding = nn.Embedding(5, 4)
    model = Wired(
        lambda self, x, tokens: self.head(self.body(x + self.embedding(tokens))),
        embedding=embedding, body=nn.Linear(4, 4), head=nn.Linear(4, 5, bias=False),
    )  # fmt: skip
    model.head.weight = embedding.weight
    example = (torch.zeros(1, 2, 4), torch.zeros(1, 2, dtype=torch.long))
    topology = measure(model, example)
    assert [layer.name for layer in topology.layers] == ["body.weight"]
    assert topology.tied == ("embedding.weight",)
    assert topology.unused == ()
    assert topology.log10_paths == pytest.approx(math.log10(2 * 2 * 4 * 4 * 5))  # from x and the embedding
    with pytest.raises(MaskMismatchError, match=r"'embedding\.weight'"):
        measure(model, example, {"embedding.weight": no(5, 4)})


def test_a_weight_under_two_names_counts_once_under_the_first():
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3, bias=False))
    model[2].weight = model[0].weight
    topology = measure(model, torch.zeros(1, 3), {"0.weight": torch.eye(3, dtype=torch.bool)})
    assert [layer.name for layer in topology.layers] == ["0.weight"]
    assert (topology.prunable, topology.kept, topology.effective) == (9, 3, 3)
    assert topology.macs == 6  # used twice
    assert topology.log10_paths == pytest.approx(math.log10(3))


def test_fixed_filters_are_edges_where_they_are_not_zero_and_are_not_prunable():
    def wiring(self, x):
        return torch.nn.functional.linear(self.a(x), self.mixing)

    model = Wired(wiring, a=nn.Linear(3, 3))
    model.register_buffer("mixing", torch.tensor([[0.0, -2.0, 0.0], [1.0, 1.0, 0.0]]))
    topology = measure(model, torch.zeros(1, 3))
    assert topology.prunable == 9
    assert topology.effective == 6
    assert topology.log10_paths == pytest.approx(math.log10(9))


def test_models_that_end_in_a_softmax_are_counted():
    for last in (nn.Softmax(dim=1), nn.LogSoftmax(dim=1)):
        model = nn.Sequential(nn.Linear(3, 2), last)
        assert measure(model, torch.zeros(1, 3)).log10_paths == pytest.approx(math.log10(6))


def test_a_result_that_holds_outputs_out_of_sight_is_not_mistaken_for_a_network_without_paths():
    class Result:
        def __init__(self, logits):
            self.logits = logits

    model = Wired(lambda self, x: Result(self.a(x)), a=nn.Linear(3, 2))
    try:
        paths = measure(model, torch.zeros(1, 3)).log10_paths
    except NoPathError:
        return
    assert paths == pytest.approx(math.log10(6))


def test_activations_and_norms_are_the_identity():
    kinds = [
        nn.ReLU(), nn.ReLU6(), nn.GELU(), nn.SiLU(), nn.Sigmoid(), nn.Tanh(), nn.Hardswish(), nn.Hardsigmoid(),
        nn.LeakyReLU(), nn.ELU(), nn.SELU(), nn.Mish(), nn.PReLU(), nn.Softplus(), nn.BatchNorm2d(4),
        nn.GroupNorm(2, 4), nn.InstanceNorm2d(4), nn.LayerNorm([4, 6, 6]), nn.LocalResponseNorm(2), nn.Dropout2d(),
        nn.Identity(),
    ]  # fmt: skip
    plain = measure(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)), X)
    for kind in kinds:
        found = measure(nn.Sequential(nn.Conv2d(3, 4, 3), kind, nn.Conv2d(4, 2, 3)), X)
        assert found.log10_paths == plain.log10_paths, kind
        assert found.effective == plain.effective, kind


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_padding_modes_bring_the_paths_that_they_repeat(mode):
    model = nn.Conv2d(1, 1, 3, padding=1, padding_mode=mode, bias=False)
    with torch.no_grad():
        model.weight.fill_(1.0)
        real = model(torch.ones(1, 1, 4, 4)).sum().item()
    assert measure(model, torch.zeros(1, 1, 4, 4)).log10_paths == pytest.approx(math.log10(real))


def test_a_cell_that_only_ever_sees_padding_is_on_no_path():
    topology = measure(nn.Conv2d(1, 1, 3, padding=1), torch.zeros(1, 1, 1, 1))
    assert topology.effective == 1


def test_anybody_can_declare_an_operation_that_is_unknown(monkeypatch):
    from nodepath.paths import register, table

    monkeypatch.setattr(table, "_RULES", dict(table._RULES))  # what is declared here stays here

    @register("erfc")
    def rule(call, input):
        signal = call.signal(input)
        return call.emit(signal.counts, signal.exponent)

    model = nn.Sequential(nn.Linear(3, 2), Wired(lambda self, x: torch.erfc(x)))
    assert measure(model, torch.zeros(1, 3)).log10_paths == pytest.approx(math.log10(6))
    with pytest.raises(ArgumentError, match="rule already"):
        register("erfc")(lambda call, input: input)
    with pytest.raises(ArgumentError, match="no function 'no_such_thing'"):
        register("no_such_thing")(rule)


def test_views_after_contiguous_are_counted_whatever_the_memory_layout():
    def shuffled(self, x):
        y = self.a(x)
        y = y.view(1, 2, 4, 8, 8).transpose(1, 2).contiguous().view(1, 8, 8, 8)
        y = torch.relu(y.transpose(2, 3)).contiguous().view(1, 8, 64)
        return y.transpose(1, 2).clone(memory_format=torch.contiguous_format).view(1, -1)

    model = Wired(shuffled, a=nn.Conv2d(3, 8, 1))
    assert measure(model, torch.zeros(1, 3, 8, 8)).log10_paths == pytest.approx(math.log10(3 * 8 * 64))


def test_maxima_over_windows_and_axes_are_pooling():
    for last in (nn.AdaptiveMaxPool2d(1), Wired(lambda self, x: x.amax((2, 3))), Wired(lambda self, x: x.amin((2, 3)))):
        model = nn.Sequential(nn.Conv2d(3, 8, 1), last)
        topology = {c: measure(model, torch.zeros(1, 3, 4, 4), convention=c) for c in ("exact", "paper")}
        assert topology["exact"].log10_paths == pytest.approx(math.log10(3 * 8 * 16))
        assert topology["paper"].log10_paths == pytest.approx(math.log10(3 * 8))


def test_random_states_are_left_alone_by_models_that_draw():
    import random

    def drawing(self, x):
        return self.a(x) * (1 + random.random() + float(np.random.rand()) + torch.rand(()))

    model = Wired(drawing, a=nn.Linear(3, 2))
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    measure(model, torch.zeros(1, 3))
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])


@pytest.mark.parametrize("model", [None, lambda x: x, nn.Linear])
def test_something_else_than_a_module_is_refused(model):
    with pytest.raises(ArgumentError, match=r"torch\.nn\.Module"):
        measure(model, torch.zeros(1, 3))


def test_another_resolution_is_refused_by_name():
    assert measure(nn.Linear(3, 2), torch.zeros(1, 3), resolution="pixel").nodes == 5
    with pytest.raises(ArgumentError, match="resolution is 'voxel'"):
        measure(nn.Linear(3, 2), torch.zeros(1, 3), resolution="voxel")


class Dense(nn.Module):
    """Each layer reads all that came before, side by side."""

    def __init__(self, inputs: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for width in widths:
            self.layers.append(nn.Linear(inputs, width, bias=False))
            inputs += width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], dim=1)
        return x


@pytest.mark.parametrize("resolution", ["pixel", "channel"])
@pytest.mark.parametrize(("inputs", "widths"), [(1, (1, 2, 1)), (1, (1, 1, 3, 1)), (2, (2, 4, 8)), (3, (1, 3, 1))])
def test_dense_connections_of_any_width(inputs, widths, resolution):
    """Where widths happen to be equal, or one, sides are told apart all the same."""
    paths = [1] * inputs
    for width in widths:
        paths += [sum(paths)] * width
    found = measure(Dense(inputs, widths), torch.zeros(1, inputs), resolution=resolution)
    assert found.log10_paths == pytest.approx(math.log10(sum(paths)))
