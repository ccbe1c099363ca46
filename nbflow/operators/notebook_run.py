# SPDX-License-Identifier: BSD-3-Clause
"""`execute_notebook`: papermill with nbflow's engine, for callers inside nbflow. A person's mistake is one sentence, a failed notebook a result."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nbformat
import papermill
from nbformat.reader import NotJSONError
from papermill.exceptions import PapermillException, PapermillExecutionError
from papermill.iorw import load_notebook_node

from nbflow.core.errors import RunFailed, UserError, nearest
from nbflow.core.job import ErrorInfo
from nbflow.operators.kernels import KernelPool, find_kernel
from nbflow.operators.notebook_execution import Outcome
from nbflow.operators.notebook_files import require_writable
from nbflow.operators.notebook_host import NotebookHost, RunInfo

#: For a notebook that names no kernel.
_DEFAULT_KERNEL: Final = "python3"


@dataclass(frozen=True, kw_only=True)
class ExecutedNotebook:
    """An executed notebook."""

    output: Path
    #: None when it failed before there was a run.
    run: RunInfo | None
    #: The failed cell's or task's error; None when the notebook succeeded.
    error: ErrorInfo | None = None
    #: The failed cell counted from 1, among the cells of the executed notebook without papermill's banners; 0 when no cell is to blame.
    cell: int = 0

    @property
    def succeeded(self) -> bool:
        return self.error is None


def execute_notebook(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    host: NotebookHost,
    parameters: Mapping[str, Any] | None = None,
    kernel_name: str | None = None,
    cwd: str | os.PathLike[str] | None = None,
    modules: str | os.PathLike[str] = "",
    pool: KernelPool | None = None,
    progress_bar: bool = False,
    log_output: bool = False,
    start_timeout: int = 60,
    execution_timeout: float | None = None,
) -> ExecutedNotebook:
    """Execute the notebook at `path` and keep the executed one at `output`; the process's working directory is left alone.

    Raises UserError (not a notebook, an unknown parameter, an output that cannot be written, a flow with problems), SetupError (no such kernel,
    a kernel that does not start, the host's own troubles), KeyboardInterrupt. Failed cells and tasks are in the result.
    """
    source, target = Path(path).resolve(), Path(output).absolute()
    nb = _read(source, str(path))
    name = kernel_name or nb.metadata.get("kernelspec", {}).get("name") or _DEFAULT_KERNEL
    language = _language(nb, name)
    _refuse_unknown(source, nb, parameters or {})
    _require_writable(target, source)
    told: list[Outcome] = []  # what the engine says on its way out, past papermill
    try:
        papermill.execute_notebook(
            str(source),
            str(target),
            parameters=dict(parameters or {}),
            engine_name="nbflow",
            kernel_name=name,
            language=language,
            progress_bar=progress_bar,
            log_output=log_output,
            start_timeout=start_timeout,
            execution_timeout=execution_timeout,
            host=host,
            pool=pool,
            working_dir=str(Path(cwd).absolute()) if cwd is not None else str(source.parent),
            modules=str(modules),
            ended=told.append,
        )
    except PapermillExecutionError as error:
        return _failed(target, told, _info(error), error.cell_index + 1)
    except RunFailed as error:
        return _failed(target, told, ErrorInfo(ename="RunFailed", evalue=str(error)), 0)
    except PapermillException as error:
        raise UserError(f"{path} cannot be executed: {error}") from None
    except OSError as error:
        raise UserError(f"{output} cannot be written: {error.strerror or error}.") from None
    return ExecutedNotebook(output=target, run=told[-1].run)


def _failed(target: Path, told: list[Outcome], error: ErrorInfo, cell: int) -> ExecutedNotebook:
    run = told[-1].run if told else None
    return ExecutedNotebook(output=target, run=run, error=error, cell=cell)


def _info(error: PapermillExecutionError) -> ErrorInfo:
    return ErrorInfo(ename=error.ename, evalue=error.evalue, traceback=tuple(error.traceback))


def _read(path: Path, shown: str) -> Any:
    """The notebook. Raises UserError."""
    try:
        return load_notebook_node(str(path))
    except FileNotFoundError:
        raise UserError(f"{shown} does not exist.") from None
    except IsADirectoryError:
        raise UserError(f"{shown} is a folder, not a notebook.") from None
    except (NotJSONError, json.JSONDecodeError, UnicodeDecodeError):
        raise UserError(f"{shown} is not a notebook: it does not contain JSON.") from None
    except (nbformat.ValidationError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{shown} is not a notebook: {str(error).splitlines()[0] if str(error) else type(error).__name__}.") from None
    except OSError as error:
        raise UserError(f"{shown} cannot be read: {error.strerror or error}.") from None


def _language(nb: Any, kernel_name: str) -> str:
    named = nb.metadata.get("language_info", {}).get("name") or nb.metadata.get("kernelspec", {}).get("language")
    return str(named or find_kernel(kernel_name).language).lower()


def _refuse_unknown(path: Path, nb: Any, parameters: Mapping[str, Any]) -> None:
    if not parameters:
        return
    if not any("parameters" in cell.metadata.get("tags", []) for cell in nb.cells):
        raise UserError(f'{path.name} takes no parameters: give the cell that assigns "{next(iter(parameters))}" the tag "parameters".')
    try:
        known = list(papermill.inspect_notebook(str(path)))
    except (ValueError, PapermillException):
        return  # a language papermill cannot look into, or a notebook that names none
    for name in parameters:
        if name not in known:
            has = f"It has {', '.join(known)}." if known else "Its parameters cell assigns none."
            raise UserError(f'{path.name} has no parameter "{name}".{nearest(name, known)} {has}')


def _require_writable(target: Path, source: Path) -> None:
    """Said before anything runs. Raises UserError."""
    require_writable(target, source)
    if not target.parent.is_dir():
        raise UserError(f"The executed notebook cannot be written: the folder {target.parent} does not exist.")
