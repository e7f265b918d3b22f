"""Counting what a mask keeps."""

import pytest
import torch

from nodepath.masks import count_true


@pytest.mark.parametrize("size", [0, 1, 7, 127, 128, 129, 1000, 128 * 300 + 5])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_as_many_as_there_are(size, share):
    mask = torch.rand(size, generator=torch.Generator().manual_seed(size)) < share
    assert count_true(mask) == sum(mask.tolist())


def test_of_views():
    mask = torch.rand(40, 50, generator=torch.Generator().manual_seed(0)) < 0.5
    assert count_true(mask.T) == count_true(mask)
    assert count_true(mask[3:7]) == sum(mask[3:7].flatten().tolist())
    assert count_true(mask[:1, :1].expand(30, 30)) == 900 * int(mask[0, 0])
