"""The data set that is always there: scikit-learn's handwritten digits."""

import torch
from torch import Tensor
from torch.nn import functional

from nodepath.data.dataset import Dataset, Split
from nodepath.data.stratified import every_nth_of_each_class

__all__ = ["load_digits"]

_SIZE = 32
_BRIGHTEST = 16  # the 8x8 pixels count the ink in 4x4 blocks of the original scan


def _enlarge(images: Tensor) -> Tensor:
    """(N, 8, 8) in 0..16 to uint8 (N, 1, 32, 32). Each step is exact in float64, so any machine rounds alike."""
    exact = images.double().unsqueeze(1) * 255 / _BRIGHTEST
    return functional.interpolate(exact, size=_SIZE, mode="bilinear", align_corners=False).round().to(torch.uint8)


def load_digits() -> Dataset:
    """Real handwritten digits, 8x8 pixels enlarged to 1x32x32.

    The source has no split: every fifth image of each class, in the order of the file, is test.

    Source: Alpaydin & Kaynak, Optical Recognition of Handwritten Digits (its test part), UCI 1998.
    """
    from sklearn import datasets  # type: ignore[import-untyped, unused-ignore]

    pixels, numbers = datasets.load_digits(return_X_y=True)
    labels = torch.from_numpy(numbers).long()
    images = _enlarge(torch.from_numpy(pixels).reshape(-1, 8, 8))
    rest, fifth = every_nth_of_each_class(labels, 5)
    train, test = Split(images[rest], labels[rest]), Split(images[fifth], labels[fifth])
    return Dataset(
        name="digits",
        train=train,
        test=test,
        classes=tuple(map(str, range(10))),
        description=f"scikit-learn's {len(labels):,} real handwritten digits of 8x8 pixels (UCI), enlarged to 32x32 "
        f"(bilinear), grey, 10 classes. The source has no split; a fixed stratified one is made: every fifth image of "
        f"each class is test ({len(train):,} train, {len(test):,} test, about 80/20).",
        flips=False,
    )
