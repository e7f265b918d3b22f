"""A real module that runs a list of steps, each of which also says how its units are linked."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from linking import Apply, Function, Kind, Merge
from steering_kinds import Couple, Gate, Hide, Mix, Score
from torch import Tensor, nn


@dataclass
class Step:
    """One value made of others.

    Attributes:
        inputs: The values whose units are linked to those of the made one.
        run: What computes it.
        kind: How the units are linked.
        called_with: What the module hands to `run`, if not `inputs`: for one call that is several steps here.
        virtual: A part of a later call, which the module itself does not run.
        constant: Of its elements, which are other than zero where all inputs are zero.
        takes_maximum: The papers' code takes the largest count.
        writes_first: In place: whoever reads the first input later reads the result.
    """

    inputs: tuple[int, ...]
    run: Callable[..., Tensor]
    kind: Kind
    called_with: tuple[int, ...] | None = None
    virtual: bool = False
    constant: list[bool] = field(default_factory=list)
    takes_maximum: bool = False
    writes_first: bool = False

    @property
    def arguments(self) -> tuple[int, ...]:
        return self.inputs if self.called_with is None else self.called_with


class Program(nn.Module):
    """The first values are the inputs; each step makes one value; the outputs are those listed.

    Attributes:
        shapes: Of each value, without the batch.
        channel_axis: Of the inputs, the first or last; None: each unit is a channel.
    """

    def __init__(self, *shape: int, more: tuple[tuple[int, ...], ...] = (), channel_axis: Literal[0, -1] | None = 0):
        super().__init__()
        self.layers = nn.ModuleDict()
        self.others = nn.ModuleList()
        self.steps: list[Step] = []
        self.shapes: list[tuple[int, ...]] = [shape, *more]
        self.entrances = len(self.shapes)
        self.outputs: tuple[int, ...] = (0,)
        self.shortcuts: set[str] = set()
        self.names = (f"layer{i}" for i in itertools.count())
        self.channel_axis = channel_axis

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        values: list[Tensor | None] = list(inputs)
        for step in self.steps:
            values.append(None if step.virtual else step.run(*(values[i] for i in step.arguments)))
        made = tuple(values[i] for i in self.outputs)
        return made[0] if len(made) == 1 else made

    def example(self) -> tuple[Tensor, ...]:
        return tuple(torch.zeros(1, *shape) for shape in self.shapes[: self.entrances])

    def input_channel(self, which: int, unit: int) -> int:
        """Which channel of an input a unit belongs to."""
        shape = self.shapes[which]
        if self.channel_axis is None:
            return unit
        return unit // math.prod(shape[1:]) if self.channel_axis == 0 else unit % shape[-1]

    @property
    def weights(self) -> dict[str, nn.Parameter]:
        """The prunable parameters, under their first names."""
        used = {id(step.kind.owner) for step in self.steps if isinstance(step.kind, Apply)}
        return {name: weight for name, weight in self.named_parameters() if id(weight) in used}

    # building

    def add_step(self, step: Step, *, constant: bool | None = None) -> int:
        """Append a step.

        Args:
            step: What to append.
            constant: All of its elements, or none, are other than zero where the inputs are zero; None: try.
        """
        self.eval()
        with torch.no_grad():
            made = step.run(*(torch.zeros(1, *self.shapes[i]) for i in step.arguments))
        step.constant = (made != 0 if constant is None else torch.full(made.shape, constant)).flatten().tolist()
        self.steps.append(step)
        self.shapes.append(tuple(made.shape[1:]))
        self.outputs = (len(self.shapes) - 1,)
        return self.outputs[0]

    def layer(self, at: int, module: nn.Module) -> tuple[int, str]:
        name = next(self.names)
        self.layers[name] = module
        return self.again(at, name), name

    def again(self, at: int, name: str) -> int:
        module = self.layers[name]
        return self.add_step(Step((at,), module, Apply(module, module.weight)), constant=module.bias is not None)

    def part(self, at: int, owner: nn.Parameter, part: str, rows: slice, *, bias: bool) -> int:
        """A layer within a later call, whose weights are some rows of a parameter."""
        weight = owner[rows]
        stand_in = nn.Linear(weight.shape[1], weight.shape[0], bias=bias)
        kind = Apply(stand_in, owner, part, rows.start * weight.shape[1])
        return self.add_step(Step((at,), stand_in, kind, virtual=True), constant=bias)

    def norm(self, at: int, module: nn.Module, *, shifts: bool = True) -> int:
        """Anything that is read as the identity though a position's units mix; it may shift what is zero."""
        self.others.append(module)
        return self.add_step(Step((at,), module, Function(lambda x: x)), constant=shifts)

    def function(
        self,
        at: int,
        run: Callable[[Tensor], Tensor],
        *,
        reads: Callable[[Tensor], Tensor] | None = None,
        takes_maximum: bool = False,
        virtual: bool = False,
    ) -> int:
        """Without weights; `reads` is what it stands for, if not itself."""
        if isinstance(run, nn.Module):
            self.others.append(run)
        return self.add_step(Step((at,), run, Function(reads or run), takes_maximum=takes_maximum, virtual=virtual))

    def join(
        self, *at: int, run: Callable[..., Tensor], reads: Callable[..., Tensor] | None = None, in_place: bool = False
    ) -> int:
        return self.add_step(Step(at, run, Merge(reads or run), writes_first=in_place))

    def gate(
        self,
        value: int,
        control: int,
        run: Callable[..., Tensor],
        *,
        called_with: tuple[int, ...] | None = None,
        kills: bool = True,
    ) -> int:
        """A product with a control, or a quotient."""
        step = Step((value, control), run, Gate(kills), called_with)
        return self.add_step(step, constant=False)

    def score(self, q: int, k: int, *, virtual: bool = False) -> int:
        return self.add_step(
            Step((q, k), lambda q, k: q @ k.transpose(-2, -1), Score(), virtual=virtual), constant=False
        )

    def hide(self, scores: int, allowed: Tensor, run: Callable[[Tensor], Tensor], *, virtual: bool = False) -> int:
        """Mask scores; `run` is how the module does it."""
        return self.add_step(Step((scores,), run, Hide(allowed), virtual=virtual), constant=False)

    def softmax(self, scores: int, axis: int = -1, *, virtual: bool = False) -> int:
        step = Step((scores,), lambda x: x.softmax(axis), Couple(axis), virtual=virtual)
        return self.add_step(step, constant=False)

    def mix(
        self,
        control: int,
        value: int,
        *,
        attention: bool = True,
        run: Callable[..., Tensor] = torch.matmul,
        called_with: tuple[int, ...] | None = None,
        virtual: bool = False,
    ) -> int:
        step = Step((control, value), run, Mix(attention), called_with, virtual)
        return self.add_step(step, constant=False)
