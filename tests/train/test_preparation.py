from dataclasses import replace

import pytest
import torch

from nodepath.data import Dataset, Split
from nodepath.errors import ArgumentError, DataError
from nodepath.train import Preparation, Recipe


def colour(height: int = 12, width: int = 10, *, flips: bool = True) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (6, 3, height, width), generator=generator, dtype=torch.uint8)
    split = Split(images, torch.arange(6) % 2)
    return Dataset("made", split, split, ("cat", "dog"), "made up", flips)


def test_plain_input_has_mean_0_and_deviation_1_on_the_train_split(digits):
    inputs = Preparation.of(digits).plain(digits.train.images)
    assert inputs.shape[1:] == (1, 32, 32)
    assert inputs.mean().item() == pytest.approx(0, abs=1e-4)
    assert inputs.std().item() == pytest.approx(1, abs=1e-3)


def test_images_are_stretched_and_given_the_channels_of_the_input(digits):
    inputs = Preparation.of(digits, (3, 64, 48)).plain(digits.train.images[:2])
    assert inputs.shape == (2, 3, 64, 48)
    assert torch.equal(inputs[:, 0], inputs[:, 2])


def test_padding_is_the_papers_4_pixels_of_32_in_proportion(digits):
    sides = {32: 4, 64: 8, 224: 28}
    for side, padding in sides.items():
        assert Preparation.of(digits, (1, side, side), Recipe(epochs=1)).padding == padding
    assert Preparation.of(digits, None, Recipe(epochs=1, crop=None)).padding == 0


def test_flips_follow_the_data_set_unless_the_recipe_says_otherwise(digits):
    assert not Preparation.of(digits, None, Recipe(epochs=1)).flip
    assert Preparation.of(colour(), None, Recipe(epochs=1)).flip
    assert not Preparation.of(colour(flips=False), None, Recipe(epochs=1)).flip
    assert not Preparation.of(colour(), None, Recipe(epochs=1, flip=False)).flip


def test_without_crop_and_flip_augmented_is_plain(digits):
    preparation = Preparation.of(digits, None, Recipe(epochs=1, crop=0))
    images = digits.train.images[:4]
    assert torch.equal(preparation.augmented(images, "cpu", torch.Generator()), preparation.plain(images))


def test_augmentation_flips_and_shifts_by_the_generator():
    data = colour(8, 8)
    flips = Preparation.of(data, None, Recipe(epochs=1, crop=0))
    plain = flips.plain(data.train.images)
    drawn = flips.augmented(data.train.images, "cpu", torch.Generator().manual_seed(0))
    same = [torch.equal(a, b) for a, b in zip(drawn, plain, strict=True)]
    mirrored = [torch.equal(a, b.flip(2)) for a, b in zip(drawn, plain, strict=True)]
    assert any(same)
    assert any(mirrored)
    assert all(a or b for a, b in zip(same, mirrored, strict=True))
    shifts = Preparation.of(data, None, Recipe(epochs=1, flip=False))
    first, again, other = (
        shifts.augmented(data.train.images, "cpu", torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_colour_is_never_lost_in_silence():
    with pytest.raises(DataError, match="colour would be lost"):
        Preparation.of(colour(), (1, 8, 8))


@pytest.mark.parametrize("size", [(3, 8), (3, 0, 8)])
def test_an_impossible_input_size_is_refused(size):
    with pytest.raises(ArgumentError, match="channels, height and width"):
        Preparation.of(replace(colour()), size)
