"""The papers' networks: their sizes, their shapes and how they are initialised."""

import copy
import math

import pytest
import torch
from torch import nn

from nodepath import models
from nodepath.models.initialize import kaiming_

# shared/reference/node-path-balancing.md, "The papers' networks"; mlp-6x100 by 784*100 + 4*100*100 + 100*10
PRUNABLE = {
    "mlp-6x100": 119_400,
    "convnet4": 60_688,
    "lenet5": 61_470,
    "resnet20": 270_896,
    "resnet32": 464_432,
    "resnet56": 851_504,
    "vgg19": 20_070_080,
    "resnet18-tiny": 11_261_632,
    "wrn-16-8": 10_954_160,
}
SMALL = ["mlp-6x100", "lenet5", "resnet20"]


def weighted_layers(model: nn.Module) -> dict[str, nn.Conv2d | nn.Linear]:
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, (nn.Conv2d, nn.Linear))}


@pytest.fixture(scope="module")
def zoo() -> dict[str, nn.Module]:
    return {name: models.create(name) for name in PRUNABLE}


def test_the_zoo_is_these_networks():
    assert models.names() == sorted(PRUNABLE)


@pytest.mark.parametrize("name", PRUNABLE)
class TestEveryNetwork:
    def test_has_the_published_number_of_prunable_weights(self, zoo, name):
        assert sum(layer.weight.numel() for layer in weighted_layers(zoo[name]).values()) == PRUNABLE[name]

    def test_maps_its_input_size_to_its_classes(self, zoo, name):
        spec = models.describe(name)
        model = copy.deepcopy(zoo[name]).eval()
        with torch.no_grad():
            assert model(torch.zeros(2, *spec.input_size)).shape == (2, spec.num_classes)

    def test_uses_every_parameter(self, zoo, name):
        model = copy.deepcopy(zoo[name])
        model(torch.randn(2, *models.describe(name).input_size)).sum().backward()
        assert [key for key, parameter in model.named_parameters() if parameter.grad is None] == []

    def test_is_in_training_mode(self, zoo, name):
        assert all(module.training for module in zoo[name].modules())

    def test_draws_every_weight_with_variance_two_over_fan_in(self, zoo, name):
        for layer_name, layer in weighted_layers(zoo[name]).items():
            drawn = layer.weight.detach().double()
            fan_in, count = drawn[0].numel(), drawn.numel()
            scaled = drawn / math.sqrt(2 / fan_in)
            # five standard errors of a mean and of a standard deviation of `count` normal numbers
            assert abs(scaled.mean()) < 5 / math.sqrt(count), layer_name
            assert abs(scaled.std() - 1) < 5 / math.sqrt(2 * count), layer_name
            if count > 10_000:
                assert scaled.abs().max() > 3, layer_name  # a uniform distribution of that variance ends at 1.73

    def test_has_zero_biases_and_identity_batchnorms(self, zoo, name):
        for layer in zoo[name].modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)) and layer.bias is not None:
                assert not layer.bias.any()
            if isinstance(layer, nn.BatchNorm2d):
                assert (layer.weight == 1).all()
                assert not layer.bias.any()

    def test_has_no_dropout(self, zoo, name):
        assert not any("Dropout" in type(layer).__name__ for layer in zoo[name].modules())

    def test_takes_any_number_of_channels_and_classes(self, name):
        spec = models.describe(name)
        model = models.create(name, num_classes=7, in_channels=2).eval()
        with torch.no_grad():
            assert model(torch.zeros(1, 2, *spec.input_size[1:])).shape == (1, 7)


@pytest.mark.parametrize(
    ("name", "input_size", "num_classes"),
    [
        ("mlp-6x100", (1, 28, 28), 10),
        ("convnet4", (1, 32, 32), 10),
        ("lenet5", (1, 32, 32), 10),
        ("resnet20", (3, 32, 32), 10),
        ("resnet32", (3, 32, 32), 10),
        ("resnet56", (3, 32, 32), 10),
        ("vgg19", (3, 32, 32), 100),
        ("resnet18-tiny", (3, 64, 64), 200),
        ("wrn-16-8", (3, 32, 32), 10),
    ],
)
def test_describe_tells_the_data_that_a_network_is_made_for(name, input_size, num_classes):
    spec = models.describe(name)
    assert (spec.name, spec.input_size, spec.num_classes) == (name, input_size, num_classes)
    assert spec.description
    assert "\n" not in spec.description


def path_count(model: nn.Module, size: tuple[int, int, int]) -> float:
    """Input-output paths: the output at weights 1, biases 0, input 1, with BatchNorm as the identity."""
    model = copy.deepcopy(model).double().eval()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = 0.0
    for layer in weighted_layers(model).values():
        nn.init.ones_(layer.weight)
    with torch.no_grad():
        return model(torch.ones(1, *size, dtype=torch.float64)).sum().item()


