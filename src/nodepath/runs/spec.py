"""What a run is of."""

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, JsonValue, field_validator, model_validator

from nodepath.errors import ArgumentError
from nodepath.train import Recipe, Settings

__all__ = ["DENSE", "RunSpec"]

DENSE = "dense"
"""The control: `method="dense"` trains the network unpruned."""

_SEEDS = ("weight_seed", "mask_seed", "order_seed", "augment_seed")
_OWN_FIELDS = ("method", "sparsity", "seed", "bn", "on_collapse")
_NEVER = ("model", "x", "layer_counts", "scores", "batch", "loss")  # arguments of `prune` that no run can be given

Seed = Annotated[int, Field(ge=0, lt=2**63)]
Side = Annotated[int, Field(ge=1)]


def _recipe(value: Any) -> Any:
    return Recipe(**value) if isinstance(value, Mapping) else value


class RunSpec(Settings):
    """All that decides what a run computes: the same spec gives the same record, times apart.

    Raises:
        ArgumentError: A field is unknown, missing, of another type or out of range, or two do not fit each other.
    """

    model: Annotated[str, Field(min_length=1)]
    """As `nodepath.models.create` takes it."""

    data: Annotated[str, Field(min_length=1)]
    """A data set's name or folder, as the user gave it."""

    method: Annotated[str, Field(min_length=1)]
    """A method's name, or "dense": no pruning."""

    options: dict[str, JsonValue] = Field(default_factory=dict)
    """Options of the method by their own names, and of the protocol: scope, include, exclude."""

    sparsity: Annotated[float, Field(ge=0, lt=1)]
    """Fraction of the prunable weights to remove."""

    seed: Seed = 0
    """What the four seeds below are where they are not given."""

    weight_seed: Seed | None = None
    """Of the weights; None: `seed`."""

    mask_seed: Seed | None = None
    """Of the method, and of the images that it scores with; None: `seed`."""

    order_seed: Seed | None = None
    """Of the order of the train images; None: `seed`."""

    augment_seed: Seed | None = None
    """Of their augmentation, and of what the model draws while it trains; None: `seed`."""

    train: Annotated[Recipe, BeforeValidator(_recipe)]
    """How to train."""

    input: Annotated[tuple[Side, Side, Side], Field(strict=False)] | None = None
    """Channels, height and width that the model reads; None: what it is made for, with the channels of the data."""

    num_classes: Annotated[int, Field(ge=1)] | None = None
    """Outputs of the model; None: the classes of the data."""

    label_column: str | None = None
    """Which column holds the labels, where the data set has several."""

    bn: str | None = None
    """BatchNorm while scoring; None: the method's default."""

    on_collapse: Literal["error", "warn", "keep-one"] = "warn"
    """What to do when pruning leaves no path or empties a layer."""

    @field_validator("options")
    @classmethod
    def _own_copy(cls, options: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for name in options:
            if name in _OWN_FIELDS:
                raise ArgumentError(f"options.{name} is a field of the run itself; give it there, not among options")
            if name in _NEVER:
                raise ArgumentError(f"options.{name} is no option of a method; leave it out")
        try:
            copy: dict[str, JsonValue] = json.loads(json.dumps(options, allow_nan=False))
        except ValueError as error:
            raise ArgumentError(f"options={options} hold NaN or infinity ({error}); give finite numbers") from error
        return copy

    @model_validator(mode="after")
    def _dense_is_unpruned(self) -> "RunSpec":
        if self.method == DENSE and (self.sparsity != 0 or self.options):
            raise ArgumentError(
                f"method '{DENSE}' with sparsity={self.sparsity:g} and {len(self.options)} option(s); it prunes "
                "nothing: take sparsity=0 without options, or another method"
            )
        return self

    def seed_of(self, purpose: Literal["weight", "mask", "order", "augment"]) -> int:
        """The seed that counts for a purpose."""
        own: int | None = getattr(self, f"{purpose}_seed")
        return self.seed if own is None else own

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal digits that name the run: of SHA-256 over the canonical JSON.

        Canonical: keys sorted; a field at its default left out, a particular seed equal to `seed` too; a whole number
        written the same with and without a decimal point. So it is the same in any process, in any order of the
        fields, and whether or not defaults are spelled out. Defaults of the method's own options are not known here.
        """
        fields = self.model_dump(mode="json", exclude_defaults=True)
        fields["train"] = self.train.model_dump(mode="json", exclude_defaults=True)
        for name in _SEEDS:
            if fields.get(name) == self.seed:
                del fields[name]
        text = json.dumps(_whole(fields), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def __hash__(self) -> int:
        return int(self.hash, 16)


def _whole(value: Any) -> Any:
    """1.0 as 1, at any depth: they are equal in Python, so two equal specs must not differ by it."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    return value
