"""Methods that differentiate twice fit a large network (minutes; run by `make test-slow`)."""

import sys

import pytest
from bench.large_scores import LIMIT, measured


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is Linux's")
@pytest.mark.parametrize("method", ["grasp", "prospr"])
def test_resnet50_at_224_with_a_batch_of_8_takes_at_most_16_gib(method):
    pytest.importorskip("torchvision")
    found = measured("torchvision:resnet50", 8, method)
    assert found["kept"] == 2_550_291
    assert found["peak"] < LIMIT
