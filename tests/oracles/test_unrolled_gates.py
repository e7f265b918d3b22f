"""Products of two branches: paths run through one of them, the other is the control."""

from agreement import check
from gated_networks import gated_networks
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import masks_for

SETTINGS = settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck), derandomize=True)


@SETTINGS
@given(st.data())
def test_gated_networks_are_counted_exactly(data):
    program = data.draw(gated_networks())
    check(program, data.draw(masks_for(program)), maximum=False)
