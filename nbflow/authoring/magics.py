# SPDX-License-Identifier: BSD-3-Clause
"""A cell as plain Python: magics whose argument is Python are unwrapped, the others are left to IPython's own transformer.

Lines keep their numbers, so that a problem can name its line.
"""

from __future__ import annotations

import ast
import re
import shlex
import warnings
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

#: Cell magics whose body is Python that runs in the notebook's namespace.
PYTHON_CELL_MAGICS: Final = frozenset({"time", "capture", "prun", "memit", "mprun", "lprun", "timeit", "task"})
#: Of these, whose body runs in a function: what it binds is gone afterwards.
_RUNS_APART: Final = frozenset({"timeit", "memit"})
_CELL_MAGIC = re.compile(r"\A\s*%%(?P<name>\w+)[ \t]*(?P<line>[^\n]*)(?:\n|\Z)(?P<body>.*)\Z", re.DOTALL)
_LINE_MAGIC = re.compile(
    r"^(?P<indent>[ \t]*)(?P<target>[\w., \t]+?=[ \t]*)?%(?P<name>time|timeit|prun|memit|lprun)\b"
    r"(?P<flags>(?:[ \t]+-\w+(?:[ \t]+\d+)?)*)[ \t]+(?P<code>[^\s-].*)$",
    re.MULTILINE,
)
_LOOKS_MAGIC = re.compile(r"[%!?]|^[ \t]*(?:>>>|In \[|[,;/])", re.MULTILINE)
_INTERPOLATED = re.compile(r"(?<!\$)\$(?P<name>[A-Za-z_]\w*)|\{(?P<expression>[^{}]+)\}")
_FLAGS: Final = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


@dataclass
class PlainCell:
    """The cell as a syntax tree, and what its magics said."""

    tree: ast.Module
    source: str = ""
    #: Bound by a magic: `%%capture out`, `%%bash --out lines`, `%store -r x`.
    writes: list[str] = field(default_factory=list)
    #: What the magics' own words interpolate: `!ls {folder} $name`.
    reads: list[str] = field(default_factory=list)
    magics: list[str] = field(default_factory=list)
    #: Whatever it binds is gone afterwards (`%%timeit`).
    runs_apart: bool = False


def plain_cell(source: str) -> PlainCell:
    """Raises SyntaxError, with the line of the cell, when the cell is neither Python nor IPython."""
    cell = PlainCell(tree=ast.Module(body=[], type_ignores=[]))
    python = _unwrap(source, cell)
    if python is None:
        return cell
    cell.source = python
    try:
        cell.tree = _parse(python)
    except SyntaxError:
        if not _LOOKS_MAGIC.search(python) and not python[:1].isspace():
            raise
        unwrapped = _LINE_MAGIC.sub(_unwrap_line, python)
        cell.source = _as_ipython_sees_it(unwrapped)
        cell.tree = _parse(cell.source)
    return cell


def _parse(python: str) -> ast.Module:
    with warnings.catch_warnings(action="ignore"):  # "\\d" in a text: said when the cell runs
        tree: Any = compile(python, "<cell>", "exec", _FLAGS, dont_inherit=True)
    assert isinstance(tree, ast.Module)
    return tree


def _unwrap(source: str, cell: PlainCell) -> str | None:
    """The cell without leading cell magics, whose lines become empty; None when its body is no Python."""
    removed = 0
    while found := _CELL_MAGIC.match(source):
        name, line = found["name"], found["line"]
        cell.magics.append(f"%%{name}")
        cell.reads += interpolated(line)
        cell.writes += _bound_by_cell_magic(name, line)
        if name not in PYTHON_CELL_MAGICS:
            return None
        cell.runs_apart |= name in _RUNS_APART
        removed += source[: found.start("body")].count("\n") if found["body"] else 0
        source = found["body"]
        if name == "timeit" and line.strip() and not line.strip().startswith("-"):
            source = f"{line}\n{source}"
            removed -= 1
    return "\n" * removed + source


def _bound_by_cell_magic(name: str, line: str) -> list[str]:
    words = _words(line)
    if name == "capture":
        return [word for word in words if not word.startswith("-") and word.isidentifier()][:1]
    bound = [words[place + 1] for place, word in enumerate(words[:-1]) if word in {"--out", "--err", "--proc"}]
    bound += [word.partition("=")[2] for word in words if word.startswith(("--out=", "--err=", "--proc="))]
    return [word for word in bound if word.isidentifier()]


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _unwrap_line(found: re.Match[str]) -> str:
    """`%time x = f()` is `x = f()`; the code of `%timeit` runs apart, so only what it reads is kept."""
    target = found["target"] or ""
    code = found["code"]
    if target or found["name"] in {"timeit", "memit"}:
        try:
            ast.parse(code.strip(), mode="eval")
        except SyntaxError:
            return f"{found['indent']}{target}(lambda: 0)" if target else found["indent"] + code
        code = f"({code.strip()})"
    return f"{found['indent']}{target}{code}"


def _as_ipython_sees_it(source: str) -> str:
    with warnings.catch_warnings(action="ignore"):  # about its own tokens
        return str(_transformer().transform_cell(source))


@cache
def _transformer() -> Any:
    from IPython.core.inputtransformer2 import TransformerManager  # noqa: PLC0415 - only cells with magics need IPython

    return TransformerManager()


def interpolated(text: str) -> list[str]:
    """The names that `$name` and `{expression}` in a magic's words refer to; `{print $1}` and other languages' braces are none."""
    names: list[str] = []
    for found in _INTERPOLATED.finditer(text):
        try:
            tree = ast.parse((found["name"] or found["expression"]).strip(), mode="eval")
        except SyntaxError:
            continue
        names += [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return names


@dataclass(frozen=True)
class MagicCall:
    """A magic as IPython's transformer writes it: `get_ipython().run_line_magic("run", "script.py")`."""

    kind: str
    words: tuple[str, ...]

    @property
    def label(self) -> str:
        """`%run`, `!`, `%%bash`."""
        name = self.words[0] if self.words else ""
        return {"run_line_magic": f"%{name}", "run_cell_magic": f"%%{name}"}.get(self.kind, "!")

    @property
    def reads(self) -> list[str]:
        return interpolated(" ".join(self.words if self.label == "!" else self.words[1:2]))

    @property
    def writes(self) -> list[str]:
        """`%store -r name` binds names; other line magics bind none that their words tell."""
        if self.label == "%store" and len(self.words) > 1 and "-r" in self.words[1].split():
            return [word for word in self.words[1].split() if word.isidentifier()]
        if self.kind == "run_cell_magic":
            return _bound_by_cell_magic(self.words[0], self.words[1] if len(self.words) > 1 else "")
        return []

    @property
    def binds_anything(self) -> bool:
        """It may bind any name: `%run script.py`, `%pylab`."""
        return self.label in {"%run", "%pylab", "%load", "%store"} and not self.writes


def magic_call(node: ast.Call) -> MagicCall | None:
    """The magic this call is, or None."""
    match node.func:
        case ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr=kind):
            return MagicCall(
                kind, tuple(word.value for word in node.args if isinstance(word, ast.Constant) and isinstance(word.value, str))
            )
    return None
