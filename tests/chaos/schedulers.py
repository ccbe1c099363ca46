# SPDX-License-Identifier: BSD-3-Clause
"""Schedulers under fire: `python -m tests.chaos.schedulers [--seed S] [--count N] [--runs 200] [--seconds 60] [--database sqlite|postgresql] ...`.

Two or three real schedulers on one database, SQLite or a PostgreSQL server that is started here. While the runs come due, schedulers, hosts,
workers, Dask's scheduler and processes of user code are killed and stopped at random, and connections to the database dropped. Afterwards each due
date has exactly one run, every run has ended as its flow ends, no task ran again that had succeeded, and no pool and no flow had more at once than may be; a webhook and a mail server were told of each end once.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.chaos.storm import Storm, Weather
from tests.chaos.surroundings import databases


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.schedulers")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000, help="the first one")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--schedulers", type=int, default=0, help="(default: 2 or 3, by the seed)")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="", help="(default: by the seed)")
    parser.add_argument("--cluster", choices=["local", "foreign"], default="", help="(default: by the seed)")
    options = parser.parse_args()
    weather = Weather(
        runs=options.runs, seconds=options.seconds, schedulers=options.schedulers, database=options.database, cluster=options.cluster
    )
    failed = []
    with ExitStack() as stack:
        made = stack.enter_context(databases()) if options.database != "sqlite" else None
        for seed in range(options.seed, options.seed + options.count):
            folder = Path(tempfile.mkdtemp(prefix=f"nbflow-storm-{seed}-"))
            storm = Storm(seed, folder, weather, made)
            began = time.monotonic()
            found = storm.run()
            _say(f"{storm.summary}; over after {time.monotonic() - began:.0f} s: {'not well' if found else 'all is well'}")
            if found:
                weather_said = (
                    f"--schedulers {storm.weather.schedulers} --database {storm.weather.database} --cluster {storm.weather.cluster}"
                )
                size = f"--runs {options.runs} --seconds {options.seconds}"
                failed.append(f"python -m tests.chaos.schedulers --seed {seed} {size} {weather_said}")
                _say(f"in {folder}", *storm.told, *found)
            else:
                shutil.rmtree(folder, ignore_errors=True)
    _say(f"{options.count - len(failed)} of {options.count} storms are well.", *failed)
    return 1 if failed else 0


def _say(*lines: str) -> None:
    sys.stdout.write("\n  ".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
