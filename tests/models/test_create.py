"""Seeds, arguments and names, alike for every source of models."""

import random
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from nodepath import models
from nodepath.errors import ArgumentError, MissingExtraError, UnknownNameError


@pytest.fixture
def factories(tmp_path, monkeypatch):
    """A module of the user's, on sys.path as `own_nets`."""
    (tmp_path / "own_nets.py").write_text(
        textwrap.dedent(
            """
            import random

            import numpy as np
            import torch
            from torch import nn

            drawn_at_import = torch.rand(3)

            def both(num_classes=4, in_channels=2):
                return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * 9, num_classes))

            def fixed():
                return nn.Linear(5, 3)

            def options(**options):
                net = nn.Linear(5, 3)
                net.options = options
                return net

            def needs_classes(num_classes):
                return nn.Linear(5, num_classes)

            def needs_width(num_classes, width):
                return nn.Linear(width, num_classes)

            def positional(num_classes=3, /):
                return nn.Linear(5, num_classes)

            def by_other_generators():
                net = nn.Linear(2, 2)
                net.numpy, net.python = np.random.rand(), random.random()
                return net

            def fails():
                torch.rand(9), np.random.rand(), random.random()
                raise RuntimeError("no network today")

            def forgets():
                both()

            network = fixed()
            number = 3

            class Nets:
                @staticmethod
                def small(num_classes=2):
                    return nn.Linear(5, num_classes)
            """
        )
    )
    (tmp_path / "broken_nets.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for module in ("own_nets", "broken_nets"):
        sys.modules.pop(module, None)


SOURCES = ["lenet5", "own_nets:both", "torchvision:squeezenet1_1", "timm:test_resnet"]


def random_states():
    return torch.get_rng_state().tolist(), random.getstate(), repr(np.random.get_state())


@pytest.fixture
def full_numpy_repr():
    with np.printoptions(threshold=sys.maxsize):
        yield


def skip_unless_installed(name):
    if ":" in name and not name.startswith("own_nets"):
        pytest.importorskip(name.partition(":")[0])


@pytest.mark.usefixtures("factories", "full_numpy_repr")
@pytest.mark.parametrize("name", SOURCES)
class TestEverySource:
    def test_gives_the_same_weights_for_the_same_seed(self, name):
        skip_unless_installed(name)
        first, second = models.create(name, seed=3).state_dict(), models.create(name, seed=3).state_dict()
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)

    def test_gives_other_weights_for_another_seed(self, name):
        skip_unless_installed(name)
        first, second = models.create(name, seed=3), models.create(name, seed=4)
        weights = [key for key, value in first.named_parameters() if value.dim() > 1]
        assert weights
        assert not any(torch.equal(first.state_dict()[key], second.state_dict()[key]) for key in weights)

    def test_leaves_the_global_random_state_alone(self, name):
        skip_unless_installed(name)
        before = random_states()
        models.create(name, seed=3)
        models.describe(name)
        assert random_states() == before

    def test_takes_classes(self, name):
        skip_unless_installed(name)
        size = models.describe(name).input_size or (2, 3, 3)
        model = models.create(name, num_classes=6).eval()
        with torch.no_grad():
            assert model(torch.zeros(2, *size)).shape == (2, 6)

    def test_is_in_training_mode(self, name):
        skip_unless_installed(name)
        assert models.create(name).training

    @pytest.mark.parametrize("arguments", [{"num_classes": 0}, {"in_channels": 0}, {"num_classes": -3}])
    def test_refuses_numbers_below_one(self, name, arguments):
        ((argument, value),) = arguments.items()
        with pytest.raises(ArgumentError, match=f"{argument}={value} is out of range"):
            models.create(name, **arguments)

    @pytest.mark.parametrize("argument", ["num_classes", "in_channels", "seed"])
    @pytest.mark.parametrize("value", [1.0, "1", True, [1]])
    def test_refuses_what_is_not_an_integer(self, name, argument, value):
        with pytest.raises(ArgumentError, match=f"{argument}=.*{type(value).__name__}; pass an integer"):
            models.create(name, **{argument: value})

    @pytest.mark.parametrize("seed", [-1, 2**63])
    def test_refuses_a_seed_out_of_range(self, name, seed):
        with pytest.raises(ArgumentError, match=f"seed={seed} is out of range"):
            models.create(name, seed=seed)


def test_the_largest_seed_and_numpy_integers_are_fine():
    models.create("lenet5", seed=2**63 - 1)
    model = models.create("lenet5", num_classes=np.int64(3), seed=np.int64(3), in_channels=np.int64(2))
    assert torch.equal(model.fc3.weight, models.create("lenet5", num_classes=3, seed=3, in_channels=2).fc3.weight)


