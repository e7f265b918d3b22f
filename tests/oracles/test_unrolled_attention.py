"""Attention, however it is spelled: paths run through the values, queries and keys are the control."""

import pytest
from agreement import check
from attention_networks import ATTENTION, attention_networks
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import masks_for

SETTINGS = settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck), derandomize=True)


@pytest.mark.parametrize("kind", sorted(ATTENTION))
def test_attention_is_counted_exactly(kind):
    @SETTINGS
    @given(st.data())
    def agrees(data):
        program = data.draw(attention_networks(attend=[kind]))
        check(program, data.draw(masks_for(program)), maximum=False)

    agrees()
