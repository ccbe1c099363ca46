# SPDX-License-Identifier: BSD-3-Clause
"""Which version of a module stands here: of an installed package its number, of a file beside the notebook its meaning."""

from __future__ import annotations

import hashlib
import platform
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Final

from nbflow import __version__
from nbflow.core.job import CaptureSet
from nbflow.core.model import Flow
from nbflow.core.sources import Source, read_python


@lru_cache(maxsize=1)
def python_version() -> str:
    """`3.12`: the same code gives the same within one of these."""
    return ".".join(platform.python_version_tuple()[:2])


#: Quicker than reading code as Python, and enough to name what may be imported.
_IMPORTS: Final = re.compile(r"^[ \t]*(?:import|from)[ \t]+([A-Za-z_]\w*)", re.MULTILINE)


def environment_of(flow: Flow, captures: CaptureSet) -> dict[str, str]:
    """What a run stands on: the versions of Python, of nbflow, and of what its cells, functions and captured names import."""
    taken = [*captures.names.values(), *(one for early in captures.early.values() for one in early.values())]
    texts = {task.source for task in flow.tasks} | {capture.source for capture in taken if capture.source}
    modules = {name for text in texts for name in _IMPORTS.findall(text)}
    modules |= {capture.module.partition(".")[0] for capture in taken if capture.module}
    found = versions_of(modules, [folder for folder in (*captures.process.sys_path, captures.process.cwd) if folder])
    short = {name: version[:12] if len(version) == 64 else version for name, version in found.items()}
    return {**short, "python": platform.python_version(), "nbflow": __version__}


def versions_of(modules: Iterable[str], path: Sequence[str] = ()) -> dict[str, str]:
    """The version of Python and of each of these top-level modules; `path` are the folders whose files are the person's own."""
    found = {"python": python_version()}
    for module in sorted(set(modules)):
        version = _own_version(module, tuple(path)) or _installed_version(module)
        if version:
            found[module] = version
    return found


@lru_cache(maxsize=1024)
def _installed_version(module: str) -> str:
    """ "" for the standard library and for what is not installed."""
    if module in sys.stdlib_module_names or module == "__main__":
        return ""
    try:
        return metadata.version(module)
    except metadata.PackageNotFoundError:
        names = _distributions().get(module, ())
        return " ".join(f"{name} {metadata.version(name)}" for name in sorted(set(names)))


@lru_cache(maxsize=1)
def _distributions() -> Mapping[str, list[str]]:
    """Slow, so only for modules that are not called like their package."""
    return metadata.packages_distributions()


def _own_version(module: str, path: tuple[str, ...]) -> str:
    """A hash over the module's files, and those of its neighbours that it imports, when it stands in one of these folders."""
    if not _find(module, path):
        return ""
    digest, waiting, seen = hashlib.sha256(), [module], {module}
    while waiting:
        for file in _find(waiting.pop(), path):
            source = _read(str(file), file.stat().st_mtime_ns, file.stat().st_size)
            digest.update(source.normal.encode("utf-8", "surrogatepass"))
            waiting += sorted(source.modules - seen)
            seen |= source.modules
    return digest.hexdigest()


def _find(module: str, path: tuple[str, ...]) -> list[Path]:
    """The files of a module in the first of these folders that has it."""
    for folder in path:
        single, package = Path(folder, f"{module}.py"), Path(folder, module)
        if single.is_file():
            return [single]
        if (package / "__init__.py").is_file():
            return sorted(package.rglob("*.py"))
    return []


@lru_cache(maxsize=2048)
def _read(file: str, changed: int, size: int) -> Source:
    """`changed` and `size` tell a file from what it was before."""
    del changed, size
    try:
        return read_python(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return Source(normal=file)
