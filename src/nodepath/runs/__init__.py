"""One training with its record: what was asked, where it was done, what came out."""

from nodepath.runs.execute import execute
from nodepath.runs.network import network_for
from nodepath.runs.record import Record, read_records, unfinished
from nodepath.runs.score_batch import score_batch_for
from nodepath.runs.side_by_side import execute_all
from nodepath.runs.spec import DENSE, RunSpec

__all__ = [
    "DENSE",
    "Record",
    "RunSpec",
    "execute",
    "execute_all",
    "network_for",
    "read_records",
    "score_batch_for",
    "unfinished",
]
