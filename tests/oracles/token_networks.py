"""Random small networks that read integer tokens."""

import torch
import torch.nn.functional as F
from attention_networks import blocks
from hypothesis import strategies as st
from program import Program
from torch import Tensor, nn


class EmbeddedProgram(Program):
    """The input is token numbers; value 0 is their vectors, where paths begin."""

    def __init__(self, tokens: int, features: int, vocabulary: int) -> None:
        super().__init__(tokens, features, channel_axis=-1)
        self.embedding = nn.Embedding(vocabulary, features)
        self.tied = False

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        return super().forward(self.embedding(*inputs))

    def example(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, self.shapes[0][0], dtype=torch.long),)


@st.composite
def token_networks(draw):
    """An embedding, attention, and a head that may be the embedding itself."""
    heads = draw(st.integers(1, 2))
    features = heads * draw(st.integers(1, 2))
    program = EmbeddedProgram(draw(st.integers(1, 3)), features, vocabulary=draw(st.integers(2, 4)))
    at = blocks(draw, program, 0, heads, None)
    if draw(st.booleans()):
        head = nn.Linear(features, program.embedding.num_embeddings, bias=False)
        head.weight = program.embedding.weight
        program.function(at, head, reads=lambda x: F.linear(x, torch.ones(head.weight.shape)))
        program.tied = True
    else:
        program.layer(at, nn.Linear(features, 2))
    return program