def test_the_default_seed_is_zero():
    assert torch.equal(models.create("lenet5").fc3.weight, models.create("lenet5", seed=0).fc3.weight)


@pytest.mark.parametrize("look", [models.create, models.describe])
class TestUnknownNames:
    def test_name_the_nearest_the_known_and_the_other_forms(self, look):
        with pytest.raises(UnknownNameError) as caught:
            look("resnet200")
        message = str(caught.value)
        assert "unknown model 'resnet200'; did you mean 'resnet20'?" in message
        assert all(part in message for part in ("wrn-16-8", "torchvision:NAME", "timm:NAME", "pkg.module:factory"))
        assert "\n" not in message

    def test_name_the_nearest_of_torchvision(self, look):
        pytest.importorskip("torchvision")
        with pytest.raises(UnknownNameError, match="unknown model 'torchvision:resnet500'; did you mean resnet50"):
            look("torchvision:resnet500")

    def test_name_the_nearest_of_timm(self, look):
        pytest.importorskip("timm")
        with pytest.raises(UnknownNameError, match="unknown model 'timm:test_resnets'; did you mean test_resnet "):
            look("timm:test_resnets")

    def test_name_the_tags_of_timm(self, look):
        pytest.importorskip("timm")
        with pytest.raises(
            UnknownNameError, match=r"unknown tag 'nosuch' of model 'timm:test_vit\.nosuch'; .*r160_in1k"
        ):
            look("timm:test_vit.nosuch")

    @pytest.mark.parametrize("name", ["torchvision:", "timm:", "timm:hf-hub:someone/something", "timm:test_*"])
    def test_are_unknown_without_asking_anybody(self, look, name):
        pytest.importorskip(name.partition(":")[0])
        with pytest.raises(UnknownNameError, match="unknown model"):
            look(name)

    @pytest.mark.parametrize("name", [None, 3, b"lenet5"])
    def test_that_are_no_string_are_refused(self, look, name):
        with pytest.raises(ArgumentError, match=type(name).__name__):
            look(name)

    @pytest.mark.parametrize("name", ["torchvision:resnet18", "timm:test_resnet"])
    def test_need_the_extra(self, look, name, monkeypatch):
        monkeypatch.setitem(sys.modules, name.partition(":")[0], None)  # Python's own mark for "cannot be imported"
        with pytest.raises(MissingExtraError, match=r"pip install nodepath\[vision\]"):
            look(name)


class TestTorchvision:
    @pytest.mark.parametrize(
        ("name", "size"),
        [("squeezenet1_1", 224), ("inception_v3", 299), ("efficientnet_b1", 240), ("vit_h_14", 224)],
    )
    def test_input_size_is_the_crop_that_the_builder_is_made_for(self, name, size):
        pytest.importorskip("torchvision")
        spec = models.describe(f"torchvision:{name}")
        assert (spec.name, spec.input_size, spec.num_classes) == (f"torchvision:{name}", (3, size, size), 1000)

    def test_channels_other_than_three_are_refused(self):
        pytest.importorskip("torchvision")
        assert models.create("torchvision:squeezenet1_1", in_channels=3)
        with pytest.raises(ArgumentError, match="'torchvision:squeezenet1_1' reads 3 channels, not in_channels=1"):
            models.create("torchvision:squeezenet1_1", in_channels=1)

    def test_a_model_that_announces_another_initialisation_is_built_in_silence(self, recwarn):
        pytest.importorskip("torchvision")
        models.create("torchvision:googlenet")
        assert not [warning for warning in recwarn if issubclass(warning.category, FutureWarning)]

    @pytest.mark.parametrize("name", ["fasterrcnn_resnet50_fpn", "deeplabv3_resnet50", "r3d_18", "quantized_resnet18"])
    def test_what_is_no_plain_classifier_is_refused(self, name):
        pytest.importorskip("torchvision")
        with pytest.raises(ArgumentError, match="not one of torchvision's plain image classifiers; write a factory"):
            models.create(f"torchvision:{name}")


