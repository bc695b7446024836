"""`python -m tests.fuzz --seconds 300 --family readers shards --first 0 --output fuzz-faults`, or without any of it.

The exit code is 1 where a fault was found.
"""

import argparse
import sys
from pathlib import Path

from corpusmill.pipelines import kernels


def main() -> int:
    kernels.configure()
    from tests.fuzz.families import FAMILIES
    from tests.fuzz.hunt import hunt, keep

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=float, default=300, help="for all families together")
    parser.add_argument("--family", nargs="*", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--first", type=int, default=0, help="number of the first case of each family")
    parser.add_argument("--output", type=Path, default=Path("fuzz-faults"), help="where faults are kept")
    given = parser.parse_args()
    faults = 0
    for family in given.family:
        hunted = hunt(family, given.seconds / len(given.family), given.first)
        faults += len(hunted.faults)
        print(f"{family}: {hunted.cases:,} cases, {len(hunted.faults)} kinds of fault", flush=True)
        for (kind, (number, _)), folder in zip(hunted.faults.items(), keep(hunted, given.output), strict=True):
            print(f"  {kind}, first in case {number}: {folder}", flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
