"""Attention, however it is spelled: paths run through the values, queries and keys are the control."""

import pytest
from agreement import check, thorough
from attention_networks import ATTENTION, attention_networks
from hypothesis import given
from hypothesis import strategies as st
from networks import masks_for


@pytest.mark.parametrize("kind", sorted(ATTENTION))
def test_attention_is_counted_exactly(kind):
    @thorough(25)
    @given(st.data())
    def agrees(data):
        program = data.draw(attention_networks(attend=[kind]))
        check(program, data.draw(masks_for(program)), maximum=False)

    agrees()