class TestTimm:
    @pytest.mark.parametrize(
        ("name", "size", "classes"),
        [
            ("test_resnet", (3, 160, 160), 1000),
            ("test_vit.r160_in1k", (3, 160, 160), 1000),
            ("vit_tiny_patch16_224.augreg_in21k", (3, 224, 224), 21843),
            ("vit_small_patch14_dinov2", (3, 518, 518), None),  # published without a classifier
        ],
    )
    def test_size_and_classes_are_those_of_the_pretrained_cfg(self, name, size, classes):
        pytest.importorskip("timm")
        spec = models.describe(f"timm:{name}")
        assert (spec.input_size, spec.num_classes) == (size, classes)

    @pytest.mark.parametrize("name", ["test_resnet", "test_vit.r160_in1k"])
    def test_takes_other_channels(self, name):
        pytest.importorskip("timm")
        model = models.create(f"timm:{name}", in_channels=1, num_classes=5).eval()
        with torch.no_grad():
            assert model(torch.zeros(1, 1, 160, 160)).shape == (1, 5)


@pytest.mark.usefixtures("factories", "full_numpy_repr")
class TestFactory:
    def test_is_given_only_what_the_user_asks_for(self):
        assert models.create("own_nets:options").options == {}
        assert models.create("own_nets:options", num_classes=7).options == {"num_classes": 7}
        assert models.create("own_nets:options", in_channels=1).options == {"in_channels": 1}

    def test_keeps_its_own_defaults(self):
        model = models.create("own_nets:both", num_classes=7)
        assert (model[1].in_features, model[1].out_features) == (18, 7)

    def test_may_be_inside_a_class(self):
        assert models.create("own_nets:Nets.small", num_classes=9).out_features == 9

    def test_has_nothing_to_look_up(self):
        spec = models.describe("own_nets:both")
        assert (spec.name, spec.input_size, spec.num_classes) == ("own_nets:both", None, None)

    def test_may_draw_from_numpy_and_python_too(self):
        first, second = (models.create("own_nets:by_other_generators", seed=8) for _ in range(2))
        other = models.create("own_nets:by_other_generators", seed=9)
        assert (first.numpy, first.python) == (second.numpy, second.python)
        assert first.numpy != other.numpy
        assert first.python != other.python

    def test_an_import_that_draws_does_not_change_the_weights(self):
        first = models.create("own_nets:fixed", seed=1)
        assert "own_nets" in sys.modules
        assert torch.equal(first.weight, models.create("own_nets:fixed", seed=1).weight)

    def test_that_fails_shows_its_own_error_and_leaves_the_random_state_alone(self):
        before = random_states()
        with pytest.raises(ArgumentError, match="'own_nets:fails' raised RuntimeError: no network today"):
            models.create("own_nets:fails")
        assert random_states() == before

    @pytest.mark.parametrize(
        ("name", "arguments", "message"),
        [
            ("own_nets:fixed", {"num_classes": 3}, "takes no keyword 'num_classes', so num_classes=3 cannot be met"),
            ("own_nets:fixed", {"in_channels": 1}, "takes no keyword 'in_channels', so in_channels=1 cannot be met"),
            ("own_nets:positional", {"num_classes": 3}, "takes no keyword 'num_classes'"),
            ("own_nets:needs_classes", {}, "needs num_classes; pass num_classes="),
            ("own_nets:needs_width", {"num_classes": 3}, "needs 'width'; only num_classes and in_channels"),
            ("own_nets:forgets", {}, "returned a NoneType; return a torch.nn.Module"),
            ("own_nets:network", {}, "is a network and not a factory"),
            ("own_nets:number", {}, "is of type int; name a function"),
            ("own_nets:", {}, "names no factory; write 'pkg.module:factory'"),
            (":both", {}, "names no factory"),
            ("own_nets:both:both", {}, "names no factory"),
            ("own nets:both", {}, "names no factory"),
        ],
    )
    def test_that_cannot_be_used_says_why(self, name, arguments, message):
        with pytest.raises(ArgumentError, match=message):
            models.create(name, **arguments)

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("own_nets:bot", "no 'bot' in 'own_nets'; did you mean both"),
            ("own_nets:Nets.large", "no 'large' in 'own_nets'"),
            ("no_such_nets:both", "no module named 'no_such_nets'; install it, or put its folder on PYTHONPATH"),
            ("torch.no_such_part:both", r"no module named 'torch\.no_such_part'"),
        ],
    )
    def test_that_is_not_there_is_unknown(self, name, message):
        for look in (models.create, models.describe):
            with pytest.raises(UnknownNameError, match=message):
                look(name)

    def test_whose_module_lacks_a_dependency_shows_the_import_that_failed(self):
        with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
            models.create("broken_nets:both")


def test_importing_models_imports_no_heavy_library():
    code = "import sys, nodepath.models as m; m.create('lenet5'); print({'timm', 'torchvision'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
