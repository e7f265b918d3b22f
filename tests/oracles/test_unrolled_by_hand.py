"""The oracle itself, on networks that are counted with pencil and paper; nodepath has no part in it."""

import torch
import torch.nn.functional as F
from attention_steps import attention
from program import Program
from spellings import by_matmul, filled
from torch import nn
from unrolled import Unrolled, unroll


def masks(**rows: list[list[int]]) -> dict[str, torch.Tensor]:
    return {f"layers.{name}.weight": torch.tensor(mask, dtype=torch.bool) for name, mask in rows.items()}


def linear(inputs: int, outputs: int, *, bias: bool = False) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias=bias)


def gated(act, *, bias: bool = False) -> Program:
    """Two inputs; layer2(layer1(x) * act(layer0(x))), of width 2."""
    program = Program(2, channel_axis=-1)
    gate = program.function(program.layer(0, linear(2, 2, bias=bias))[0], act)
    value, _ = program.layer(0, linear(2, 2))
    program.layer(program.gate(value, gate, torch.mul), linear(2, 1))
    return program


def effective_of(found: Unrolled, name: str) -> set[int]:
    return {i for owner, i in found.effective if owner == f"layers.{name}.weight"}


def test_a_gate_carries_no_path_and_steers_the_value():
    found = unroll(gated(F.silu), {})
    assert found.paths() == 4  # two inputs, two hidden units
    assert len(found.effective) == 10
    assert found.control == {("layers.layer0.weight", i) for i in range(4)}
    assert sum(map(len, found.nodes("exact").values())) == 2 + 2 + 2 + 1
    assert found.control_nodes("exact") == 2
    assert found.control_nodes("paper") == 2 + 2  # inputs and outputs of the gate's layer
    assert found.effective_widths("exact") == [2, 2, 1]


def test_a_silent_gate_that_is_not_reached_closes_the_way():
    found = unroll(gated(F.silu), masks(layer0=[[1, 1], [0, 0]]))
    assert found.paths() == 2
    assert effective_of(found, "layer1") == {0, 1}
    assert effective_of(found, "layer2") == {0}


def test_a_sigmoid_or_a_bias_leaves_it_open():
    for program in (gated(torch.sigmoid), gated(F.silu, bias=True)):
        found = unroll(program, masks(layer0=[[1, 1], [0, 0]]))
        assert found.paths() == 4
        assert effective_of(found, "layer0") == {0, 1}


def test_what_steers_nothing_that_is_reached_is_not_effective():
    found = unroll(gated(F.silu), masks(layer1=[[0, 0], [1, 0]]))
    assert found.paths() == 1
    assert effective_of(found, "layer0") == {2, 3}


def test_an_input_that_only_steers_is_a_control_node():
    found = unroll(gated(F.silu), masks(layer0=[[1, 0], [1, 0]], layer1=[[0, 1], [0, 1]]))
    assert found.paths() == 2
    assert found.control_nodes("exact") == 1 + 2
    assert found.effective_widths("exact") == [1, 2, 1]


def attending(tokens: int, seen: torch.Tensor | None = None, *, bias: bool = False) -> Program:
    """Two features, one head: layer0 q, layer1 k, layer2 v, layer3 out; all tokens are outputs."""
    program = Program(tokens, 2, channel_axis=-1)
    q, k, v = (program.layer(0, linear(2, 2, bias=bias))[0] for _ in range(3))
    mask = filled(torch.ones(tokens, tokens, dtype=torch.bool) if seen is None else seen)
    made = attention(program, q, k, v, heads=1, run=by_matmul(1, mask), allowed=seen)
    program.layer(made, linear(2, 1))
    return program


def test_each_query_reads_each_value_once():
    found = unroll(attending(3), {})
    assert found.paths() == 3 * 3 * 2 * 2  # queries, keys, inputs, features of a value
    assert found.control == {(f"layers.layer{layer}.weight", i) for layer in (0, 1) for i in range(4)}
    assert found.control_nodes("exact") == 4
    assert found.effective_widths("exact") == [2, 2, 1]


def test_a_hidden_key_is_not_read():
    seen = torch.ones(3, 3, dtype=torch.bool).tril()
    assert unroll(attending(3, seen), {}).paths() == 6 * 2 * 2


def test_without_queries_the_keys_steer_nothing_and_the_values_are_still_read():
    found = unroll(attending(2), masks(layer0=[[0, 0], [0, 0]]))
    assert found.paths() == 2 * 2 * 2 * 2
    assert not effective_of(found, "layer1")
    assert not found.control
    assert unroll(attending(2, bias=True), masks(layer0=[[0, 0], [0, 0]])).control  # but a bias asks


def test_a_feature_of_a_query_needs_the_same_feature_of_a_key():
    found = unroll(attending(2), masks(layer0=[[1, 0], [0, 0]], layer1=[[0, 1], [1, 1]]))
    assert effective_of(found, "layer0") == {0}
    assert effective_of(found, "layer1") == {1}


def test_without_values_nothing_steers():
    found = unroll(attending(2), masks(layer2=[[0, 0], [0, 0]]))
    assert found.paths() == 0
    assert not found.effective


def test_softmax_couples_the_keys_of_a_query():
    """The second token's value never arrives; its key still weighs against the first."""
    program = Program(2, 1, channel_axis=-1)
    q, _ = program.layer(0, linear(1, 1))
    own = [program.layer(program.function(0, lambda x, t=t: x[:, t : t + 1]), linear(1, 1))[0] for t in range(2)]
    keys = program.join(*own, run=lambda *x: torch.cat(x, 1))
    value = program.function(
        program.layer(0, linear(1, 1))[0], lambda x: x.masked_fill(torch.tensor([[0], [1]]).bool(), 0)
    )
    attention(program, q, keys, value, heads=1, run=by_matmul(1, lambda x: x))
    found = unroll(program, {})
    assert found.paths() == 2  # two queries, the first value
    assert effective_of(found, "layer2") == {0}  # key of the second token
