# SPDX-License-Identifier: BSD-3-Clause
"""`python -m tests.chaos --seed S` replays one seed and keeps its folder; `--count N` runs N seeds, two at a time, from `--first` on.

With `--machine` the seeds are cases of the state machine alone: thousands in a minute, all in this process.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.chaos import machine
from tests.chaos.harness import Seed
from tests.chaos.surroundings import Databases, databases


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--machine", action="store_true")
    options = parser.parse_args()
    seeds = [options.seed] if options.seed is not None else range(options.first, options.first + options.count)
    if options.machine:
        return machine.run(seeds, _say)
    failed = []
    with databases() as made, ThreadPoolExecutor(options.at_once) as pool:
        for seed, (found, story, folder) in zip(seeds, pool.map(partial(_run, databases=made), seeds), strict=True):
            if found:
                failed.append(seed)
            if found or options.seed is not None:
                _say(f"seed {seed} in {folder}", *story, *(found or ["all is well"]))
            else:
                shutil.rmtree(folder, ignore_errors=True)
    _say(f"{len(seeds) - len(failed)} of {len(seeds)} seeds are well.", *(f"python -m tests.chaos --seed {seed}" for seed in failed))
    return 1 if failed else 0


def _say(*lines: str) -> None:
    sys.stdout.write("\n  ".join(lines) + "\n")
    sys.stdout.flush()


def _run(seed: int, *, databases: Databases) -> tuple[list[str], list[str], Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"nbflow-chaos-{seed}-"))
    one = Seed(seed, folder, databases)
    return one.run(), one.told, folder


if __name__ == "__main__":
    sys.exit(main())
