# SPDX-License-Identifier: BSD-3-Clause
"""Flows of `.py` files: which flow a target such as `sales.py:daily` means, and where in the file a mistake stands.

Importing a file runs it, so this happens in a process of its own (`nbflow/python_trace.py`) unless Python code itself asked for the file.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import re
import sys
import traceback
import types
from pathlib import Path
from typing import Any, Final, NamedTuple

from nbflow.authoring.decorators import FlowFunction
from nbflow.core.errors import Problem, UserError, nearest

#: What a file that cannot be parsed must say to be taken for one that defines flows.
_FLOW: Final = re.compile(r"^\s*@(?:\w+\.)?flow\b", re.MULTILINE)


class Target(NamedTuple):
    """A flow of a file; without a name, its only one."""

    path: Path
    name: str = ""


def read_target(text: str | Path) -> Target | None:
    """`sales.py:daily` or `sales.py`; None for anything else, such as a notebook."""
    path, colon, name = str(text).rpartition(":")
    if colon and path.endswith(".py"):
        return Target(Path(path), name)
    return Target(Path(text)) if str(text).endswith(".py") else None


def defines_flows(path: Path) -> bool:
    """Whether the file seems to define flows, found without running it: it imports nbflow, and has a decorator called flow."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    if "nbflow" not in text:
        return False
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return _FLOW.search(text) is not None
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "nbflow":
            names |= {alias.asname or alias.name for alias in node.names if alias.name == "flow"}
        elif isinstance(node, ast.Import):
            names |= {f"{alias.asname or alias.name}.flow" for alias in node.names if alias.name == "nbflow"}
    decorators = [one for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) for one in node.decorator_list]
    return any(ast.unparse(one.func if isinstance(one, ast.Call) else one) in names for one in decorators)


class Place(NamedTuple):
    """How a file is imported: the name of its module, and the folder that must be on `sys.path`."""

    module: str
    folder: str


def place_of(path: Path) -> Place:
    """A file inside packages is a module of the outermost one."""
    file = path.resolve()
    parts = [] if file.stem == "__init__" else [file.stem]
    folder = file.parent
    while (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
        folder = folder.parent
    return Place(".".join(parts), str(folder))


def import_file(path: Path) -> types.ModuleType:
    """The file as a module, its folder on `sys.path`. Raises UserError when it is not there, and what its code raises."""
    if not path.is_file():
        raise UserError(f"There is no file {path}.")
    place = place_of(path)
    if place.folder not in sys.path:
        sys.path.insert(0, place.folder)
    module = sys.modules.get(place.module)
    if module is None and not _is_taken(place, path):
        return importlib.import_module(place.module)
    if module is not None and _is(module, path):
        return module
    return _load(place.module, path)


def _is_taken(place: Place, path: Path) -> bool:
    """Whether importing that name gives another file."""
    if "." in place.module:
        return False
    spec = importlib.util.find_spec(place.module)
    return spec is None or spec.origin is None or os.path.realpath(spec.origin) != str(path.resolve())


def _is(module: types.ModuleType, path: Path) -> bool:
    return os.path.realpath(getattr(module, "__file__", None) or "") == str(path.resolve())


def _load(name: str, path: Path) -> types.ModuleType:
    """A file whose name another module has, such as `email.py`."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def flows_of(module: types.ModuleType) -> dict[str, FlowFunction[Any, Any]]:
    """The flows a file defines, by the name they have there, in order; those it imports only when it defines none."""
    found = {name: value for name, value in vars(module).items() if isinstance(value, FlowFunction)}
    own = {name: value for name, value in found.items() if value.path and _is(module, Path(value.path))}
    return own or found


def pick(flows: dict[str, FlowFunction[Any, Any]], target: Target) -> FlowFunction[Any, Any]:
    """The flow a target means. Raises UserError naming those there are."""
    file = target.path.name
    if not flows:
        raise UserError(f"{target.path} defines no flow: put @flow above a function that calls tasks.")
    known = ", ".join(f"{file}:{name}" for name in flows)
    if not target.name:
        if len(flows) > 1:
            raise UserError(f"{target.path} defines {len(flows)} flows: say which one, of {known}.")
        return next(iter(flows.values()))
    for name, flow in flows.items():
        if target.name in {name, flow.name}:
            return flow
    raise UserError(f'{target.path} defines no flow "{target.name}".{nearest(target.name, flows)} There is {known}.')


def problem_of(error: BaseException, path: Path) -> Problem:
    """A mistake in a file as a sentence with its line. Only a UserError's text is the whole sentence; others are named."""
    text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}".rstrip(": ")
    if isinstance(error, SystemExit):
        text = 'The file ended the process (SystemExit) when it was imported: put that under if __name__ == "__main__".'
    if isinstance(error, SyntaxError) and error.filename:
        text = f"{type(error).__name__}: {error.msg}"
    file, line = _where(error, path)
    other = f"{file.name}, line {line}: " if file is not None and file != path.resolve() else ""
    return Problem(line=0 if other else line, message=other + text, code="python")


def _where(error: BaseException, path: Path) -> tuple[Path | None, int]:
    """The deepest line of the file on the way to the error; for a SyntaxError, its own."""
    if isinstance(error, SyntaxError) and error.filename:
        return Path(error.filename).resolve(), error.lineno or 0
    here = str(path.resolve())
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if os.path.realpath(frame.f_code.co_filename) == here]
    return (path.resolve(), lines[-1]) if lines else (None, 0)
