from dataclasses import replace

import pytest
import torch
from torch import nn

from nodepath import models
from nodepath.errors import ArgumentError, RunError
from nodepath.masks import MaskSet
from nodepath.train import Checkpoint, Recipe, fit

RECIPE = Recipe(epochs=3, batch_size=64, lr=0.05, warmup_epochs=0.5, schedule="cosine")


class Interrupted(BaseException):
    pass


def stop_after(epoch: int):
    def stop(record):
        if record.epoch == epoch:
            raise Interrupted

    return stop


def network() -> nn.Module:
    """With all that a checkpoint must carry: momentum, running statistics, dropout, pruned weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 4, 5, stride=2),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.AvgPool2d(3),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(64, 10),
        )


MASKS = MaskSet({"6.weight": torch.rand(10, 64, generator=torch.Generator().manual_seed(0)) < 0.5})


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_resumed_training_is_bit_identical_to_an_uninterrupted_one(few, tmp_path, epoch):
    whole, cut, resumed = network(), network(), network()
    history = fit(whole, few, RECIPE, masks=MASKS)
    file = tmp_path / "c.safetensors"
    with pytest.raises(Interrupted):
        fit(cut, few, RECIPE, masks=MASKS, checkpoint=file, on_epoch=stop_after(epoch))
    seen = []
    again = fit(resumed, few, RECIPE, masks=MASKS, resume_from=file, on_epoch=seen.append)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    assert [replace(record, seconds=0) for record in again] == [replace(record, seconds=0) for record in history]
    assert [record.epoch for record in seen] == list(range(epoch + 1, 4))


def test_a_checkpoint_carries_history_state_and_momentum(few, tmp_path):
    model = network()
    file = tmp_path / "c.safetensors"
    history = fit(model, few, RECIPE, checkpoint=file)
    saved = Checkpoint.load(file)
    assert saved.history == history
    assert saved.epochs == 3
    assert set(saved.momentum) == {name for name, _ in model.named_parameters()}
    assert all(torch.equal(saved.state[name], tensor) for name, tensor in model.state_dict().items())
    assert [path.name for path in tmp_path.iterdir()] == ["c.safetensors"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"recipe": Recipe(epochs=4)}, "recipe"),
        ({"order_seed": 1}, "order_seed was 0, now 1"),
        ({"augment_seed": 1}, "augment_seed was 0, now 1"),
        ({"masks": MASKS}, "masks was None"),
        ({"input_size": (1, 34, 34)}, "input_size"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(few, tmp_path, changes, named):
    file = tmp_path / "c.safetensors"
    fit(network(), few, Recipe(epochs=1), checkpoint=file)
    with pytest.raises(RunError, match=named) as caught:
        fit(network(), few, **{"recipe": Recipe(epochs=1), "resume_from": file, **changes})
    assert str(file) in str(caught.value)


def test_a_checkpoint_on_other_data_is_refused(few, digits, tmp_path):
    file = tmp_path / "c.safetensors"
    fit(network(), few, Recipe(epochs=1), checkpoint=file)
    with pytest.raises(RunError, match="data was"):
        fit(network(), digits, Recipe(epochs=1), resume_from=file)


def test_a_checkpoint_of_another_model_is_refused_before_anything_is_touched(few, tmp_path):
    file = tmp_path / "c.safetensors"
    fit(network(), few, Recipe(epochs=1), checkpoint=file)
    model = models.create("lenet5", in_channels=1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(RunError, match="which this model does not have"):
        fit(model, few, Recipe(epochs=1), resume_from=file)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_missing_a_truncated_and_a_foreign_checkpoint_are_refused_by_name(few, tmp_path):
    file = tmp_path / "c.safetensors"
    with pytest.raises(RunError, match=r"cannot read .*c\.safetensors"):
        Checkpoint.load(file)
    fit(network(), few, Recipe(epochs=1), checkpoint=file)
    content = file.read_bytes()
    for size in (0, 5, 100, len(content) - 1):
        file.write_bytes(content[:size])
        with pytest.raises(RunError, match=r"c\.safetensors is damaged"):
            Checkpoint.load(file)
    MASKS.save(file)
    with pytest.raises(RunError, match=r"c\.safetensors is damaged or not written by nodepath"):
        Checkpoint.load(file)


def test_a_place_that_cannot_be_written_is_named(few, tmp_path):
    with pytest.raises(RunError, match=r"cannot write .*nowhere"):
        fit(network(), few, Recipe(epochs=1), checkpoint="/proc/nowhere/c.safetensors")


def test_state_that_no_file_can_carry_is_named(few, tmp_path):
    class Odd(nn.Sequential):
        def get_extra_state(self):
            return {"a": 1}

        def set_extra_state(self, state):
            pass

    with pytest.raises(ArgumentError, match="'_extra_state' is a dict"):
        fit(Odd(*network()), few, Recipe(epochs=1), checkpoint=tmp_path / "c.safetensors")
