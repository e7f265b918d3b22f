"""What a score is, and where scores are filed."""

from collections.abc import Mapping
from typing import ClassVar, Protocol

from torch import Tensor

from nodepath.registry import Registry
from nodepath.scores.subject import Subject

__all__ = ["SCORES", "Score"]


class Score(Protocol):
    """A number per weight: the larger, the rather it is kept.

    A score is a frozen dataclass whose fields are its options; filed under a name, it is a method of that name.
    """

    needs_batch: ClassVar[bool]
    """Whether `subject.batch` must be given."""

    def __call__(self, subject: Subject, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Score every weight.

        Args:
            subject: The network, how to run it, the batch and the random generator.
            weights: Parameter name -> weight, detached; zeros where it is pruned already.

        Returns:
            Parameter name -> score, of the weight's shape, detached.
        """


SCORES: Registry[type[Score]] = Registry("score", "nodepath.scores")
