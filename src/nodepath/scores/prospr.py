"""ProsPr: how much the loss after a few steps of training would move if a weight's gate had been closed before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from nodepath.errors import ArgumentError, NonFiniteError
from nodepath.options import check_flag, check_positive, check_whole, is_number
from nodepath.reference import Reference
from nodepath.scores.precision import at_least_single
from nodepath.scores.registry import SCORES
from nodepath.scores.subject import Subject

__all__ = ["ProsPr"]


@SCORES.register("prospr")
@dataclass(frozen=True, kw_only=True)
class ProsPr:
    r"""Keep the weights that the loss after a few steps of training depends on most.

    $$ s_j = \left| \partial L_{K+1}(w_K) / \partial c_j \right|_{c = 1}, \qquad w_0 = c \odot \theta, \quad
       v_t = \mu v_{t-1} + \nabla L_t(w_{t-1}), \quad w_t = w_{t-1} - \eta v_t $$

    with $L_t$ the mean loss over the batch of step t: a meta-gradient through K steps of SGD with momentum. All
    parameters are trained in them, biases and norms as well; only prunable weights have gates. It is found by a sweep
    back over the steps, with one Hessian-vector product each, so that memory holds the graph of one step alone.

    The K + 1 batches are the parts of the batch, if it has as many; else all its samples in order, split evenly.
    BatchNorm by default `train-batch`: with running statistics the steps diverge in most networks.

    Args:
        inner_steps: K.
        lr: $\eta$.
        momentum: $\mu$.
        first_order: Leave the Hessians out, so that $s = |\theta \odot \nabla L_{K+1}(w_K)|$.

    Cost: `inner_steps` forward passes and about four times as many backward passes, and one of each; in memory
    `inner_steps` + 1 copies of all parameters and 3 more numbers for each. Needs data: yes.

    Variants: the authors' code takes no slopes through the first step's velocity; the paper's formula has them, and so
    has this. On narrow networks it empties layers early: on ResNet-20 at 99 % no path is left with images of CIFAR-10
    (`nodepath prune resnet20 --method prospr --sparsity 0.99 --data FOLDER -o FILE`); `first_order` leaves some.

    Reference:
        Alizadeh, Tailor, Zintgraf, van Amersfoort, Farquhar, Lane, Gal. Prospect pruning: finding trainable weights at
        initialization using meta-gradients. ICLR 2022. arXiv:2202.08132.
    """

    needs_batch: ClassVar[bool] = True
    bn: ClassVar[str] = "train-batch"
    reference: ClassVar[Reference] = Reference(
        authors=(
            "Milad Alizadeh",
            "Shyam A. Tailor",
            "Luisa M. Zintgraf",
            "Joost van Amersfoort",
            "Sebastian Farquhar",
            "Nicholas Donald Lane",
            "Yarin Gal",
        ),
        title="Prospect Pruning: Finding Trainable Weights at Initialization using Meta-Gradients",
        venue="International Conference on Learning Representations",
        year=2022,
        arxiv="2202.08132",
    )

    inner_steps: int = 3
    lr: float = 0.5
    momentum: float = 0.9
    first_order: bool = False

    def __post_init__(self) -> None:
        check_whole("prospr", "inner_steps", self.inner_steps, "paper: 3")
        check_positive("prospr", "lr", self.lr, "paper: 0.5")
        if not is_number(self.momentum) or not 0 <= self.momentum < 1:
            raise ArgumentError(f"momentum is {self.momentum!r}; prospr needs a number from 0 to below 1 (paper: 0.9)")
        check_flag("first_order", self.first_order)

    def __call__(self, subject: Subject, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Score`."""
        batches = subject.data.in_steps(self.inner_steps + 1)
        *inner, last = [replace(subject, batch=batch) for batch in batches]
        held = {n: p.detach() for n, p in subject.network.parameters.items() if p.is_floating_point()}
        start = {name: at_least_single(tensor) for name, tensor in {**held, **weights}.items()}
        trained, before = self._train(inner, start)
        back = self._slopes(last, trained, self.inner_steps)
        if not self.first_order:
            self._sweep(inner, before, back)
        return {name: (weight * back[name]).abs() for name, weight in weights.items()}

    def _train(
        self, steps: Sequence[Subject], start: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], list[dict[str, Tensor]]]:
        """Parameters after the steps, and before each, which the sweep needs."""
        at, before = start, []
        velocity: dict[str, Tensor] = {}
        for number, step in enumerate(steps):
            if not self.first_order:
                before.append(at)
            slopes = self._slopes(step, at, number)
            velocity = {n: slope + self.momentum * velocity[n] if velocity else slope for n, slope in slopes.items()}
            at = {name: value - self.lr * velocity[name] for name, value in at.items()}
        return at, before

    def _sweep(self, steps: Sequence[Subject], before: list[dict[str, Tensor]], back: dict[str, Tensor]) -> None:
        """Take slopes in the parameters after the steps to those before them, in place."""
        pull: dict[str, Tensor] = {}  # slopes in the velocity
        for step in reversed(steps):
            pull = {n: self.momentum * pull[n] - self.lr * b if pull else -self.lr * b for n, b in back.items()}
            for name, product in step.hessian_product(before.pop(), pull).items():
                back[name] += product

    def _slopes(self, step: Subject, at: Mapping[str, Tensor], number: int) -> dict[str, Tensor]:
        try:
            return step.slopes(at)
        except NonFiniteError as error:
            if number == 0:
                raise
            way_out = "a smaller lr" if step.bn == "train-batch" else "a smaller lr, or bn='train-batch'"
            raise NonFiniteError(
                f"the loss after {number} steps of training at lr={self.lr} with bn='{step.bn}' is not finite; take "
                f"{way_out}"
            ) from error
