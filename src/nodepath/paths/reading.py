"""What one walk through a model tells about it as a graph."""

from collections.abc import Mapping
from functools import cached_property
from itertools import pairwise

from torch import nn

from nodepath.errors import NothingPrunableError
from nodepath.paths.graph import projection_shortcuts
from nodepath.paths.layer import Layer
from nodepath.paths.site import Site
from nodepath.paths.tracer import PathTracer, usual_axis

__all__ = ["Reading"]

_LAYERS = (nn.Linear, nn.modules.conv._ConvNd)


class Reading:
    """A model as a graph.

    Args:
        model: Whose walk it is.
        parameters: The model's, by name.
        walk: The tracer of a walk that reads.
        embedded: Parameter id -> name of what an embedding owns.

    Attributes:
        layers: Parameter name -> layer, in the order of first use.
        steers: Whether products of activations steer paths.
        takes_maxima: Whether maxima over windows are taken.
        tied: Linear weights that an embedding owns; they are not prunable.

    Raises:
        NothingPrunableError: No Linear or convolution weight is used.
    """

    def __init__(
        self, model: nn.Module, parameters: Mapping[str, nn.Parameter], walk: PathTracer, embedded: Mapping[int, str]
    ) -> None:
        self._model, self._parameters = model, parameters
        self._source_dims = [len(shape) for shape in walk.source_shapes]
        self._sites = walk.sites
        self.fingerprint = walk.fingerprint
        self.layers = _layers(walk, parameters)
        self.steers = walk.switch.used
        self.takes_maxima = walk.takes_maxima
        self.tied = frozenset(embedded[id(site.weight)] for site in walk.sites if id(site.weight) in embedded)
        if not self.layers:
            raise NothingPrunableError(
                f"{type(model).__name__} has nothing to prune: its forward pass uses no Linear or convolution "
                "weight; check that the example input takes the way of real data"
            )

    @cached_property
    def unused(self) -> tuple[str, ...]:
        """Weights of Linear and convolution layers that the forward pass never uses, or on constants alone."""
        owned = set()
        for module in self._model.modules():
            if isinstance(module, _LAYERS):
                owned.add(id(module.weight))
            elif isinstance(module, nn.MultiheadAttention):
                owned |= {id(w) for w in module.parameters(recurse=False) if w.ndim == 2}
        used = self.layers.keys() | self.tied
        return tuple(name for name, p in self._parameters.items() if id(p) in owned and name not in used)

    @cached_property
    def input_axes(self) -> tuple[int | None, ...]:
        """Of each input, the axis whose entries are its channels; None: each unit is one.

        Image channels for convolutions and for a Linear that reads patches of an image, features for one that reads
        them on an axis of their own, and each unit where the first prunable layer reads a flattened input.
        """
        found: list[set[int | None]] = [set() for _ in self._source_dims]
        for site in self._sites:
            for number, axis in site.reads if site.name is not None else ():
                patches = axis is None and site.positions > 1 and self._source_dims[number] > 3
                found[number].add(1 if patches else axis)
        return tuple(
            axes.pop() if len(axes) == 1 else None if axes else usual_axis(dims)
            for axes, dims in zip(found, self._source_dims, strict=True)
        )

    @property
    def usual(self) -> bool:
        """Whether the channels of all inputs lie where they usually do."""
        return self.input_axes == tuple(map(usual_axis, self._source_dims))


def _layers(tracer: PathTracer, parameters: Mapping[str, nn.Parameter]) -> dict[str, Layer]:
    shortcuts = projection_shortcuts(tracer.graph)
    by_name: dict[str, list[Site]] = {}
    for site in tracer.sites:
        if site.name is not None:
            by_name.setdefault(site.name, []).append(site)
    layers = {}
    for name, sites in by_name.items():
        shape, geometry = tuple(parameters[name].shape), sites[0].geometry
        starts = sorted({0, *(site.first_row for site in sites)})
        layers[name] = Layer(
            name=name,
            shape=shape,
            groups=geometry.groups,
            transposed=geometry.transposed,
            linear=geometry.linear,
            rows=tuple(end - start for start, end in pairwise([*starts, shape[0]])),
            positions=tuple(sum(s.positions for s in sites if start in s.row_range) for start in starts),
            shortcut=name in shortcuts,
        )
    return layers
