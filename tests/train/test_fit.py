import random

import numpy as np
import pytest
import torch
from torch import nn

from nodepath import models
from nodepath.errors import ArgumentError, InputMismatchError, MaskMismatchError, NonFiniteError
from nodepath.masks import MaskSet
from nodepath.train import Preparation, Recipe, evaluate, fit
from nodepath.train.fit import shuffled

FAST = Recipe(epochs=2, batch_size=64, lr=0.05)


def lenet(seed: int = 0) -> nn.Module:
    return models.create("lenet5", num_classes=10, in_channels=1, seed=seed)


def masks_of(model: nn.Module, density: float = 0.3) -> MaskSet:
    generator = torch.Generator().manual_seed(1)
    weights = {name: p for name, p in model.named_parameters() if p.ndim > 1}
    return MaskSet({name: torch.rand(p.shape, generator=generator) < density for name, p in weights.items()})


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


class Small(nn.Module):
    """A linear layer on the mean of 4x4 blocks, with what is put between."""

    def __init__(self, *between: nn.Module) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.body = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), *between, nn.Linear(64, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


def test_a_pruned_lenet_learns_digits_and_its_zeros_are_exact(digits):
    model = lenet()
    masks = masks_of(model)
    before = state(model)
    history = fit(model, digits, Recipe(epochs=3, batch_size=32, lr=0.05), masks=masks)
    assert history[-1].test_accuracy > 0.8
    assert history[-1].train_loss < history[0].train_loss
    for name, mask in masks.items():
        weight = model.get_parameter(name)
        assert torch.all(weight[~mask] == 0)
        assert torch.any(weight[mask] != before[name][mask])


def test_records_tell_each_epoch_and_agree_with_evaluate(few):
    model = lenet()
    seen = []
    history = fit(model, few, FAST, on_epoch=seen.append)
    assert tuple(seen) == history
    assert [record.epoch for record in history] == [1, 2]
    assert [record.lr for record in history] == pytest.approx([0.05, 0.0005])
    assert all(record.seconds > 0 for record in history)
    loss, accuracy = evaluate(model, few.test, Preparation.of(few), num_classes=10)
    assert accuracy == history[-1].test_accuracy
    assert loss == pytest.approx(history[-1].test_loss)


def test_the_first_epoch_is_plain_sgd_on_the_batches_drawn(few):
    recipe = Recipe(epochs=1, batch_size=257, lr=0.1, crop=0, schedule="constant")
    trained, by_hand = Small(), Small()
    history = fit(trained, few, recipe)
    inputs = Preparation.of(few).plain(few.train.images)
    loss = nn.functional.cross_entropy(by_hand(inputs), few.train.labels)
    loss.backward()
    torch.optim.SGD(by_hand.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4).step()
    assert history[0].train_loss == pytest.approx(loss.item(), rel=1e-5)
    for ours, theirs in zip(trained.parameters(), by_hand.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_the_same_seeds_give_the_same_weights_bit_for_bit(few):
    first, second = lenet(), lenet()
    fit(first, few, FAST, order_seed=3, augment_seed=4)
    fit(second, few, FAST, order_seed=3, augment_seed=4)
    assert same(state(first), state(second))


def test_each_epoch_sees_every_image_in_an_order_of_its_own(few):
    model, seen = Small(), []
    model.register_forward_pre_hook(
        lambda module, args: seen.append(args[0].sum((1, 2, 3))) if module.training else None
    )
    fit(model, few, Recipe(epochs=2, batch_size=64, crop=0))
    first, second = torch.cat(seen[:4]), torch.cat(seen[4:])
    assert len(first) == len(second) == 257
    assert torch.equal(first.sort().values, second.sort().values)
    assert not torch.equal(first, second)


def test_a_model_given_in_evaluation_mode_is_trained_in_training_mode(few):
    model = Small(nn.BatchNorm1d(64)).eval()
    fit(model, few, Recipe(epochs=2, batch_size=64))
    assert model.body[2].num_batches_tracked == 8
    assert not model.body[2].training


@pytest.mark.parametrize("changed", ["order_seed", "augment_seed"])
def test_each_seed_alone_changes_the_training(few, changed):
    first, second = lenet(), lenet()
    fit(first, few, FAST)
    fit(second, few, FAST, **{changed: 1})
    assert not same(state(first), state(second))


def test_without_augmentation_the_augment_seed_changes_nothing(few):
    first, second = lenet(), lenet()
    recipe = Recipe(epochs=1, batch_size=64, lr=0.05, crop=0)
    fit(first, few, recipe)
    fit(second, few, recipe, augment_seed=1)
    assert same(state(first), state(second))


def test_dropout_draws_from_the_augment_seed_and_not_from_the_global_state(few):
    weights = []
    for global_seed, augment_seed in ((0, 0), (1, 0), (1, 1)):
        torch.manual_seed(global_seed)
        model = Small(nn.Dropout())
        fit(model, few, Recipe(epochs=1, crop=0), augment_seed=augment_seed)
        weights.append(state(model))
    assert same(weights[0], weights[1])
    assert not same(weights[1], weights[2])


def test_the_callers_random_state_and_modes_are_as_before(few):
    model = Small(nn.BatchNorm1d(64), nn.Dropout())
    model.eval()
    model.body[3].train()
    modes = [module.training for module in model.modules()]
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    fit(model, few, Recipe(epochs=1))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]
    assert [module.training for module in model.modules()] == modes


def test_frozen_parameters_stay(few):
    model = lenet()
    frozen = model.get_parameter("conv1.weight").requires_grad_(False)  # noqa: FBT003
    before = frozen.clone()
    fit(model, few, Recipe(epochs=1))
    assert torch.equal(frozen, before)


def test_a_single_image_left_over_joins_the_batch_before_it(few):
    assert [len(batch) for batch in shuffled(257, 64, torch.Generator())] == [64, 64, 64, 65]
    assert [len(batch) for batch in shuffled(258, 64, torch.Generator())] == [64, 64, 64, 64, 2]
    together = torch.cat(shuffled(257, 64, torch.Generator().manual_seed(0)))
    assert sorted(together.tolist()) == list(range(257))
    assert together.tolist() != list(range(257))
    model = Small(nn.BatchNorm1d(64))
    fit(model, few, Recipe(epochs=1, batch_size=64))
    assert model.body[2].num_batches_tracked == 4


def test_images_are_stretched_to_the_input_of_the_model(few):
    model = models.create("mlp-6x100", num_classes=10, in_channels=1)
    history = fit(model, few, Recipe(epochs=1), input_size=(1, 28, 28))
    assert len(history) == 1


def test_label_smoothing_acts_in_training_only(few):
    plain, smoothed = (
        fit(Small(), few, Recipe(epochs=1, lr=1e-6, label_smoothing=smoothing))[0] for smoothing in (0, 0.5)
    )
    assert smoothed.test_loss == pytest.approx(plain.test_loss, abs=1e-3)
    assert abs(smoothed.train_loss - plain.train_loss) > 0.01


def test_a_loss_that_diverges_is_named_with_epoch_step_and_lr(few):
    with pytest.raises(NonFiniteError, match=r"loss is (nan|inf) at epoch 1, step \d of 4 \(lr 1e\+15\); lower lr"):
        fit(lenet(), few, Recipe(epochs=1, batch_size=64, lr=1e15))


def test_weights_that_diverge_at_the_last_step_are_found_by_the_test(few):
    with pytest.raises(NonFiniteError, match="test loss is nan after epoch 1"):
        fit(lenet(), few, Recipe(epochs=1, batch_size=257, lr=1e38))


def test_zeros_hold_even_where_the_training_diverges(few):
    model = lenet()
    masks = masks_of(model)
    with pytest.raises(NonFiniteError):
        fit(model, few, Recipe(epochs=1, batch_size=64, lr=1e15), masks=masks)
    assert all(torch.all(model.get_parameter(name)[~mask] == 0) for name, mask in masks.items())


def test_batches_of_one_image_are_refused_where_batchnorm_needs_more(few):
    with pytest.raises(ArgumentError, match=r"batch_size=1 .*BatchNorm"):
        fit(Small(nn.BatchNorm1d(64)), few, Recipe(epochs=1, batch_size=1))


def test_masks_of_another_model_are_refused(few):
    with pytest.raises(MaskMismatchError, match=r"conv1\.weight"):
        fit(Small(), few, FAST, masks=masks_of(lenet()))


def test_too_few_outputs_are_refused(few):
    model = models.create("lenet5", num_classes=5, in_channels=1)
    with pytest.raises(InputMismatchError, match=r"\(64, 5\) for 64 images of 10 classes; .*num_classes=10"):
        fit(model, few, FAST)


def test_an_output_that_is_no_tensor_is_refused(few):
    class Two(Small):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.body(x), x

    with pytest.raises(InputMismatchError, match="returned a tuple"):
        fit(Two(), few, FAST)


def test_a_model_with_nothing_to_train_is_refused(few):
    with pytest.raises(ArgumentError, match="nothing can be trained"):
        fit(Small().requires_grad_(False), few, FAST)  # noqa: FBT003


@pytest.mark.parametrize("device", ["abacus", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(few, device):
    with pytest.raises(ArgumentError, match=f"device='{device}'"):
        fit(Small(), few, FAST, device=device)
