"""Batched operations mean what their docstrings say."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.nn import functional

from nodepath.data import prepare, random_crop, random_flip, resize, to_channels
from nodepath.errors import ArgumentError, DataError


def images(*shape, seed=0):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_prepare_is_the_equation():
    x = images(4, 3, 5, 6)
    mean, std = (0.1, 0.5, 0.9), (0.2, 0.3, 0.4)
    expected = np.stack([(x[:, c].double().numpy() / 255 - mean[c]) / std[c] for c in range(3)], axis=1)
    np.testing.assert_allclose(prepare(x, mean, std, dtype=torch.float64).numpy(), expected, atol=1e-14)
    np.testing.assert_allclose(prepare(x, mean, std).numpy(), expected, atol=1e-6)
    assert prepare(x, mean, std).dtype == torch.float32


def test_prepare_rounds_once_in_low_precision():
    x = images(2, 1, 8, 8)
    assert torch.equal(prepare(x, (0.4,), (0.3,), dtype=torch.bfloat16), prepare(x, (0.4,), (0.3,)).bfloat16())


def test_prepare_only_centres_a_constant_channel():
    assert torch.equal(
        prepare(torch.full((2, 1, 3, 3), 51, dtype=torch.uint8), (0.2,), (0.0,)), torch.zeros(2, 1, 3, 3)
    )


def test_prepare_leaves_its_input_alone():
    x = images(2, 1, 3, 3)
    before = x.clone()
    prepare(x, (0.5,), (0.5,))
    assert torch.equal(x, before)


@pytest.mark.parametrize("mean", [(0.5,), (0.5,) * 4])
def test_prepare_refuses_another_data_set_s_mean(mean):
    with pytest.raises(DataError, match="3 channel"):
        prepare(images(2, 3, 4, 4), mean, mean)


@given(
    shape=st.tuples(st.integers(1, 5), st.sampled_from([1, 3]), st.integers(1, 6), st.integers(1, 6)),
    padding=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_each_crop_is_a_window_of_the_padded_image(shape, padding, seed):
    height, width = shape[2:]
    x = images(*shape, seed=seed)
    crops = random_crop(x, padding, seeded(seed))
    assert crops.shape == x.shape
    assert crops.dtype == x.dtype
    padded = np.pad(x.numpy(), [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    for image, crop in zip(padded, crops.numpy(), strict=True):
        windows = [
            image[:, top : top + height, left : left + width]
            for top in range(2 * padding + 1)
            for left in range(2 * padding + 1)
        ]
        assert any(np.array_equal(window, crop) for window in windows)


def test_all_windows_are_drawn_and_equally_often():
    count, padding = 9000, 1
    x = torch.zeros(count, 1, 3, 3, dtype=torch.uint8)
    x[:, :, 1, 1] = 255
    crops = random_crop(x, padding, seeded())
    where = crops.flatten(1).float().argmax(1)  # the dot sits in one of 9 places, one a window
    assert (crops.flatten(1) > 0).sum(1).eq(1).all()
    share = where.bincount(minlength=9) / count
    # A share of 1/9 in 9,000 draws has standard deviation 0.0033.
    assert (share - 1 / 9).abs().max() < 0.015


def test_images_of_one_batch_are_shifted_independently():
    x = images(1, 1, 8, 8).expand(64, 1, 8, 8)
    assert len(random_crop(x, 4, seeded()).flatten(1).unique(dim=0)) > 20


def test_no_padding_gives_the_images_back():
    x = images(3, 3, 4, 4)
    assert torch.equal(random_crop(x, 0, seeded()), x)


def test_negative_padding_is_refused():
    with pytest.raises(ArgumentError, match="-1"):
        random_crop(images(1, 1, 4, 4), -1, seeded())


def test_a_flip_mirrors_left_to_right_or_nothing():
    x = images(200, 3, 4, 5)
    flipped = random_flip(x, seeded())
    is_mirror = torch.tensor([torch.equal(f, i.flip(-1)) for f, i in zip(flipped, x, strict=True)])
    is_same = torch.tensor([torch.equal(f, i) for f, i in zip(flipped, x, strict=True)])
    assert (is_mirror ^ is_same).all()
    assert 70 < is_mirror.sum() < 130  # 100 +- 7.1


@pytest.mark.parametrize("operation", [lambda x, g: random_crop(x, 2, g), random_flip])
def test_the_generator_alone_decides(operation):
    x = images(50, 1, 6, 6)
    state = torch.get_rng_state()
    first = operation(x, seeded(1))
    torch.rand(3)
    assert torch.equal(operation(x, seeded(1)), first)
    assert not torch.equal(operation(x, seeded(2)), first)
    torch.set_rng_state(state)
    operation(x, seeded(1))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("size", [(4, 5), (16, 20), (9, 3)])
@pytest.mark.parametrize("channels", [1, 3])
def test_resize_agrees_with_pillow_s_bilinear(size, channels):
    x = images(3, channels, 8, 10)
    result = resize(x, size)
    assert result.dtype == torch.uint8
    for image, made in zip(x, result, strict=True):
        for channel, plane in zip(image, made, strict=True):
            pillow = Image.fromarray(channel.numpy()).resize(size[::-1], Image.Resampling.BILINEAR)
            np.testing.assert_allclose(plane.numpy().astype(int), np.asarray(pillow).astype(int), atol=1)


def test_resize_rounds_to_the_nearest_byte():
    x = images(5, 1, 8, 10)
    exact = functional.interpolate(x.double(), (5, 7), mode="bilinear", antialias=True)
    assert (resize(x, (5, 7)).double() - exact).abs().max() < 0.5001


def test_resize_takes_one_number_for_both_sides_and_many_images():
    x = images(2500, 1, 4, 4)
    result = resize(x, 6)
    assert result.shape == (2500, 1, 6, 6)
    assert torch.equal(result[2400:], resize(x[2400:], 6))
    assert resize(x[:0], 6).shape == (0, 1, 6, 6)


def test_resize_to_the_same_size_changes_nothing():
    x = images(2, 3, 7, 7)
    assert torch.equal(resize(x, 7), x)


@pytest.mark.parametrize("size", [0, (4, 0), (1, 2, 3)])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(ArgumentError, match="size is"):
        resize(images(1, 1, 4, 4), size)


def test_resize_refuses_normalised_images():
    with pytest.raises(DataError, match="float32"):
        resize(torch.zeros(1, 1, 4, 4), 8)


def test_grey_is_repeated_and_the_same_channels_stay():
    grey, colour = images(2, 1, 3, 3), images(2, 3, 3, 3)
    assert torch.equal(to_channels(grey, 3), torch.cat([grey] * 3, dim=1))
    assert to_channels(colour, 3) is colour


def test_colour_becomes_grey_only_if_asked_for_and_then_as_in_pillow():
    colour = images(5, 3, 8, 8)
    with pytest.raises(DataError, match="luminance=True"):
        to_channels(colour, 1)
    grey = to_channels(colour, 1, luminance=True)
    for image, made in zip(colour, grey, strict=True):
        pillow = Image.fromarray(image.permute(1, 2, 0).numpy()).convert("L")
        np.testing.assert_array_equal(made[0].numpy(), np.asarray(pillow))
    assert grey.dtype == torch.uint8


def test_other_numbers_of_channels_are_refused():
    with pytest.raises(DataError, match="3 channel"):
        to_channels(images(1, 3, 2, 2), 4)
