"""ERK-random: random cells at the layer counts that ERK gives the same total."""

from collections.abc import Mapping

from torch import Tensor, nn

from nodepath.budgets import Erk
from nodepath.masks import MaskSet, count_true
from nodepath.methods.arguments import seeded
from nodepath.methods.budgeted import RandomCells
from nodepath.methods.problem import Problem
from nodepath.paths import Network
from nodepath.paths.example import ExampleInput
from nodepath.paths.measure import check
from nodepath.scores import Subject

__all__ = ["erk_random"]


def erk_random(model: nn.Module, x: ExampleInput, masks: Mapping[str, Tensor], seed: int = 0) -> MaskSet:
    """Random masks of the same layers with the same number of weights in all, shared out by ERK.

    It keeps nothing of a mask but its total. Between the two lies `shuffle`, random cells at the mask's own layer
    counts: what `shuffle` gains over this is due to the method's layer counts, what the mask gains over `shuffle` to
    the choice of weights within layers. The mask is the one of method `erk` for the same layers, total and seed.

    Args:
        model: The model that the masks are of; left as it was.
        x: Example input, as for `nodepath.prune`.
        masks: Parameter name -> bool.
        seed: Of the draws.

    Returns:
        Masks of the same layers; `metadata["control"]` says how they were made.

    Raises:
        MaskMismatchError: A mask is of no prunable weight of this model, or of another shape.
        ArgumentError: The seed is no whole number in [0, 2**63).
        NothingPrunableError, InputMismatchError, UnknownOperationError, TransformedWeightError: The model or `x`.

    Reference:
        Evci, Gale, Menick, Castro, Elsen. Rigging the lottery: making all tickets winners. ICML 2020.
        arXiv:1911.11134.
    """
    generator = seeded(seed)
    network = Network(model, x)
    check(network, masks)
    included = tuple(name for name in network.layers if name in masks)
    keep = sum(map(count_true, masks.values()))
    problem = Problem(network, Subject(network, generator), network.weights(), included, keep)
    drawn = RandomCells(Erk())(problem).masks
    metadata = masks.metadata if isinstance(masks, MaskSet) else {}
    return MaskSet({name: drawn[name] for name in masks}, {**metadata, "control": {"erk": int(seed)}})
