"""`python -m bench [entry ...]`: every entry (counting, scale, pruning, npb, methods), one line each."""

import platform
import sys
import warnings

import torch

from bench import counting, methods, npb, pruning, scale
from nodepath.errors import CollapseWarning


def main() -> None:
    warnings.simplefilter("ignore", CollapseWarning)
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{'what':<52} {'ours':>9}    {'reference':>10} {'ratio':>7}  against")
    entries = {"counting": counting, "scale": scale, "pruning": pruning, "npb": npb, "methods": methods}
    for name in sys.argv[1:] or entries:
        for row in entries[name].run():
            numbers = f"{row.ours:>9.3f} {row.unit:<2} {row.reference:>10.3f} {row.ratio:>7.2f}"
            print(f"{row.name:<52} {numbers}  {row.against}", flush=True)


if __name__ == "__main__":
    main()
