# SPDX-License-Identifier: BSD-3-Clause
"""What a file would be stored as: a notebook, or the flows of a `.py` file, with the modules beside it that it imports."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbflow.app.tracing import located, trace_file
from nbflow.authoring.python_file import Target, place_of, read_target
from nbflow.core.errors import UserError
from nbflow.core.ids import TaskId, slug
from nbflow.core.model import Flow, Task
from nbflow.operators.notebook_marks import says_nbflow

if TYPE_CHECKING:
    from nbflow.app.workspace import Workspace
    from nbflow.authoring.notebook_file import NotebookFile


@dataclass(frozen=True, kw_only=True)
class Read:
    """A flow, as it would be stored."""

    flow: Flow
    #: The notebook or the file it is written in.
    source: bytes
    #: The modules it imports, by their path from `root`.
    files: Mapping[str, bytes]
    #: The folder that imports begin in.
    root: Path


@dataclass(frozen=True, kw_only=True)
class ReadFile:
    """The flows of a `.py` file."""

    reads: tuple[Read, ...]
    #: Those that cannot be deployed as they are: name -> a sentence.
    broken: Mapping[str, str] = field(default_factory=dict)


def read_flow(workspace: Workspace, path: Path | str) -> Read:
    """What a notebook, or one flow of a `.py` file, would be stored as. Raises UserError, FlowError."""
    found = read_flows(workspace, path)
    if len(found) > 1:
        file = Path(path).name
        raise UserError(f"{path} defines {len(found)} flows: say which one, of {', '.join(f'{file}:{one.flow.name}' for one in found)}.")
    return found[0]


def read_flows(workspace: Workspace, path: Path | str) -> tuple[Read, ...]:
    """As `read_flow`, of every flow of a `.py` file when the path names none. Raises UserError, FlowError."""
    target = read_target(path)
    if target is None:
        return (_read_notebook(workspace, Path(path).resolve()),)
    found = read_python(workspace, target)
    for sentence in found.broken.values():
        raise UserError(sentence)
    return found.reads


def read_python(
    workspace: Workspace, target: Target, params: Mapping[str, Any] | None = None, is_wanted: Callable[[], bool] | None = None
) -> ReadFile:
    """The flows of a file, or the one that the target names, traced with these parameters.

    Raises UserError when it cannot be read at all, NotWanted as soon as `is_wanted` says so.
    """
    from nbflow.authoring.modules import modules_of_file  # noqa: PLC0415 - IPython's transformer is loaded when a file is read

    path = target.path.resolve()
    traced = trace_file(target, params=params, defaults=workspace.settings.task_defaults, is_wanted=is_wanted)
    root = Path(place_of(path).folder)
    files = modules_of_file(path, root)
    source = path.read_bytes()
    reads = tuple(Read(flow=flow, source=source, files=files, root=root) for flow in traced.flows)
    return ReadFile(reads=reads, broken={name: located(problem, path) for name, problem in traced.broken.items()})


def with_parameters(workspace: Workspace, read: Read, params: Mapping[str, Any]) -> Read:
    """The flow of a `.py` file, whose graph may depend on its parameters, with these. Raises UserError."""
    found = read_python(workspace, Target(Path(read.flow.path), flow_in_file(read.flow)), params)
    for sentence in found.broken.values():
        raise UserError(sentence)
    return found.reads[0]


def flow_in_file(flow: Flow) -> str:
    """What a flow of a `.py` file is called there, whatever it is deployed as."""
    return flow.entry.rpartition(":")[2]


def file_in_root(flow: Flow) -> Path:
    """Where the file of a flow stands, seen from the folder that its imports begin in."""
    path = Path(flow.path)
    if not flow.entry:
        return Path(path.name)
    parts = flow.entry.partition(":")[0].split(".")
    return Path(*parts, path.name) if path.stem == "__init__" else Path(*parts[:-1], path.name)


def refuse_missing(flow: Flow, params: Mapping[str, Any]) -> None:
    """Raises UserError when a run with these parameters would lack one that its function needs."""
    missing = [one.name for one in flow.parameters if not one.default and one.name not in params] if flow.entry else []
    if missing:
        raise UserError(f"Flow {flow.name} needs a value for {' and for '.join(missing)}: give it with -p {missing[0]} VALUE.")


# --- notebooks ----------------------------------------------------------------------------------------------------------


def _read_notebook(workspace: Workspace, path: Path) -> Read:
    """One that never heard of nbflow, in any language, is one task. Raises UserError, FlowError."""
    from nbflow.authoring.flow_builder import build_flow  # noqa: PLC0415 - as above
    from nbflow.authoring.modules import local_modules  # noqa: PLC0415 - as above
    from nbflow.authoring.notebook_file import read_notebook, require_python  # noqa: PLC0415 - as above

    notebook = read_notebook(path, any_language=True)
    source = stripped(path)
    is_flow = any(cell.kind == "code" and says_nbflow(cell.source) for cell in notebook.cells)
    is_python = notebook.language.lower() in {"python", "python3", "ipython", ""}
    if is_flow:
        require_python(notebook)
    name = slug(path.stem)
    if not is_python:
        return Read(flow=_plain(Flow(name=name, path=str(path)), notebook), source=source, files={}, root=path.parent)
    flow = build_flow(notebook.cells, name=name, path=str(path), installation=workspace.settings.task_defaults)
    files = local_modules(notebook.cells, path.parent)
    return Read(flow=flow if flow.tasks else _plain(flow, notebook), source=source, files=files, root=path.parent)


def _plain(flow: Flow, notebook: NotebookFile) -> Flow:
    """A notebook without tasks as a flow of one."""
    cells = [[cell.kind, cell.source, list(cell.tags)] for cell in notebook.cells]
    text = json.dumps({"kernel": notebook.kernel_name, "cells": cells}, ensure_ascii=True)
    return replace(flow, tasks=(Task(id=TaskId(flow.name), operator="notebook", source=text),))


def stripped(path: Path) -> bytes:
    """The notebook without what its execution left in it."""
    document = json.loads(path.read_text(encoding="utf-8-sig"))
    for cell in document.get("cells", ()):
        if cell.get("cell_type") == "code":
            cell["outputs"], cell["execution_count"] = [], None
    for left in ("widgets", "papermill", "nbflow"):
        document.get("metadata", {}).pop(left, None)
    return json.dumps(document, indent=1, ensure_ascii=False).encode()
