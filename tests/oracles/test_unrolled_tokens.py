"""Networks that read integer tokens: paths begin at the dimensions of the embedding."""

from agreement import check, thorough
from hypothesis import given
from hypothesis import strategies as st
from networks import masks_for
from token_networks import token_networks

from nodepath import measure


@thorough(60)
@given(st.data())
def test_networks_of_tokens_are_counted_exactly(data):
    program = data.draw(token_networks())
    if program.weights:
        check(program, data.draw(masks_for(program)), maximum=False)
        assert len(measure(program, program.example()).tied) == program.tied
