"""Operations that move, choose and gather pixels, and networks with several inputs, outputs and unused layers."""

from agreement import check, thorough
from hypothesis import given
from hypothesis import strategies as st
from networks import masks_for
from shaped_networks import shaped_networks, times_parameter

from nodepath import measure


@thorough(150)
@given(st.data())
def test_networks_of_all_operations_are_counted_exactly(data):
    program = data.draw(shaped_networks())
    check(program, data.draw(masks_for(program)))
    unused = measure(program, program.example()).unused
    assert unused == (("layers.unused.weight",) if "unused" in program.layers else ())


@thorough(20)
@given(st.data())
def test_a_parameter_of_no_layer_connects_everything(data):
    program = data.draw(shaped_networks(of=[times_parameter]))
    check(program, data.draw(masks_for(program)))
