# SPDX-License-Identifier: BSD-3-Clause
"""What a person waits for before anything begins, in a fresh interpreter that finds nbflow compiled, as pip leaves it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from statistics import median

from tests.benchmarks.measure import Row, median_seconds

_SHELL = "from IPython.testing.globalipapp import start_ipython; shell = start_ipython()"
_TIMED = "{before}; import time; began = time.perf_counter(); {what}; print('took', time.perf_counter() - began)"
#: Fresh interpreters for each row.
_TIMES = 7


def _python(*arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.PIPE, env=environment, text=True).stdout


def _inside(what: str, before: str = "pass") -> float:
    """Seconds that `what` takes in a fresh interpreter, by its own clock; the median. What starting one takes varies by more than that."""
    program = _TIMED.format(before=before, what=what)
    return median(float(_python("-c", program).rpartition("took ")[2]) for _ in range(_TIMES))


def start() -> Iterator[Row]:
    """The first two without what stands before them: the interpreter's start, and IPython's."""
    yield Row(name="import nbflow", ours=_inside("import nbflow"), against="beyond the interpreter's start", target=0.1)
    loading = _inside("shell.run_line_magic('load_ext', 'nbflow')", _SHELL)
    yield Row(name="%load_ext nbflow", ours=loading, against="beyond IPython's start", target=0.15)
    yield Row(
        name="nbflow --help",
        ours=median_seconds(partial(_python, "-m", "nbflow", "--help")),
        against="from the first to the last moment",
        target=0.2,
    )
