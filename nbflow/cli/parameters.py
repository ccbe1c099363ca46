# SPDX-License-Identifier: BSD-3-Clause
"""Parameters as people give them on the command line: `-p`, `-r`, `-f`, with papermill's meaning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from nbflow.core.errors import UserError


def read_parameters(given: Sequence[tuple[str, str]], raw: Sequence[tuple[str, str]], file: Path | None) -> dict[str, Any]:
    """The file's parameters, then `-p` (numbers, true, null and lists are read as such), then `-r` (texts as they stand). Raises UserError."""
    values: dict[str, Any] = {}
    if file is not None:
        values.update(_from_file(file))
    values.update({name: _read(text) for name, text in given})
    values.update(dict(raw))
    for name in values:
        if not str(name).isidentifier():
            raise UserError(f'"{name}" cannot be a parameter: its name must be one of Python, such as day or threshold_2.')
    return values


def typed_texts(given: Sequence[tuple[str, str]], raw: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The values of `-p` and `-r` as typed, for parameters that are declared to be text."""
    return {**dict(given), **dict(raw)}


def _read(text: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    if not isinstance(value, bool | int | float | str | list | dict | None):
        return text  # YAML would read 2026-01-01 as a date; a parameter is what was typed
    return value


def _from_file(file: Path) -> dict[str, Any]:
    try:
        table = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"The parameter file {file} cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise UserError(f"The parameter file {file} cannot be read: it is not UTF-8 text.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", near line {mark.line + 1}" if mark is not None else ""
        raise UserError(
            f"The parameter file {file}{where}, is neither YAML nor JSON: write a line such as day: 2026-01-01 for each parameter."
        ) from None
    if not isinstance(table, dict):
        raise UserError(f"The parameter file {file} must hold names and values, such as day: 2026-01-01.")
    return table
