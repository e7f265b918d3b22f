"""Whether slopes can be differentiated once more."""

from collections.abc import Iterable

from torch import Tensor

__all__ = ["are_cut_off"]


def are_cut_off(slopes: Iterable[Tensor]) -> bool:
    """Whether a function on the way forbids a second derivative (`once_differentiable`).

    Autograd does not complain of it: nothing is connected behind such a function, so its share is silently missing.
    """
    left = [slope.grad_fn for slope in slopes if slope.grad_fn is not None]
    seen = set(left)
    while left:
        node = left.pop()
        if node.name() == "torch::autograd::Error":
            return True
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                left.append(following)
    return False
