"""Whole batches of images at once: normalise, crop, flip, resize, change channels."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional

from nodepath.errors import ArgumentError, DataError

__all__ = ["height_and_width", "prepare", "random_crop", "random_flip", "resize", "to_channels"]

_RESIZED_AT_ONCE = 1024  # images; bounds the float copy of a whole data set

# ITU-R BT.601 luma in 16-bit fixed point, as Pillow's conversion to "L".
_LUMA, _LUMA_HALF, _LUMA_BITS = (19595, 38470, 7471), 1 << 15, 16


def prepare(
    images: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    r"""Bytes to network input: $(x / 255 - \mu_c) / \sigma_c$.

    Args:
        images: uint8, shape (B, C, H, W).
        mean: $\mu$ per channel, fractions in 0..1.
        std: $\sigma$ per channel, fractions. A channel with 0 (all pixels alike) is only centred.
        device: Where the result goes (the bytes travel, not the floats); None: where `images` are.
        dtype: A floating type; types below float32 are computed in float32 and rounded once.

    Returns:
        `dtype`, shape (B, C, H, W).

    Raises:
        DataError: `mean` or `std` do not have one value a channel.
    """
    channels = images.shape[1]
    if len(mean) != channels or len(std) != channels:
        raise DataError(
            f"images have {channels} channel(s), mean {len(mean)} and std {len(std)} values; "
            "take mean and std of the same data set"
        )
    wide = torch.promote_types(dtype, torch.float32)
    x = images.to(device=device).to(wide)
    centre = torch.tensor(mean, device=x.device, dtype=wide).view(1, -1, 1, 1)
    scale = torch.tensor([s or 1.0 for s in std], device=x.device, dtype=wide).view(1, -1, 1, 1)
    return x.div_(255).sub_(centre).div_(scale).to(dtype)


def random_crop(images: Tensor, padding: int, generator: Generator) -> Tensor:
    """Shift each image by its own random offset; what comes in from outside is 0 (black, before `prepare`).

    Args:
        images: Any type, shape (B, C, H, W).
        padding: Largest shift in pixels, in each of the four directions; 0 gives the images back.
        generator: Two whole numbers an image are drawn from it, on its own device.

    Returns:
        Same type and shape: of each image, padded by `padding` on each side, one of the
        (2 padding + 1)^2 windows of the original size, all equally likely.

    Raises:
        ArgumentError: `padding` is negative.
    """
    if padding < 0:
        raise ArgumentError(f"padding is {padding} pixels; give 0 or more")
    count, _, height, width = images.shape
    offsets = torch.randint(2 * padding + 1, (2, count), generator=generator, device=generator.device)
    down, right = offsets.to(images.device)
    windows = functional.pad(images, [padding] * 4).unfold(2, height, 1).unfold(3, width, 1)
    return windows[torch.arange(count, device=images.device), :, down, right]


def random_flip(images: Tensor, generator: Generator) -> Tensor:
    """Mirror each image left to right with probability 1/2.

    Args:
        images: Any type, shape (B, C, H, W).
        generator: One number an image is drawn from it, on its own device.

    Returns:
        Same type and shape.
    """
    flipped = torch.rand(len(images), generator=generator, device=generator.device) < 0.5
    return torch.where(flipped.to(images.device).view(-1, 1, 1, 1), images.flip(3), images)


def height_and_width(size: int | tuple[int, int]) -> tuple[int, int]:
    """Both sides from one number or two.

    Raises:
        ArgumentError: Not two numbers, or one below 1.
    """
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or min(sides) < 1:
        raise ArgumentError(f"size is {size}; give height and width, both at least 1 pixel")
    return sides


def resize(images: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Stretch images to another size, bilinear with antialiasing, rounded to bytes.

    Args:
        images: uint8, shape (B, C, H, W).
        size: Height and width in pixels; one number for both. The aspect ratio is not kept.

    Returns:
        uint8, shape (B, C, *size).

    Raises:
        ArgumentError: A side is below 1.
        DataError: The images are not uint8.
    """
    target = height_and_width(size)
    if images.dtype != torch.uint8:
        raise DataError(f"resize got {images.dtype} images; give uint8, before normalisation")
    if tuple(images.shape[2:]) == target:
        return images
    parts = []
    for part in torch.split(images, _RESIZED_AT_ONCE):
        floats = functional.interpolate(part.float(), size=target, mode="bilinear", align_corners=False, antialias=True)
        parts.append(floats.round_().clamp_(0, 255).to(torch.uint8))
    return torch.cat(parts)


def to_channels(images: Tensor, channels: int, *, luminance: bool = False) -> Tensor:
    """Give images another number of channels: grey is repeated, colour becomes grey only if asked for.

    Args:
        images: uint8, shape (B, C, H, W).
        channels: What is wanted.
        luminance: Allow 3 -> 1, as the luma 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), rounded.

    Returns:
        uint8, shape (B, channels, H, W).

    Raises:
        DataError: Any other change, or 3 -> 1 without `luminance`.
    """
    present = images.shape[1]
    if present == channels:
        return images
    if present == 1 and channels > 1:
        return images.repeat(1, channels, 1, 1)
    if present == 3 and channels == 1:
        if not luminance:
            raise DataError(
                "images have 3 channels, 1 is wanted, and colour would be lost; "
                "pass luminance=True, or take a network with in_channels=3"
            )
        weights = torch.tensor(_LUMA, dtype=torch.int32, device=images.device).view(1, 3, 1, 1)
        luma = (images.int() * weights).sum(1, keepdim=True, dtype=torch.int32)
        return ((luma + _LUMA_HALF) >> _LUMA_BITS).to(torch.uint8)
    raise DataError(f"images have {present} channel(s), {channels} wanted; only 1 -> n and 3 -> 1 are defined")
