import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from contract_networks import CHAINS, KINDS, batch, build, example, prunable
from footprint import changes, footprint
from torch import Tensor, nn

import nodepath
from brief import brief
from nodepath.errors import ArgumentError, CollapseError, CollapseWarning, NodepathError, NonFiniteError
from nodepath.methods import Problem, create
from nodepath.paths import Network
from nodepath.scores import Batch, Subject
from pruning import pruned

NAMES = nodepath.methods.names()
WITH_DATA = [name for name in NAMES if nodepath.methods.needs_batch(name)]
WITHOUT_DATA = [name for name in NAMES if name not in WITH_DATA]
DEFAULT_BN = {"prospr": "train-batch"}
LOSSLESS = ("px",)
"""They look at inputs alone, which here decide nothing (but in tests/methods/test_px.py)."""
REFUSED = (("fisher", "train-batch"),)
"""Where a sample's loss would depend on the others."""
DRAWING = (
    *("random", "random-uniform", "uniform-plus", "er", "erk", "erk-plus", "balanced", "igq", "smart-ratio"),
    *("expander", "npb", "synflow-npb"),
)


def size(kind: str) -> int:
    return sum(weight.numel() for weight in prunable(kind).values())


def every(model: nn.Module, value: float) -> nn.Module:
    """The model with one value for all its prunable weights."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
                module.weight.fill_(value)
    return model


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
class TestBudget:
    @pytest.mark.parametrize("sparsity", [0.0, 0.371, 0.5, 0.9, 0.99])
    def test_keeps_exactly_the_rounded_count(self, name, kind, sparsity):
        masks = pruned(name, kind, sparsity=sparsity)
        assert sum(int(mask.sum()) for mask in masks.values()) == round((1 - sparsity) * size(kind))

    def test_keeps_one_weight_at_the_highest_sparsity(self, name, kind):
        masks = pruned(name, kind, sparsity=1 - 1 / size(kind))
        assert sum(int(mask.sum()) for mask in masks.values()) == 1

    @pytest.mark.filterwarnings("ignore::nodepath.errors.ZeroLayerWarning")  # of the flow of weights that are all zero
    @pytest.mark.parametrize("value", [0.0, 0.25])
    @pytest.mark.parametrize("sparsity", [0.6, 0.95])
    def test_keeps_exactly_the_rounded_count_where_all_weights_are_equal(self, name, kind, sparsity, value):
        masks = pruned(name, kind, every(build(kind), value), sparsity=sparsity)
        assert sum(int(mask.sum()) for mask in masks.values()) == round((1 - sparsity) * size(kind))

    def test_masks_each_prunable_weight_by_a_bool_of_its_shape_and_device(self, name, kind):
        masks, weights = pruned(name, kind), prunable(kind)
        assert set(masks) == set(weights)
        for parameter, weight in weights.items():
            mask = masks[parameter]
            assert (mask.dtype, mask.shape, mask.device) == (torch.bool, weight.shape, weight.device)

    def test_keeps_the_counts_asked_for_layer_by_layer(self, name, kind):
        counts = {n: max(1, w.numel() // (3 + place)) for place, (n, w) in enumerate(prunable(kind).items())}
        masks = pruned(name, kind, sparsity=None, layer_counts=counts)
        assert {n: int(mask.sum()) for n, mask in masks.items()} == counts


@pytest.mark.parametrize("name", NAMES)
class TestModel:
    @pytest.fixture(params=KINDS)
    def kind(self, request) -> str:
        return request.param

    @pytest.fixture
    def model(self, kind) -> nn.Module:
        """Not as it came from the shop: mixed modes, gradients, hooks, frozen parameters."""
        model = build(kind)
        for place, module in enumerate(model.modules()):
            module.training = place % 2 == 0
        for place, parameter in enumerate(model.parameters()):
            parameter.requires_grad_(place % 3 != 0)
            if place % 2:
                parameter.grad = torch.full_like(parameter, 0.5)
        last = list(model.modules())[-1]
        last.register_forward_hook(lambda module, inputs, outputs: None)
        next(p for p in model.parameters() if p.requires_grad).register_hook(lambda grad: grad)
        return model

    @pytest.mark.parametrize("bn", [None, "eval-identity", "frozen", "train-batch", "warmed-up"])
    def test_is_left_as_it_was(self, name, kind, model, bn):
        inputs, targets = batch(kind)
        before = footprint(model)
        with suppress(ArgumentError) if (name, bn) in REFUSED else nullcontext():
            pruned(name, kind, model, batch=(inputs, targets), bn=bn)
        assert changes(before, footprint(model)) == []
        assert torch.equal(inputs, batch(kind)[0])
        assert torch.equal(targets, batch(kind)[1])

    @pytest.mark.parametrize("kind", CHAINS)  # elsewhere one weight may be a path of its own
    def test_is_left_as_it_was_after_a_collapse(self, name, model, kind):
        before = footprint(model)
        with pytest.raises(CollapseError):
            pruned(name, kind, model, sparsity=1 - 1 / size(kind), on_collapse="error")
        assert changes(before, footprint(model)) == []

    def test_is_left_as_it_was_after_an_error_of_its_own(self, name, kind, model):
        before = footprint(model)
        with pytest.raises(NodepathError):
            nodepath.prune(model, torch.zeros(1, 1), method=name, sparsity=0.5, batch=batch(kind))
        assert changes(before, footprint(model)) == []

    def test_may_be_in_training_mode_or_frozen_or_hold_gradients(self, name, kind, model):
        assert pruned(name, kind, model) == pruned(name, kind)

    def test_may_be_pruned_where_gradients_are_off(self, name, kind):
        with torch.no_grad():
            masks = pruned(name, kind)
        assert masks == pruned(name, kind)

    def test_may_be_of_double_precision(self, name, kind):
        inputs, targets = batch(kind)
        single, double = pruned(name, kind), pruned(name, kind, build(kind).double(), batch=(inputs.double(), targets))
        assert double.kept == single.kept
        if name in WITHOUT_DATA:  # the gradients of the others are rounded otherwise
            assert double == single

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_may_be_of_half_precision(self, name, kind, dtype):
        inputs, targets = batch(kind)
        masks = pruned(name, kind, build(kind).to(dtype), batch=(inputs.to(dtype), targets))
        assert masks.kept == round(0.2 * size(kind))

    @pytest.mark.parametrize("kind", ["conv", "residual"])  # channels last is for images
    def test_may_lie_channels_last(self, name, kind):
        model = build(kind).to(memory_format=torch.channels_last)
        if name in WITHOUT_DATA:
            assert pruned(name, kind, model) == pruned(name, kind)
        assert pruned(name, kind, model).kept == round(0.2 * size(kind))

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_with_a_weight_that_is_not_finite_is_refused_by_the_parameters_name(self, name, kind, value):
        for place, parameter in enumerate(prunable(kind)):
            model = build(kind)
            weight = model.get_parameter(parameter)
            with torch.no_grad():
                weight.view(-1)[place] = value
            with pytest.raises(NonFiniteError, match=f"'{parameter}'"):
                pruned(name, kind, model)


@pytest.mark.parametrize("name", NAMES)
class TestSeed:
    @pytest.mark.parametrize("kind", KINDS)
    def test_fixes_the_mask_whatever_the_global_random_state(self, name, kind):
        first = pruned(name, kind, seed=5)
        torch.rand(3)
        assert pruned(name, kind, seed=5).hash == first.hash

    @pytest.mark.parametrize("kind", ["residual", "grouped"])
    def test_fixes_the_mask_in_another_process(self, name, kind, hashes_elsewhere):
        assert hashes_elsewhere[kind][name] == pruned(name, kind, seed=5).hash

    @pytest.mark.filterwarnings("ignore::nodepath.errors.BudgetWarning")
    @pytest.mark.parametrize("kind", KINDS)
    def test_changes_the_mask_if_the_method_draws_and_not_if_it_does_not(self, name, kind):
        generator = torch.Generator().manual_seed(0)
        network = Network(build(kind), example(kind))
        subject = Subject(network, generator, Batch.of(batch(kind)) if name in WITH_DATA else None)
        problem = Problem(network, subject, network.weights(), tuple(network.layers), network.prunable // 5)
        before = generator.get_state()
        create(name, **brief(name))(problem)
        draws = not torch.equal(before, generator.get_state())
        masks = [pruned(name, kind, seed=seed).hash for seed in range(3)]
        assert len(set(masks)) == (3 if draws else 1)
        assert draws or name not in DRAWING


@pytest.fixture(scope="module")
def hashes_elsewhere() -> dict[str, dict[str, str]]:
    """Kind -> method -> hash, each kind made by a fresh process."""
    script = Path(__file__).with_name("hashes_in_a_process_of_its_own.py")
    places = [str(Path(nodepath.__file__).parents[1]), str(script.parents[1])]
    path = os.pathsep.join(part for part in (*places, os.environ.get("PYTHONPATH")) if part)

    def run(kind: str, salt: str) -> dict[str, str]:
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": salt, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, str(script), kind], env=environment, check=True, capture_output=True, text=True
        )
        return dict(json.loads(done.stdout))

    return {"residual": run("residual", "1"), "grouped": run("grouped", "2")}


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", WITHOUT_DATA)
@pytest.mark.usefixtures("threads")
def test_number_of_threads_does_not_change_a_mask_that_needs_no_data(name):
    """On a network large enough that torch does share its work out."""
    model, x = nodepath.models.create("resnet20", num_classes=10, seed=0), torch.zeros(1, 3, 32, 32)
    masks, options = [], {option: min(number, 3) for option, number in brief(name).items()}
    for number in (1, 2):
        torch.set_num_threads(number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CollapseWarning)
            masks.append(nodepath.prune(model, x, method=name, sparsity=0.9, on_collapse="warn", **options).hash)
    assert len(set(masks)) == 1


@pytest.mark.parametrize("name", NAMES)
class TestRecord:
    def test_metadata_is_json_and_names_method_options_seed_protocol_and_versions(self, name):
        masks = pruned(name, "conv", seed=11)
        metadata = json.loads(json.dumps(masks.metadata, allow_nan=False))
        assert metadata["method"] == name
        assert metadata["seed"] == 11
        assert metadata["sparsity"] == 0.8
        assert metadata["options"].items() >= brief(name).items()
        assert metadata["protocol"]["bn"] == (DEFAULT_BN.get(name, "eval-identity") if name in WITH_DATA else None)
        assert metadata["protocol"]["samples"] == (10 if name in WITH_DATA else None)
        assert metadata["versions"] == {"nodepath": version("nodepath"), "torch": torch.__version__}

    def test_masks_come_back_from_a_file_as_they_were(self, name, tmp_path):
        masks = pruned(name, "residual")
        masks.save(tmp_path / "m.safetensors")
        loaded = nodepath.MaskSet.load(tmp_path / "m.safetensors")
        assert loaded == masks
        assert loaded.hash == masks.hash
        assert loaded.metadata == masks.metadata

    @pytest.mark.filterwarnings("ignore::nodepath.errors.BudgetWarning")
    def test_an_object_of_the_method_gives_the_same_mask_and_is_recorded_by_the_same_name(self, name):
        masks = nodepath.prune(
            *(build("conv"), example("conv")), method=create(name, **brief(name)), sparsity=0.8, batch=batch("conv")
        )
        assert masks == pruned(name, "conv")
        assert masks.metadata["method"] == name
        assert masks.metadata["options"] == pruned(name, "conv").metadata["options"]

    def test_describes_itself_in_one_line(self, name):
        assert len(nodepath.methods.describe(name)) > 10
        assert nodepath.methods.describe(name).endswith(".")


@pytest.mark.parametrize("name", NAMES)
class TestArguments:
    def test_an_unknown_option_is_refused_with_the_known_ones(self, name):
        options = pruned(name, "mlp").metadata["options"]
        with pytest.raises(ArgumentError, match=f"'{name}'.*'no_such_option'") as caught:
            pruned(name, "mlp", no_such_option=1)
        assert all(option in str(caught.value) for option in options)

    def test_an_unknown_scope_is_refused_with_the_known_ones(self, name):
        with pytest.raises(ArgumentError, match="layerwise"):
            pruned(name, "mlp", scope="no-such-scope")

    def test_an_unknown_batch_norm_mode_is_refused_with_the_known_ones(self, name):
        with pytest.raises(ArgumentError, match="train-batch"):
            pruned(name, "mlp", bn="no-such-mode")

    def test_an_unknown_answer_to_collapse_is_refused_with_the_known_ones(self, name):
        with pytest.raises(ArgumentError, match="keep-one"):
            pruned(name, "mlp", on_collapse="no-such-answer")


@pytest.mark.parametrize("name", WITH_DATA)
class TestData:
    @pytest.mark.parametrize("kind", KINDS)
    def test_is_asked_for_where_it_is_missing(self, name, kind):
        with pytest.raises(ArgumentError, match="batch="):
            pruned(name, kind, batch=None)

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_with_a_value_that_is_not_finite_is_refused(self, name, value):
        inputs, targets = batch("conv")
        inputs[0, 0, 0, 0] = value
        with pytest.raises(NonFiniteError):
            pruned(name, "conv", batch=(inputs, targets))

    def test_with_fewer_targets_than_inputs_is_refused(self, name):
        inputs, targets = batch("conv")
        with pytest.raises(ArgumentError, match="10 inputs and 7 targets"):
            pruned(name, "conv", batch=(inputs, targets[:7]))


@pytest.mark.parametrize("name", WITH_DATA)
def test_data_may_come_in_unequal_parts_without_changing_the_mask(name):
    inputs, targets = batch("conv")
    parts = [(inputs[:3], targets[:3]), (inputs[3:], targets[3:])]
    whole = pruned(name, "conv", build("conv").double(), batch=(inputs.double(), targets))
    assert pruned(name, "conv", build("conv").double(), batch=((i.double(), t) for i, t in parts)) == whole


@pytest.mark.parametrize("name", [name for name in WITH_DATA if name not in LOSSLESS])
def test_leaves_the_model_as_it_was_where_the_loss_fails(name):
    def failing(outputs: Tensor, targets: Tensor) -> Tensor:
        raise ZeroDivisionError

    model = build("conv").train()
    before = footprint(model)
    for bn in ("eval-identity", "train-batch", "warmed-up"):
        with pytest.raises(ArgumentError if (name, bn) in REFUSED else ZeroDivisionError):
            pruned(name, "conv", model, loss=failing, bn=bn)
    assert changes(before, footprint(model)) == []


@pytest.mark.parametrize("name", [name for name in WITH_DATA if name not in LOSSLESS])
def test_data_decide_the_mask(name):
    inputs, targets = batch("conv")
    other = pruned(name, "conv", batch=(-inputs.flip(0), targets))
    assert other.kept == pruned(name, "conv").kept
    assert other != pruned(name, "conv")
