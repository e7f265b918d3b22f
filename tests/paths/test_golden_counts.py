"""Published numbers: reference/node-path-balancing.md, section 1."""

import math

import pytest
import torch

from nodepath import measure, models


def test_resnet20_has_the_counts_of_the_papers():
    model, x = models.create("resnet20", num_classes=10), torch.zeros(1, 3, 32, 32)
    exact, paper = measure(model, x), measure(model, x, convention="paper")
    assert exact.prunable == 270_896
    assert exact.log10_paths == pytest.approx(49.335, abs=5e-4)
    assert (paper.nodes, exact.nodes) == (701, 797)
    assert paper.log10_paths == pytest.approx(exact.log10_paths, rel=1e-12)  # it has no max pooling
    assert sum(layer.shortcut for layer in exact.layers) == 2


def test_vgg19_has_5607_nodes():
    topology = measure(models.create("vgg19", num_classes=100), torch.zeros(1, 3, 32, 32), convention="paper")
    assert (topology.nodes, topology.dense_nodes) == (5607, 5607)
    assert topology.prunable == 20_070_080


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("resnet18", 5.48e59),
        pytest.param("resnet50", 3.49e142, marks=pytest.mark.slow),
        pytest.param("vgg19_bn", 5.11e66, marks=pytest.mark.slow),
        ("mobilenet_v2", 1.22e98),
        ("densenet121", 2.28e281),
    ],
)
def test_dense_torchvision_networks_have_the_paths_of_the_reference(name, paths):
    pytest.importorskip("torchvision")
    topology = measure(models.create(f"torchvision:{name}"), torch.zeros(1, 3, 224, 224), convention="paper")
    assert topology.log10_paths == pytest.approx(math.log10(paths), abs=1e-3)


@pytest.mark.slow
def test_resnet152_does_not_overflow():
    pytest.importorskip("torchvision")
    topology = measure(models.create("torchvision:resnet152"), torch.zeros(1, 3, 224, 224), convention="paper")
    assert 308 < topology.log10_paths < math.inf
    assert topology.effective == topology.prunable
