import math

import pytest

from nodepath.train import Recipe, learning_rate


def rates(recipe: Recipe, steps_per_epoch: int) -> list[float]:
    return [learning_rate(recipe, step, steps_per_epoch) for step in range(recipe.epochs * steps_per_epoch)]


def test_step_falls_at_epochs_80_and_120_of_160():
    by_epoch = rates(Recipe(epochs=160), 391)[::391]
    assert by_epoch == pytest.approx([0.1] * 80 + [0.01] * 40 + [0.001] * 40)


def test_step_falls_at_the_first_step_of_the_milestone():
    assert rates(Recipe(epochs=2, lr=1.0, milestones=(0.5, 0.7), gamma=0.5), 5) == [1.0] * 5 + [0.5] * 2 + [0.25] * 3


def test_constant_stays():
    assert rates(Recipe(epochs=3, lr=0.3, schedule="constant"), 4) == [0.3] * 12


def test_cosine_follows_half_a_cosine():
    found = rates(Recipe(epochs=2, lr=0.2, schedule="cosine"), 4)
    assert found == pytest.approx([0.1 * (1 + math.cos(math.pi * t / 8)) for t in range(8)])
    assert found[0] == 0.2
    assert found[4] == pytest.approx(0.1)


def test_warmup_rises_in_equal_steps_to_lr_and_the_schedule_follows():
    assert rates(Recipe(epochs=2, lr=0.4, schedule="constant", warmup_epochs=1), 4) == pytest.approx(
        [0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.4, 0.4]
    )
    cosine = rates(Recipe(epochs=3, lr=0.4, schedule="cosine", warmup_epochs=1), 2)
    assert cosine == pytest.approx([0.2, 0.4, 0.4, 0.2 * (1 + math.cos(math.pi / 4)), 0.2, 0.2 * (1 - 0.5**0.5)])


def test_warmup_may_be_part_of_an_epoch():
    assert rates(Recipe(epochs=1, lr=0.4, schedule="constant", warmup_epochs=0.5), 4) == pytest.approx(
        [0.2, 0.4, 0.4, 0.4]
    )


def test_milestones_count_from_the_beginning_of_the_warmup():
    found = rates(Recipe(epochs=4, lr=1.0, warmup_epochs=1, milestones=(0.5,)), 2)
    assert found == pytest.approx([0.5, 1, 1, 1, 0.1, 0.1, 0.1, 0.1])
