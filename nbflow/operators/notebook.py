# SPDX-License-Identifier: BSD-3-Clause
"""papermill's engine "nbflow": a notebook's cells run in order in one kernel, its tasks are driven by a host in this process.

`papermill in.ipynb out.ipynb --engine nbflow`, `papermill.execute_notebook(..., engine_name="nbflow")` and `nbflow run` all come through here.
The seam to whoever records runs is `notebook_host.py`; the function for callers inside nbflow is `notebook_run.execute_notebook`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final

import click
import nbformat
from papermill.engines import Engine
from papermill.iorw import papermill_io

from nbflow.core.errors import NbflowError, RunFailed
from nbflow.operators.kernels import KernelPool, default_pool
from nbflow.operators.notebook_execution import Execution, Outcome
from nbflow.operators.notebook_host import InstalledHost, NotebookHost, NotebookInfo, RunInfo
from nbflow.operators.notebook_marks import mentions_nbflow
from nbflow.operators.notebook_saving import SteadyManager

_log = logging.getLogger("nbflow.operators")
#: Seconds between two looks at whether somebody interrupts (where waiting itself cannot be interrupted).
_TICK: Final = 0.5
#: Seconds an interrupted execution has to end in order.
_GRACE: Final = 30.0


class NbflowEngine(Engine):  # type: ignore[misc] # papermill has no types
    """Besides papermill's own options: `host` (a NotebookHost), `pool` (a KernelPool), `working_dir` (of the kernel), `ended` (told the Outcome)."""

    @classmethod
    def execute_notebook(  # noqa: PLR0917 - papermill's signature
        cls,
        nb: Any,
        kernel_name: str,
        output_path: str | None = None,
        progress_bar: bool | dict[str, Any] = True,  # noqa: FBT001, FBT002 - as above
        log_output: bool = False,  # noqa: FBT001, FBT002 - as above
        autosave_cell_every: int = 30,
        **kwargs: Any,
    ) -> Any:
        """As papermill's, with a manager that saves atomically."""
        nb_man = SteadyManager(
            nb,
            output_path=_absolute(output_path) or output_path,
            progress_bar=progress_bar,
            log_output=log_output,
            autosave_cell_every=autosave_cell_every,
        )
        nb_man.notebook_start()
        try:
            cls.execute_managed_notebook(nb_man, kernel_name, log_output=log_output, **kwargs)
        finally:
            nb_man.call_later = None
            nb_man.notebook_complete()
        return nb_man.nb

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: Any,
        kernel_name: str,
        *,
        host: NotebookHost | None = None,
        pool: KernelPool | None = None,
        working_dir: str | os.PathLike[str] | None = None,
        modules: str = "",
        input_path: str | None = None,
        start_timeout: float = 60,
        execution_timeout: float | None = None,
        ended: Callable[[Outcome], None] | None = None,
        **options: Any,
    ) -> None:
        """Execute the notebook and keep `nb_man.nb` as papermill expects it.

        A failed cell or task is left in the notebook for papermill to raise. Raises RunFailed when the run failed and no cell is to blame,
        UserError or SetupError when nothing could be run, KeyboardInterrupt after the run was cancelled in order.
        """
        if _is_papermills_process():
            gc.freeze()  # what papermill has loaded stays to the end: no collection looks through it again, not the last one either (0.3 s)
        path = _absolute(input_path)
        info = NotebookInfo(
            path=path,
            output=_absolute(nb_man.output_path),
            working_dir=str(working_dir or _working_dir(path)),
            kernel_name=kernel_name,
            params=dict(nb_man.nb.metadata.get("papermill", {}).get("parameters", {})),
            is_flow=mentions_nbflow(nb_man.nb.cells),
            source=nbformat.writes(nb_man.nb),
            modules=modules,
        )
        options |= {
            "timeout": execution_timeout or options.get("timeout"),
            "startup_timeout": int(start_timeout),
            "kernel_name": kernel_name,
        }
        execution = Execution(nb_man, info, host or InstalledHost(), options)
        try:
            outcome = run_interruptibly(execution.run(pool or default_pool(), float(start_timeout)))
            if ended is not None:
                ended(outcome)
            _raise_unless_told(nb_man.nb, outcome.run, outcome.error)
        except NbflowError as error:
            raise _as_command_line_says(error) from None


def run_interruptibly(work: Coroutine[Any, Any, Any]) -> Any:
    """Run `work` in a loop and a thread of its own (this thread may have a loop running) and wait for it.

    KeyboardInterrupt (or whatever a signal handler raises here) cancels it, waits for its orderly end and is raised again.
    """
    result: Future[Any] = Future()
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)

    def serve() -> None:
        asyncio.set_event_loop(loop)
        try:
            value = loop.run_until_complete(task)
        except asyncio.CancelledError:
            result.cancel()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            result.set_exception(error)
        else:
            result.set_result(value)
        finally:
            with contextlib.suppress(RuntimeError):
                loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    thread = threading.Thread(target=serve, name="nbflow-notebook", daemon=True)
    thread.start()
    try:
        while True:
            with contextlib.suppress(TimeoutError):
                return result.result(_TICK)
            if result.done():
                return result.result()
    except BaseException:
        if thread.is_alive() and not result.done():
            loop.call_soon_threadsafe(task.cancel)
            thread.join(_GRACE)
        raise


def _raise_unless_told(nb: Any, run: RunInfo | None, error: NbflowError | None) -> None:
    """papermill raises for the failed cell it finds in the notebook; a failure that no cell shows is raised here."""
    if any(cell.metadata.get("papermill", {}).get("exception") is True for cell in nb.cells):
        return
    if error is not None:
        raise error
    if run is not None and run.state.is_finished and run.state.value != "success":
        raise RunFailed(run.sentence or f"Run {run.run_id} ended {run.state.value}.")


def _as_command_line_says(error: NbflowError) -> Exception:
    """papermill's own command line prints a stack for every error but click's: it is given one, with the sentence and the exit code."""
    if not _is_papermills_process():
        return error.with_traceback(None)
    told = click.ClickException(str(error))
    told.exit_code = error.exit_code  # type: ignore[misc] # click reads it from the instance, and types it of the class
    return told


def _is_papermills_process() -> bool:
    """Whether this is papermill's command line, whose process executes one notebook and ends."""
    context = click.get_current_context(silent=True)
    return context is not None and context.find_root().command.name == "papermill"


def _absolute(path: str | os.PathLike[str] | None) -> str:
    """A local path as papermill means it (its `cwd` option has changed the process's folder, not what relative paths start from); else ""."""
    if not path or str(path) == "-" or "://" in str(path):
        return ""
    return str(Path(_papermill_folder(), path).resolve())


def _papermill_folder() -> str:
    folder = getattr(papermill_io.get_handler("local"), "_cwd", None)
    return str(folder or Path.cwd())


def _working_dir(path: str) -> str:
    """papermill's `cwd` when it was given (then the process is there while an engine runs), else the notebook's folder."""
    here = Path.cwd()
    if not path or here != Path(_papermill_folder()):
        return str(here)
    return str(Path(path).parent)
