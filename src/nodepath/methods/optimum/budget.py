"""Layer budgets without empty layers."""

from collections.abc import Mapping

__all__ = ["none_empty"]


def none_empty(counts: Mapping[str, int]) -> dict[str, int]:
    """Layer counts with at least one weight for each layer, if there are as many weights as layers.

    What they lack is taken one by one from the layer that has the most.

    Args:
        counts: Parameter name -> how many weights it keeps.
    """
    raised = dict(counts)
    if sum(counts.values()) < len(counts):
        return raised
    for name, count in counts.items():
        if count == 0:
            raised[max(raised, key=raised.__getitem__)] -= 1
            raised[name] = 1
    return raised
