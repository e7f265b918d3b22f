"""Functions between layers that follow one another are one step of a course."""

from collections import Counter

import pytest
import torch
from problems import problem_of
from torch import Tensor, nn

import nodepath
from nodepath.methods.flow.by_flow import by_flow, walked
from nodepath.methods.problem import Problem
from nodepath.paths.replay.course import course
from nodepath.paths.replay.recording import record
from nodepath.paths.replay.steps import Free
from nodepath.paths.semantics import FLOW


class Shuffled(nn.Module):
    """Channels change places, in two ways that meet again; what each of these reads is read twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.grouped, self.head = nn.Conv2d(2, 8, 3), nn.Conv2d(8, 8, 3, groups=2), nn.Linear(8 * 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        turned = x.unflatten(1, (2, 4)).transpose(1, 2).flatten(1, 2)
        mixed = torch.cat([turned.flip(2), x.roll(1, 3)], 1).unflatten(1, (8, 2)).sum(2)
        return self.head(self.grouped(mixed).flatten(1))


def problem() -> Problem:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return problem_of(Shuffled().double(), torch.zeros(1, 2, 6, 6), 0.25)


def test_no_function_is_left_that_a_single_other_one_reads():
    network = problem().network
    laid_out = course(record(network, FLOW), network.layers)
    functions = [step for step in laid_out.steps if isinstance(step, Free)]
    assert functions
    assert max(len(step.reads) for step in functions) > 1
    readers = Counter(number for step in laid_out.steps for number in step.reads)
    read = {number for step in functions for number in step.reads}
    assert not [step for step in functions if step.makes in read and readers[step.makes] == 1]


@pytest.mark.parametrize("iterations", [1, 10])
def test_masks_are_those_of_walks(iterations):
    found, expected = (prune(problem(), iterations) for prune in (by_flow, walked))
    assert nodepath.MaskSet(found.masks) == nodepath.MaskSet(expected.masks)
