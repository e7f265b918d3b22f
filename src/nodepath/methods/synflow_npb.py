"""SynFlow with a random start: the node-path balancing of the ICLR 2023 submission."""

from dataclasses import dataclass
from typing import ClassVar

from nodepath.methods.flow.by_flow import by_flow
from nodepath.methods.problem import Choice, Problem
from nodepath.methods.registry import METHODS
from nodepath.methods.zero_layers import with_zero_layers_drawn
from nodepath.options import check_flag, check_whole
from nodepath.reference import Reference

__all__ = ["SynFlowNodePathBalancing"]


@METHODS.register("synflow-npb")
@dataclass(frozen=True, kw_only=True)
class SynFlowNodePathBalancing:
    r"""SynFlow that draws at random now and then at the start, which buys nodes for paths.

    Density $\rho^{(e + 1) / T}$ after iteration e; scores are random if `e % random_every == 0` and
    `e + 1 <= random_until`, else those of SynFlow. It breaks SynFlow's habit of making rich nodes richer.

    Args:
        iterations: T.
        random_every: Every so many iterations is random, the first included.
        random_until: The last iteration, counted from 1, that may be random.
        revive: Random iterations choose among all weights, as the authors' code does: pruned ones come back, so that
            what comes before the last random iteration leaves no trace and is not done. False: they choose among the
            kept.

    Cost: a forward and a backward pass of one sample in float64 for each iteration that is done and not random. Needs
    data: no.

    Reference:
        Understanding Pruning at Initialization: An Effective Node-Path Balancing Perspective. Submitted to ICLR 2023,
        OpenReview nqoxB03tzi.
    """

    reference: ClassVar[Reference] = Reference(
        authors=("Anonymous",),
        title="Understanding Pruning at Initialization: An Effective Node-Path Balancing Perspective",
        venue="Submitted to the International Conference on Learning Representations",
        year=2023,
        url="https://openreview.net/forum?id=nqoxB03tzi",
    )

    iterations: int = 100
    random_every: int = 2
    random_until: int = 15
    revive: bool = True

    def __post_init__(self) -> None:
        check_whole("synflow-npb", "iterations", self.iterations, "paper: 100")
        check_whole("synflow-npb", "random_every", self.random_every, "paper: 2")
        check_whole("synflow-npb", "random_until", self.random_until, "paper: 15", least=0)
        check_flag("revive", self.revive)

    def __call__(self, problem: Problem) -> Choice:
        """See `Method`."""
        at_random = range(0, min(self.random_until, self.iterations), self.random_every)
        return by_flow(with_zero_layers_drawn(problem), self.iterations, at_random, revive=self.revive)
