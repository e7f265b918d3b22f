"""One mask, and how it trained, as a flat row: what every view is made from."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from nodepath.errors import ArgumentError, RunError

__all__ = ["Row", "rows_from_results"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One mask: its topology and, if it was trained, its accuracy.

    Attributes:
        model: Name of the network.
        data: Name of the data set; "" where none was used.
        method: Name of the method; "dense" is the control with all weights.
        sparsity: Fraction of prunable weights asked to be removed, in [0, 1).
        seed: Seed of the run, if it has one.
        accuracy_last: Fraction of test samples right after the last epoch; None if not trained.
        accuracy_best: The highest such fraction of any epoch: a maximum over the test set, hence optimistic.
        seconds: Wall time.
        convention: Which nodes count: "exact" or "paper".
        log10_paths: log10 of the number of effective paths; -inf for none.
        path_ratio: log10 paths over those of the dense network; 0.0 for no path.
        nodes: Effective nodes.
        node_ratio: Effective nodes over all nodes.
        effective_width: Sum over the layers of exp(entropy of the nodes' path shares).
        position: log paths / (log paths + sum over layers of log effective width); NaN for no path.
        effective_sparsity: Sparsity counted on the weights that lie on a path.
        macs: Multiply-adds of one sample that the kept weights take.
        dense_macs: The same for all weights; None if it cannot be told.
        setting: What else tells trainings apart (epochs, options ...); rows with different ones are never averaged.
    """

    model: str
    method: str
    sparsity: float
    log10_paths: float
    path_ratio: float
    nodes: int
    node_ratio: float
    effective_width: float
    position: float
    effective_sparsity: float
    macs: int
    dense_macs: int | None = None
    data: str = ""
    seed: int | None = None
    accuracy_last: float | None = None
    accuracy_best: float | None = None
    seconds: float | None = None
    convention: str = "exact"
    setting: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.sparsity < 1:
            raise ArgumentError(f"{self.place} has sparsity {self.sparsity}; it must lie in [0, 1)")
        for name in ("accuracy_last", "accuracy_best"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ArgumentError(f"{self.place} has {name} {value}; give a fraction in [0, 1]")

    @property
    def place(self) -> str:
        """Which row this is, for messages."""
        return f"the row of model '{self.model}', method '{self.method}', seed {self.seed}"

    @property
    def collapsed(self) -> bool:
        """Whether no path is left."""
        return self.log10_paths == -math.inf

    @property
    def mac_ratio(self) -> float | None:
        """Multiply-adds over those of the dense network."""
        return self.macs / self.dense_macs if self.dense_macs else None

    def to_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON; -inf and NaN become null."""
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in asdict(self).items()
        }


def rows_from_results(
    results: Iterable[Mapping[str, Any]], *, convention: Literal["exact", "paper"] = "exact"
) -> list[Row]:
    """Flatten the results of runs, or of `compare`, which have no accuracy.

    Args:
        results: Each like a run's `result.json`: `model`, `method`, `sparsity` and `topology` (or
            `topology_paper`, as `Topology.to_dict` gives them); if known `data`, `seed`, `accuracy_last`,
            `accuracy_best` (fractions), `seconds` and `setting`.
        convention: "exact" reads `topology`, "paper" `topology_paper`.

    Returns:
        One row a result, in their order.

    Raises:
        RunError: A result lacks a value or has one of a wrong kind; names the result and the key.
        ArgumentError: A sparsity or an accuracy is outside its range; or an unknown convention.
    """
    keys = {"exact": "topology", "paper": "topology_paper"}
    if convention not in keys:
        raise ArgumentError(f"convention {convention!r} is unknown; known: exact, paper")
    results = list(results)
    topologies = [_topology(result, keys[convention], index) for index, result in enumerate(results)]
    return [
        _row(result, topology, index) for index, (result, topology) in enumerate(zip(results, topologies, strict=True))
    ]


def _topology(result: Mapping[str, Any], key: str, index: int) -> Mapping[str, Any]:
    topology = result.get(key)
    if not isinstance(topology, Mapping):
        raise RunError(f"result {index} has no '{key}'; give what `Topology.to_dict()` returns")
    return topology


def _row(result: Mapping[str, Any], topology: Mapping[str, Any], index: int) -> Row:
    try:
        return Row(
            model=str(result["model"]),
            data=str(result.get("data") or ""),
            method=str(result["method"]),
            sparsity=float(result["sparsity"]),
            seed=result.get("seed"),
            accuracy_last=_number(result.get("accuracy_last")),
            accuracy_best=_number(result.get("accuracy_best")),
            seconds=_number(result.get("seconds")),
            convention=str(topology.get("convention", "exact")),
            log10_paths=-math.inf if topology["log10_paths"] is None else float(topology["log10_paths"]),
            path_ratio=float(topology["path_ratio"]),
            nodes=int(topology["nodes"]),
            node_ratio=float(topology["node_ratio"]),
            effective_width=float(topology["effective_width"]),
            position=math.nan if topology["position"] is None else float(topology["position"]),
            effective_sparsity=float(topology["effective_sparsity"]),
            macs=int(topology["macs"]),
            dense_macs=topology.get("dense_macs"),
            setting=str(result.get("setting") or ""),
        )
    except KeyError as error:
        raise RunError(f"result {index} has no '{error.args[0]}'; run it again, or leave it out") from error
    except TypeError as error:
        raise RunError(
            f"result {index} has a value of a wrong kind ({error}); run it again, or leave it out"
        ) from error


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
