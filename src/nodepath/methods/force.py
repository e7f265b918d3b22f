"""FORCE: keep what would matter once the rest is gone, and let it come back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from nodepath.methods.iterate import iterate
from nodepath.methods.problem import Choice, Problem
from nodepath.methods.registry import METHODS
from nodepath.options import check_whole
from nodepath.reference import Reference

__all__ = ["Force"]


@METHODS.register("force")
@dataclass(frozen=True, kw_only=True)
class Force:
    r"""Keep the weights that the loss of the pruned network would depend on most, pruned ones included.

    $$ s_j = \left| \theta_j \, \partial L / \partial \theta_j (\theta \odot m) \right| $$

    with m the mask of the step before, density $\rho^{i / T}$ after step i of T. All weights are ranked in each step:
    the slope of a pruned weight is taken where it is zero, and its own value counts, so that it may come back.
    BatchNorm by default `eval-identity`.

    Args:
        iterations: T.

    Cost: `iterations` forward and backward passes. Needs data: yes.

    Variants: the authors draw other batches in each step (1, 10, 20 or 40, by data set); here all steps see the same.

    Reference:
        de Jorge, Sanyal, Behl, Torr, Rogez, Dokania. Progressive skeletonization: trimming more fat from a network at
        initialization. ICLR 2021. arXiv:2006.09081.
    """

    needs_batch: ClassVar[bool] = True
    reference: ClassVar[Reference] = Reference(
        authors=(
            "Pau de Jorge",
            "Amartya Sanyal",
            "Harkirat S. Behl",
            "Philip H. S. Torr",
            "Grégory Rogez",
            "Puneet K. Dokania",
        ),
        title="Progressive Skeletonization: Trimming more fat from a network at initialization",
        venue="International Conference on Learning Representations",
        year=2021,
        arxiv="2006.09081",
    )

    iterations: int = 60

    def __post_init__(self) -> None:
        check_whole("force", "iterations", self.iterations, "paper: 60")

    def __call__(self, problem: Problem) -> Choice:
        """See `Method`."""

        def rescore(_: int, weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
            slopes = problem.subject.slopes(weights)
            return {name: (problem.weights[name] * slopes[name]).abs() for name in masks}

        return iterate(problem, rescore, self.iterations, by_paths=False)
