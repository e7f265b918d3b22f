"""Iterative SNIP: prune a little by connection sensitivity, and look again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from nodepath.methods.force import Force
from nodepath.methods.iterate import iterate, on_schedule, without_pruned
from nodepath.methods.problem import Choice, Problem
from nodepath.methods.registry import METHODS
from nodepath.options import check_choice, check_whole
from nodepath.reference import Reference
from nodepath.scores.snip import Snip

__all__ = ["SnipIterative"]

_HALF = 0.5


@METHODS.register("snip-iterative")
@dataclass(frozen=True, kw_only=True)
class SnipIterative:
    r"""Again and again prune the weights that the loss depends on least, and measure anew.

    $$ s_j = \left| \theta_j m_j \, \partial L / \partial \theta_j (\theta \odot m) \right| $$

    with m the mask of the step before, density $\rho^{i / T}$ after step i of T; what is pruned stays pruned. One step
    is SNIP. BatchNorm by default `eval-identity`.

    Args:
        iterations: T.
        schedule: "exponential"; or "snip-it": sparsity $\kappa - (\kappa - 0.5) \, 0.5^{i - 1}$ after step i < T,
            $\kappa$ in the end. It begins with half of the weights; where less is to be pruned, the first step does it
            all.

    Cost: `iterations` forward and backward passes. Needs data: yes.

    Variants: SNIP-it takes 5 steps and the last (`iterations=6`). The authors of FORCE call theirs Iterative SNIP, and
    draw other batches in each step; here all steps see the same.

    Reference:
        de Jorge, Sanyal, Behl, Torr, Rogez, Dokania. Progressive skeletonization: trimming more fat from a network at
        initialization. ICLR 2021. arXiv:2006.09081. Schedule "snip-it": Verdenius, Stol, Forré. Pruning via iterative
        ranking of sensitivity statistics. 2020. arXiv:2006.00896.
    """

    needs_batch: ClassVar[bool] = True
    reference: ClassVar[Reference] = Force.reference  # the same paper

    iterations: int = 60
    schedule: str = "exponential"

    def __post_init__(self) -> None:
        check_whole("snip-iterative", "iterations", self.iterations, "paper: 60")
        check_choice("schedule", self.schedule, ("exponential", "snip-it"))

    def __call__(self, problem: Problem) -> Choice:
        """See `Method`."""
        sensitivity = Snip()

        def rescore(_: int, weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
            return without_pruned(sensitivity(problem.subject, weights), masks)

        schedule = on_schedule if self.schedule == "exponential" else _halving
        return iterate(problem, rescore, self.iterations, by_paths=False, schedule=schedule)


def _halving(keep: int, size: int, step: int, iterations: int) -> int:
    return keep if step == iterations else max(keep, round(keep + (_HALF * size - keep) * _HALF ** (step - 1)))
