"""`python -m bench`: every entry, one line each."""

import platform
import warnings

import torch

from bench import counting, pruning
from nodepath.errors import CollapseWarning


def main() -> None:
    warnings.simplefilter("ignore", CollapseWarning)
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{'what':<44} {'seconds':>9} {'reference':>10} {'ratio':>7}  against")
    for entry in (counting, pruning):
        for row in entry.run():
            print(
                f"{row.name:<44} {row.ours:>9.3f} {row.reference:>10.3f} {row.ratio:>7.2f}  {row.against}", flush=True
            )


main()
