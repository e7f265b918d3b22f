"""Reachability and numbers of paths of a masked network, in one walk where the numbers alone tell both."""

from collections.abc import Mapping

import torch
from torch import Tensor

from nodepath.errors import NonFiniteError
from nodepath.paths.flow import Flow, Shares, flow
from nodepath.paths.liveness import live_edges
from nodepath.paths.network import Network
from nodepath.paths.reach import Reach, add_live, completed, reach, without_dead_ends
from nodepath.paths.semantics import EXACT, Semantics
from nodepath.paths.site import Passing, given

__all__ = ["survey"]

_SAFE_EXPONENT = 900
"""Up to here no mantissa of a count of 1 or more is near the end of float64's range, 2**-1022."""


@torch.inference_mode(mode=False)
def survey(network: Network, masks: Mapping[str, Tensor], semantics: Semantics = EXACT) -> tuple[Reach, Flow]:
    """What lies on a path, and how many paths there are.

    A count of paths is a whole number, and a mantissa of one that is positive is so too unless the number range ends:
    so an element is reached where its count is positive, and wanted where its slope is, exactly, as long as no
    exponent is large. Reachability is sent by itself where that does not hold, where the semantics takes maxima (a path
    that loses is one still), and where something steers.

    Args:
        network: The network.
        masks: Parameter name -> bool; all kept for what is absent.
        semantics: How pooling is read; average pooling adds up.

    Cost: one forward and one backward pass in float64; else those of `reach` and `flow`.

    Raises:
        NonFiniteError: See `flow`.
    """
    whole = semantics.average == "sum" and (semantics.maximum == "sum" or not network.takes_maxima)
    # other devices convolve by Fourier transforms as well, which leave noise where nothing arrives, or have no float64
    if whole and network.device.type == "cpu":
        found = _at_once(network, masks, semantics)
        if found is not None:
            return found
    alive = reach(network, masks, paths=True)
    return alive, flow(network, without_dead_ends(network, masks, alive), semantics, weights=False)


class _Survey:
    """Takes down shares of channels and live weights."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.shares = Shares(network, weights=False)
        self.live: dict[str, Tensor] = {}

    def __call__(self, name: str, passing: Passing) -> None:
        live = live_edges(passing, passing.edges)
        add_live(self.live, name, passing.site, live, self.network.layers[name].shape)
        self.shares(name, passing)


def _at_once(network: Network, masks: Mapping[str, Tensor], semantics: Semantics) -> tuple[Reach, Flow] | None:
    """Both from one walk; None if something steers, or the number range is too short."""
    note = _Survey(network)
    with network.at_rest(), torch.enable_grad():
        arrival = network.send_plainly(semantics, given(masks), note)
        if arrival is None or arrival.tracer.largest_exponent > _SAFE_EXPONENT:
            return None
        slopes = arrival.slopes()
        try:
            carried = note.shares.flow(arrival, slopes)
        except NonFiniteError:  # slopes where nothing arrives have no bound
            return None
    outputs = {name: share > 0 for name, share in note.shares.outputs.items()}
    inputs = {part: share > 0 for part, share in note.shares.inputs.items()}
    return completed(network, Reach(note.live, outputs, inputs), slopes), carried
