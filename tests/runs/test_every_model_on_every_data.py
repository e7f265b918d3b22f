"""Every network of the zoo is pruned and trained on images of every size and colour that the formats bring."""

import pytest
import torch

from nodepath import models
from nodepath.data import Dataset, Split
from nodepath.runs import RunSpec, execute
from nodepath.train import Recipe

# MNIST; CIFAR; Tiny-ImageNet: channels and sides of an image, classes.
DATA = {"grey28": ((1, 28, 28), 3), "colour32": ((3, 32, 32), 4), "colour64": ((3, 64, 64), 5)}


SMALL = ("convnet4", "lenet5", "mlp-6x100", "resnet20")


def made(name: str) -> Dataset:
    """Random images: 4 of each class to train, one to test."""
    shape, classes = DATA[name]
    generator = torch.Generator().manual_seed(0)

    def split(count: int) -> Split:
        images = torch.randint(0, 256, (count, *shape), generator=generator, dtype=torch.uint8)
        return Split(images, torch.arange(count) % classes)

    names = tuple(f"class {number}" for number in range(classes))
    return Dataset(name, split(4 * classes), split(classes), names, "random", flips=shape[0] == 3)


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize(
    "model", [n if n in SMALL else pytest.param(n, marks=pytest.mark.slow) for n in models.names()]
)
@pytest.mark.filterwarnings("ignore::nodepath.errors.ScoreBatchWarning", "ignore::nodepath.errors.CollapseWarning")
def test_a_network_takes_channels_and_classes_from_the_data_and_its_own_size(model, data, tmp_path):
    (channels, *_), classes = DATA[data]
    spec = RunSpec(model=model, data=data, method="snip", sparsity=0.9, train=Recipe(epochs=1, batch_size=8, lr=1e-3))
    record = execute(spec, tmp_path, dataset=made(data))
    assert record.result["input_size"] == [channels, *models.describe(model).input_size[1:]]
    assert record.result["num_classes"] == classes
    weights = record.weights()
    for name, mask in record.masks().items():
        assert not weights[name][~mask].any()
