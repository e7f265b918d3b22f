"""Layers solved one after the other, as the paths reach them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from nodepath.methods.optimum.arrival import Arrived, arrived
from nodepath.methods.optimum.cells import Best, Drawn, Pick, by_paths, chosen_cells
from nodepath.methods.optimum.layer import LayerProblem, solve
from nodepath.methods.optimum.layout import Kernels, lay_out
from nodepath.methods.optimum.presets import Preset, caps_by_layer
from nodepath.methods.problem import Problem
from nodepath.paths.layer import Layer
from nodepath.paths.site import Part, Site, dense

__all__ = ["Walk"]


class Walk:
    """Masks each layer that the counts name when paths reach it, and lets them pass.

    Args:
        settings: How layers are solved.
        problem: The task.
        counts: Parameter name -> how many weights to keep.
        scores: Parameter name -> scores that choose the cells of a kernel; None: they are drawn.

    Attributes:
        masks: Parameter name -> bool, in the order of `problem.included`; zeros where no paths have come yet.
    """

    def __init__(
        self, settings: Preset, problem: Problem, counts: Mapping[str, int], scores: Mapping[str, Tensor] | None
    ) -> None:
        network = problem.network
        self.settings, self.problem, self.scores = settings, problem, scores
        self.masks = {
            layer.name: torch.zeros(layer.shape, dtype=torch.bool, device=network.device) for layer in problem.layers
        }
        self._folds = network.resolution == "channel"
        self._caps = caps_by_layer(settings, network.layers.values())
        self._shares = {
            (layer.name, row): share
            for layer in problem.layers
            for row, share in zip(layer.first_rows, _by_part(layer, counts[layer.name]), strict=True)
        }
        self._solved: set[Part] = set()
        self._ranks: dict[int, Tensor] = {}

    def __call__(self, site: Site, counts: Tensor, spread: Callable[[Tensor | None], Tensor]) -> Tensor | None:
        """See `Weigh`."""
        if site.name is None or site.name not in self.masks:
            return dense(site, counts, spread)
        part = site.name, site.first_row
        if part not in self._solved:
            self._solved.add(part)
            self._solve(site, arrived(site, counts, folds=self._folds))
        return self.masks[site.name][site.rows]

    def _solve(self, site: Site, seen: Arrived) -> None:
        """Solve one layer, or the rows of it that are used here, and write its mask."""
        assert site.name is not None  # it has a mask
        whole, keep = self.problem.network.layers[site.name], self._shares[site.name, site.first_row]
        layer = replace(whole, shape=tuple(site.weight.shape), rows=(site.weight.shape[0],))
        outputs = layer.outputs // layer.groups
        caps = _soft(seen.room, outputs, keep, self._caps[site.name])
        task = LayerProblem(
            paths=seen.paths,
            outputs=outputs,
            caps=caps,
            keep=min(keep, int(caps.sum()) * outputs),
            alpha=self.settings.alpha,
            beta=0.0 if layer.linear else self.settings.beta,
            slack=self.settings.slack,
        )
        core = round(_core(task.keep, layer.outputs, task.alpha) / layer.groups)
        kernels = lay_out(task, solve(task), self._ranks_of(layer), core, self.problem.generator)
        live = (seen.cells > 0).flatten(0, 1)
        places = _places(layer, kernels, *chosen_cells(kernels, live, self._pick(site, layer, seen)))
        mask = torch.zeros(layer.size, dtype=torch.bool)
        mask[places] = True
        if (
            len(places) < keep
        ):  # more than can carry a path here; `respend` finds them a place elsewhere, if there is one
            mask[(~mask).nonzero().flatten()[: keep - len(places)]] = True
        self.masks[site.name][site.rows] = mask.reshape(layer.shape).to(self.problem.network.device)

    def _ranks_of(self, layer: Layer) -> Tensor:
        """The rank of each output within its group (groups, outputs): the same for all layers with as many outputs."""
        if layer.outputs not in self._ranks:
            self._ranks[layer.outputs] = torch.randperm(layer.outputs, generator=self.problem.generator)
        return self._ranks[layer.outputs].reshape(layer.groups, -1).argsort(dim=1).argsort(dim=1)

    def _pick(self, site: Site, layer: Layer, seen: Arrived) -> Pick:
        cells = seen.cells.flatten(0, 1)
        if self.scores is not None:
            scores = self.scores[layer.name][site.rows]
            return Best(layer.kernels(scores.cpu()), cells > 0)
        rates = by_paths(cells) if self.settings.cells == "paths" else (cells > 0).double()
        return Drawn(rates, self.problem.generator)


def _soft(room: Tensor, outputs: int, keep: int, cap: int | None) -> Tensor:
    """Most weights in a kernel of each input: the cells that carry paths, under the least cap that holds the budget."""
    most = int(room.max())
    cap = most if cap is None else cap
    while cap < most and int(room.clamp(max=cap).sum()) * outputs < keep:
        cap += 1
    return room.clamp(max=cap)


def _core(keep: int, outputs: int, alpha: float) -> float:
    """So many outputs have `keep ** (1 - alpha)` weights each if each other one has a single one."""
    if keep <= outputs:
        return keep  # one each
    degree = keep ** (1 - alpha)
    return outputs if degree <= 1 else min(outputs, (keep - outputs) / (degree - 1))


def _by_part(layer: Layer, keep: int) -> list[int]:
    """How many weights each part of a layer keeps: in proportion to its rows."""
    ends = list(accumulate(layer.rows))
    return [after - before for before, after in pairwise([0, *(keep * end // ends[-1] for end in ends)])]


def _places(layer: Layer, kernels: Kernels, kernel: Tensor, cell: Tensor) -> Tensor:
    """Where in the flat weight the cells of kernels lie."""
    inputs, outputs = layer.inputs // layer.groups, layer.outputs // layer.groups
    rows, columns = kernels.rows, kernels.columns
    if layer.transposed:
        places = rows * outputs + columns
    elif layer.groups == 1:
        places = columns * inputs + rows
    else:
        places = (rows // inputs * outputs + columns) * inputs + rows % inputs
    return (places * layer.cells)[kernel] + cell
