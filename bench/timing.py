"""Time two things in turn, so that a machine that slows down slows both."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True)
class Comparison:
    """Ours and what it is held against; of times, medians of interleaved repeats."""

    name: str
    ours: float
    reference: float
    against: str
    unit: str = "s"

    @property
    def ratio(self) -> float:
        """Ours over the reference."""
        return self.ours / self.reference


def compare(
    name: str, ours: Callable[[], object], reference: Callable[[], object], against: str, repeats: int = 5
) -> Comparison:
    """Run both once to warm up, then in turn."""
    ours(), reference()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for run, into in zip((ours, reference), times, strict=True):
            began = time.perf_counter()
            run()
            into.append(time.perf_counter() - began)
    return Comparison(name, median(times[0]), median(times[1]), against)
