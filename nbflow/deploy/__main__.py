# SPDX-License-Identifier: BSD-3-Clause
"""`python -m nbflow.deploy systemd | compose`: print the file, for this environment and this person."""

from __future__ import annotations

import getpass
import sys
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Final

_FILES: Final = {"systemd": "nbflow-scheduler.service", "compose": "docker-compose.yml"}


def text_of(what: str) -> str:
    """The file of that kind, filled in."""
    template = files("nbflow.deploy").joinpath(_FILES[what]).read_text(encoding="utf-8")
    return Template(template).safe_substitute(python=sys.executable, user=getpass.getuser(), folder=str(Path.cwd()))


def main(words: list[str]) -> int:
    """Returns the exit code."""
    if len(words) != 1 or words[0] not in _FILES:
        print(f"nbflow: say which file: python -m nbflow.deploy {' | '.join(_FILES)}", file=sys.stderr)  # noqa: T201 - a command's answer
        return 2
    print(text_of(words[0]), end="")  # noqa: T201 - as above
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
