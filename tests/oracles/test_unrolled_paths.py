"""Paths, nodes and effectiveness of random small networks, against counting unit by unit."""

from agreement import check, thorough
from hypothesis import given
from hypothesis import strategies as st
from networks import image_networks, masks_for, vector_networks
from program import Program
from torch.utils.flop_counter import FlopCounterMode

from nodepath import measure


def check_macs(program: Program) -> None:
    with FlopCounterMode(display=False) as counter:
        program.eval()(*program.example())
    topology = measure(program, program.example())
    assert 2 * topology.macs == 2 * topology.dense_macs == counter.get_total_flops()


@thorough(120)
@given(st.data())
def test_convolutional_networks_are_counted_exactly(data):
    program = data.draw(image_networks())
    check(program, data.draw(masks_for(program)))


@thorough(120)
@given(st.data())
def test_linear_networks_are_counted_exactly(data):
    program = data.draw(vector_networks())
    check(program, data.draw(masks_for(program)))


@thorough(120)
@given(image_networks())
def test_multiply_adds_are_half_of_torchs_flops(program):
    check_macs(program)


@thorough(120)
@given(st.data())
def test_effective_width_of_paper_nodes_is_the_entropy_of_their_shares(data):
    program = data.draw(image_networks(maximum=False))  # a true maximum has no share of paths to compare with
    check(program, data.draw(masks_for(program)), maximum=False)


@thorough(120)
@given(st.data())
def test_macs_of_masks_count_each_weight_where_it_is_used(data):
    program = data.draw(image_networks())
    masks = data.draw(masks_for(program))
    topology = measure(program, program.example(), masks)
    dense = {layer.name: layer.macs // layer.prunable for layer in measure(program, program.example()).layers}
    assert topology.macs == sum(layer.kept * dense[layer.name] for layer in topology.layers)
    assert topology.effective_macs == sum(layer.effective * dense[layer.name] for layer in topology.layers)