def test_resnet20_has_the_published_number_of_paths(zoo):
    # "Dense log10 paths 47.528 with the final average pooling as a mean": same reference, calibration table
    assert math.log10(path_count(zoo["resnet20"], (3, 32, 32))) == pytest.approx(47.528, abs=5e-4)


def test_mlp_paths_are_the_product_of_its_widths(zoo):
    assert path_count(zoo["mlp-6x100"], (1, 28, 28)) == 784 * 100**5 * 10


def test_mlp_reads_784_inputs_a_channel_and_has_no_batchnorm():
    model = models.create("mlp-6x100", in_channels=3)
    kinds = [type(layer) for layer in model.children()]
    assert kinds == [nn.Flatten, *[nn.Linear, nn.ReLU] * 5, nn.Linear]
    assert [layer.in_features for layer in weighted_layers(model).values()] == [2352, 100, 100, 100, 100, 100]


def test_lenet5_pools_by_maximum_after_each_convolution(zoo):
    kinds = [type(layer) for layer in zoo["lenet5"].children()]
    convolution = [nn.Conv2d, nn.ReLU, nn.MaxPool2d]
    assert kinds == [*convolution * 2, nn.Flatten, nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]


def test_vgg19_has_biased_convolutions_four_max_poolings_and_a_final_average(zoo):
    layers = list(zoo["vgg19"].children())
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 16
    assert all(layer.bias is not None and layer.kernel_size == (3, 3) for layer in convolutions)
    for place, layer in enumerate(layers):
        if isinstance(layer, nn.Conv2d):
            assert [type(after) for after in layers[place + 1 : place + 3]] == [nn.BatchNorm2d, nn.ReLU]
    poolings = [(type(layer), layer.kernel_size) for layer in layers if "Pool" in type(layer).__name__]
    assert poolings == [(nn.MaxPool2d, 2)] * 4 + [(nn.AvgPool2d, 2)]


@pytest.mark.parametrize(("name", "shortcuts"), [("resnet20", 2), ("resnet18-tiny", 3), ("wrn-16-8", 3)])
def test_residual_networks_project_only_where_the_shape_changes(zoo, name, shortcuts):
    layers = weighted_layers(zoo[name]).values()
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert sum(layer.kernel_size == (1, 1) for layer in convolutions) == shortcuts
    assert all(layer.bias is None for layer in convolutions)


@pytest.mark.parametrize(
    ("name", "convolutions", "norms"),
    [("resnet20", 21, 21), ("resnet18-tiny", 20, 20), ("wrn-16-8", 16, 13)],  # wrn: two a block and the last one
)
def test_residual_networks_have_these_batchnorms(zoo, name, convolutions, norms):
    kinds = [type(layer) for layer in zoo[name].modules()]
    assert (kinds.count(nn.Conv2d), kinds.count(nn.BatchNorm2d)) == (convolutions, norms)


def test_wide_resnet_activates_before_it_convolves(zoo):
    block = copy.deepcopy(zoo["wrn-16-8"]).eval().layer1[1]
    negative = -torch.rand(1, 128, 4, 4)
    with torch.no_grad():
        assert torch.equal(block(negative), negative)  # ReLU stops the branch, the shortcut is bare


def test_wide_resnet_projects_the_activated_input(zoo):
    block = copy.deepcopy(zoo["wrn-16-8"]).eval().layer1[0]
    with torch.no_grad():
        assert not block(-torch.rand(1, 16, 4, 4)).any()


def test_resnet_activates_after_the_sum(zoo):
    block = copy.deepcopy(zoo["resnet20"]).eval().layer1[0]
    with torch.no_grad():
        assert not block(torch.full((1, 16, 4, 4), -1e6)).eq(-1e6).any()
        assert (block(torch.randn(1, 16, 4, 4)) >= 0).all()


@pytest.mark.parametrize("name", SMALL)
def test_weights_are_the_same_in_other_surroundings(name):
    expected = models.create(name, seed=5).state_dict()
    torch.manual_seed(1234)
    torch.randn(17)
    again = models.create(name, seed=5).state_dict()
    assert all(torch.equal(expected[key], again[key]) for key in expected)


def test_a_network_is_made_on_the_default_device():
    with torch.device("meta"):  # stands for a device whose generator is not the CPU's
        model = models.create("lenet5")
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}


def test_kaiming_draws_from_its_generator_only():
    before = torch.get_rng_state()
    drawn = []
    for seed in (1, 1, 2):
        layer = nn.utils.skip_init(nn.Linear, 4, 4)
        kaiming_(layer, torch.Generator().manual_seed(seed))
        drawn.append(layer.weight)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(torch.get_rng_state(), before)


def test_kaiming_draws_the_same_numbers_on_every_device():
    here, there = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    kaiming_(nn.Linear(40, 40), here)
    with torch.device("meta"):
        kaiming_(nn.Linear(40, 40), there)
    assert torch.equal(here.get_state(), there.get_state())
