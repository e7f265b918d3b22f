"""Products of two branches: paths run through one of them, the other is the control."""

from agreement import check, thorough
from gated_networks import WITH_CONSTANTS, gated_networks
from hypothesis import given
from hypothesis import strategies as st
from networks import masks_for


@thorough(120)
@given(st.data())
def test_gated_networks_are_counted_exactly(data):
    program = data.draw(gated_networks())
    check(program, data.draw(masks_for(program)), maximum=False)


@thorough(120)
@given(st.data())
def test_gates_that_are_in_part_constant_are_counted_exactly(data):
    program = data.draw(gated_networks(of=WITH_CONSTANTS))
    check(program, data.draw(masks_for(program)), maximum=False)
