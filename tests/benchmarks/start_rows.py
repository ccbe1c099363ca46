# SPDX-License-Identifier: BSD-3-Clause
"""What a person waits for before anything begins, in a fresh interpreter that finds nbflow compiled, as pip leaves it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

from tests.benchmarks.measure import Row, in_turn

_SHELL = "from IPython.testing.globalipapp import start_ipython; shell = start_ipython()"


def _python(*arguments: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=environment)


def start() -> Iterator[Row]:
    """Without the interpreter's own start, and `%load_ext` without IPython's."""
    empty, package, shell, extension, command = in_turn(
        partial(_python, "-c", ""),
        partial(_python, "-c", "import nbflow"),
        partial(_python, "-c", _SHELL),
        partial(_python, "-c", f"{_SHELL}; shell.run_line_magic('load_ext', 'nbflow')"),
        partial(_python, "-m", "nbflow", "--help"),
    )
    yield Row(name="import nbflow", ours=package.wall - empty.wall, against="beyond the interpreter's start", target=0.1)
    yield Row(name="%load_ext nbflow", ours=extension.wall - shell.wall, against="beyond IPython's start", target=0.15)
    yield Row(name="nbflow --help", ours=command.wall, against="from the first to the last moment", target=0.2)
