# SPDX-License-Identifier: BSD-3-Clause
"""The modules beside a notebook that it imports, directly or through each other: what a stored version needs besides its cells."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from nbflow.authoring.magics import plain_cell
from nbflow.authoring.notebook_file import CellSource
from nbflow.core.errors import UserError


def local_modules(cells: Iterable[CellSource], folder: Path) -> dict[str, bytes]:
    """The files of the modules below `folder`, by their path from there, with `/`. Raises UserError when one cannot be read."""
    return _with_all_they_import(
        [name for cell in cells if cell.kind == "code" for name in _imported(_parsed(_body(cell.source)), "")], folder
    )


def modules_of_file(path: Path, folder: Path) -> dict[str, bytes]:
    """As `local_modules`, for what a `.py` file imports; the packages it stands in are among them, the file itself is not. Raises UserError."""
    package = ".".join(path.relative_to(folder).parent.parts)
    waiting = [package, *_imported(_parsed_module(_read(path), path), package)]
    found = _with_all_they_import(waiting, folder)
    found.pop(path.relative_to(folder).as_posix(), None)
    return found


def _with_all_they_import(waiting: list[str], folder: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if not name or name in seen:
            continue
        seen.add(name)
        for path in _files(name, folder):
            key = path.relative_to(folder).as_posix()
            if key in found:
                continue
            found[key] = _read(path)
            package = ".".join(path.relative_to(folder).parent.parts)
            waiting += _imported(_parsed_module(found[key], path), package)
    return dict(sorted(found.items()))


def _body(source: str) -> str:
    """A task's cell without its `%%task` line; what other magics hide is no Python of this process."""
    first, _, rest = source.lstrip().partition("\n")
    return rest if first.startswith("%%task") else source


def _parsed(source: str) -> ast.AST:
    try:
        return plain_cell(source).tree
    except SyntaxError:
        return ast.Module(body=[], type_ignores=[])


def _parsed_module(data: bytes, path: Path) -> ast.AST:
    try:
        return ast.parse(data, filename=str(path))
    except (SyntaxError, ValueError):
        return ast.Module(body=[], type_ignores=[])  # importing it says what is wrong, in the run


def _imported(tree: ast.AST, package: str) -> Iterator[str]:
    """The dotted names of everything that may be a module; `package` is where relative imports start."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".") if package else []
                above = parts[: len(parts) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            if base:
                yield base
            for alias in node.names:
                yield f"{base}.{alias.name}" if base else alias.name


def _files(name: str, folder: Path) -> Iterator[Path]:
    """The files importing `name` executes, as far as they are below `folder`."""
    here = folder
    for part in name.split("."):
        if not part.isidentifier():
            return
        if (here / part / "__init__.py").is_file():
            yield here / part / "__init__.py"
        elif (here / f"{part}.py").is_file():
            yield here / f"{part}.py"
            return
        elif not (here / part).is_dir():
            return
        here /= part


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"The module {path} cannot be read: {error.strerror or error}.") from None
