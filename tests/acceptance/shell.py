# SPDX-License-Identifier: BSD-3-Clause
"""A terminal in an empty folder, and what a person sees of a command that ended."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat

PYTHON = {"name": "python3", "display_name": "Python 3", "language": "python"}
R_KERNEL = {"name": "ir", "display_name": "R", "language": "R"}
RUN = "%nbflow run"
#: Seconds after which something hangs.
PATIENCE = 120


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What a person sees of a command that ended."""

    code: int
    out: str
    err: str

    def says(self, sentence: str, code: int) -> None:
        """stderr is this sentence and nothing else, and the exit code is right."""
        assert (self.err.strip(), self.code) == (f"nbflow: {sentence}", code)

    def ends_with(self, sentence: str, code: int) -> None:
        """The last line of stderr is this sentence; nothing on the screen comes from inside nbflow."""
        assert (self.err.strip().splitlines() or [""])[-1] == f"nbflow: {sentence}"
        assert self.code == code
        self.shows_no_internals()

    def shows_no_internals(self) -> None:
        assert "site-packages" not in self.out + self.err
        assert "/nbflow/" not in self.err
        assert 'File "' not in self.err


@dataclass(frozen=True)
class Shell:
    """A terminal in an empty folder, with a home of nbflow."""

    folder: Path
    environment: dict[str, str]

    def nbflow(self, *arguments: str | Path, **variables: str) -> Ended:
        return self.run(sys.executable, "-m", "nbflow", *arguments, **variables)

    def run(self, *command: str | Path, **variables: str) -> Ended:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=self.folder,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return Ended(code=done.returncode, out=done.stdout, err=done.stderr)

    def write(self, name: str, text: str) -> Path:
        (self.folder / name).write_text(text, encoding="utf-8")
        return self.folder / name

    def notebook(self, *cells: str, name: str = "sales.ipynb", kernel: dict[str, str] = PYTHON, parameters: str = "") -> Path:
        made = [nbformat.v4.new_code_cell(source) for source in ("%load_ext nbflow", *cells)]
        if parameters:
            made.insert(0, nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
        nbformat.write(nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": kernel}), self.folder / name)
        return self.folder / name

    def latest(self) -> dict:
        return json.loads(self.nbflow("runs", "show", "latest", "--json").out)
