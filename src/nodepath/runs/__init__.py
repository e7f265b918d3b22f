"""One training with its record: what was asked, where it was done, what came out."""

from nodepath.runs.execute import execute
from nodepath.runs.record import Record, read_records, unfinished
from nodepath.runs.spec import DENSE, RunSpec

__all__ = ["DENSE", "Record", "RunSpec", "execute", "read_records", "unfinished"]
