# SPDX-License-Identifier: BSD-3-Clause
"""The execution of one notebook: a kernel is taken, the cells run, tasks advance when the kernel asks, the notebook is kept up to date."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any, Final

import nbformat
from nbclient.exceptions import CellExecutionError

from nbflow import __version__
from nbflow.core.errors import NbflowError, RunFailed, SetupError, Superseded, UserError
from nbflow.core.hosting import Advance, Advanced
from nbflow.core.ids import slug
from nbflow.core.job import NBFLOW_ERROR, ErrorInfo
from nbflow.core.model import Flow
from nbflow.operators.hosting import HostServer
from nbflow.operators.kernels import Kernel, KernelPool, find_kernel
from nbflow.operators.notebook_areas import TaskAreas
from nbflow.operators.notebook_cells import CellRunner, CellStopped
from nbflow.operators.notebook_failures import unhandled
from nbflow.operators.notebook_files import number_in_file
from nbflow.operators.notebook_host import Ending, EndKind, HostedRun, NotebookHost, NotebookInfo, RunInfo, Shown
from nbflow.operators.turns import Turn

#: Seconds within which a slot that is free is had.
_AT_ONCE: Final = 0.05
#: Seconds the kernel's process has to be launched before the host gets ready: one interpreter would do both at half the speed.
_HEAD_START: Final = 0.25
#: Seconds the rest of a cancelled run may take.
_CANCEL_GRACE: Final = 20.0
#: Run in the kernel before the first cell. A warm kernel is brought where a fresh one would have started.
_PREPARE: Final = """
import json, os, sys
plan = json.loads({plan!r})
os.environ.update(plan["set"])
for name in plan["delete"]:
    os.environ.pop(name, None)
os.chdir(plan["cwd"])
for folder in plan["path"]:
    if folder not in sys.path:
        sys.path.insert(1, folder)
if plan["modules"]:
    sys.path.insert(0, plan["modules"])
"""
_ATTACH: Final = "exec('from nbflow.notebook import hosted; hosted.attach(config)', {{'config': {config!r}}})"
_FINISH: Final = "exec('from nbflow.notebook import hosted; hosted.finish()', {})"
_ANSI: Final = re.compile(r"\x1b\[[0-9;]*m")
_COMPLETE: Final = Ending(kind=EndKind.COMPLETE)
_DIED: Final = "DeadKernelError"


class _KernelEnded(SetupError):
    """The kernel died behind the last cell, while tasks ran."""


class _KernelInterrupted(RunFailed):
    """Somebody interrupted the kernel behind the last cell."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How the execution ended. `error`: what went wrong outside of any cell."""

    ending: Ending
    run: RunInfo | None
    error: NbflowError | None = None


class Execution:
    """One notebook, once. Everything here happens in one event loop; only `_handle` is called from a thread of the HostServer."""

    def __init__(self, nb_man: Any, info: NotebookInfo, host: NotebookHost, options: Mapping[str, Any]) -> None:
        self._nb_man, self._info, self._host = nb_man, info, host
        self._options = dict(options)
        self._loop: asyncio.AbstractEventLoop
        self._runner: CellRunner
        #: Held while the kernel is busy.
        self._turn: Turn
        self._areas: TaskAreas
        self._run: HostedRun
        #: The cell being executed; None before the first and after the last.
        self._index: int | None = None
        #: The last cell that asked for an advance: the run's graph stands there.
        self._asking: int | None = None
        self._advancing_since: float | None = None
        self._advancing_seconds = 0.0
        #: Cells whose advance ended with failed tasks.
        self._cells_with_failures: set[int | None] = set()
        #: Why the host wants no more cells to be executed; empty while it does.
        self._stopped = ""
        #: The kernel is prepared, and its cells are executed: a stop reaches them at once.
        self._may_stop = False
        #: No advance is under way.
        self._is_idle: asyncio.Event
        #: No cell will be executed any more.
        self._is_over = False
        #: As the kernel understood it when it last asked.
        self._flow = Flow(name=slug(Path(info.path).stem))

    async def run(self, pool: KernelPool, start_timeout: float) -> Outcome:
        """Execute. Raises UserError or SetupError when no cell could be executed."""
        self._loop = asyncio.get_running_loop()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        _require_folder(self._info.working_dir)
        if self._info.is_flow:
            _require_python(self._info.kernel_name, find_kernel(self._info.kernel_name).language)
        self._turn = pool.turns.one()
        try:
            ending, error = await self._with_kernel(pool, start_timeout)
            return await self._settle(ending, error)
        finally:  # a cancel from outside ends the cell before the advance that it waits for, and that still needs this loop
            await _in_spite_of_cancel(asyncio.wait({asyncio.ensure_future(self._is_idle.wait())}, timeout=_CANCEL_GRACE))

    async def _with_kernel(self, pool: KernelPool, start_timeout: float) -> tuple[Ending, NbflowError | None]:
        async with AsyncExitStack() as stack:
            stack.enter_context(self._turn.held_at_most())
            launched: Future[None] = Future()
            starting = asyncio.ensure_future(self._obtain(pool, stack, start_timeout, launched))  # while the host gets ready
            on_its_way: set[asyncio.Future[Any]] = {starting, asyncio.wrap_future(launched)}
            try:
                await asyncio.wait(on_its_way, timeout=_HEAD_START, return_when=asyncio.FIRST_COMPLETED)
                self._run = await asyncio.to_thread(self._host.begin, self._info, self._stop_soon)
            except BaseException:
                starting.cancel()
                await asyncio.wait({starting})
                raise
            self._nb_man.call_later = self._loop.call_later
            self._nb_man.before_save = lambda: self._write_metadata(self._run.info())
            try:
                return await self._execute_or_end(starting)
            finally:
                self._is_over = True

    async def _obtain(self, pool: KernelPool, stack: AsyncExitStack, start_timeout: float, launched: Future[None]) -> Kernel:
        await self._turn.take()
        name, folder, is_flow = self._info.kernel_name, self._info.working_dir, self._info.is_flow
        soon = pool.take(name, folder, start_timeout=start_timeout, is_flow=is_flow, launched=launched)
        return await stack.enter_async_context(soon)

    async def _execute_or_end(self, starting: asyncio.Future[Kernel]) -> tuple[Ending, NbflowError | None]:
        """Execute; whatever else comes of it, the host is told how it ended."""
        try:
            kernel = await starting
            self._runner = CellRunner(self._nb_man, kernel, **self._options)
            self._areas = TaskAreas(self._nb_man.nb.cells, self._runner.displays)
            self._runner.on_output = self._areas.place_graph
            self._runner.time_out_of_account = self._time_advancing
            try:
                await self._runner.connect()
                return await self._execute(kernel)
            finally:
                await self._runner.disconnect()
        except asyncio.CancelledError:
            await self._end_run(Ending(kind=EndKind.INTERRUPTED, reason="Interrupted."))
            raise
        except CellStopped as stopped:  # between cells: the kernel died while it was prepared
            found = SetupError(str(stopped).replace("while this cell ran", "before its first cell"))
            await self._end_run(Ending(kind=EndKind.CELL_FAILED, reason=str(found)))
            raise found from None
        except Exception as found:
            await self._end_run(Ending(kind=EndKind.CELL_FAILED, reason=str(found) or type(found).__name__))
            raise

    # --- the order of things ----------------------------------------------------------------------------------------

    async def _execute(self, kernel: Kernel) -> tuple[Ending, NbflowError | None]:
        """Prepare the kernel, run the cells, advance the rest. An interrupt cancels the run on its way out."""
        await self._prepare(kernel)
        server = HostServer(self._handle, self._cancel_run) if self._info.is_flow else None
        try:
            if server is not None:
                await self._attach(kernel, server)
            await self._before_cells()
            self._may_stop = True
            if self._stopped:
                self._runner.stop(self._stopped)
            ending = await self._run_cells()
            error = await self._advance_rest() if server is not None and ending.kind is EndKind.COMPLETE else None
            if ending.kind is not EndKind.TASKS_FAILED:
                self._runner.nb.metadata["language_info"] = nbformat.from_dict(dict(kernel.language_info))
                self._runner.set_widgets_metadata()
        except asyncio.CancelledError:
            kernel.is_stuck = True
            self._mark_interrupted()
            await asyncio.to_thread(self._cancel_run)
            raise
        finally:
            if server is not None:
                server.close()
        return ending, error

    async def _before_cells(self) -> None:
        """Whoever waits for a slot gives others a turn: they may hold the slot, and wait for one."""
        ready = asyncio.ensure_future(asyncio.to_thread(self._run.before_cells))
        if not (await asyncio.wait({ready}, timeout=_AT_ONCE))[0]:
            self._turn.give()
        await ready
        await self._turn.take()

    async def _prepare(self, kernel: Kernel) -> None:
        if kernel.language != "python":
            if self._info.is_flow:
                _require_python(kernel.name, kernel.language)
            return
        changed, deleted = kernel.environment_now() if kernel.was_warm else ({}, [])
        folder = str(Path(self._info.path).parent) if self._info.path else ""
        plan = {
            "cwd": self._info.working_dir,
            "set": changed,
            "delete": deleted,
            "path": [folder] if folder and folder not in (self._info.working_dir, self._info.modules) else [],
            "modules": "" if self._info.is_flow else self._info.modules,
        }
        await self._in_kernel(f"exec({_PREPARE.format(plan=json.dumps(plan))!r}, {{}})")

    async def _attach(self, kernel: Kernel, server: HostServer) -> None:
        config = {
            "address": server.address,
            "authkey": server.authkey_hex,
            "path": self._info.path,
            "artifacts_url": self._run.artifacts_url,
            "installation": dict(self._run.installation),
            "working_dir": self._info.working_dir,
            "modules": self._info.modules,
        }
        content = await self._runner.run_silently(_ATTACH.format(config=json.dumps(config)))
        if content["status"] == "error":
            if content.get("ename") in {"ModuleNotFoundError", "ImportError"}:
                raise SetupError(
                    f'nbflow cannot be imported in the kernel "{kernel.name}" ({content["evalue"]}): '
                    "install jupyter-nbflow in its environment, or choose another kernel."
                )
            raise _as_error(content)

    async def _in_kernel(self, code: str) -> None:
        content = await self._runner.run_silently(code)
        if content["status"] == "error":
            raise _as_error(content)

    async def _run_cells(self) -> Ending:
        ending = _COMPLETE
        for index, cell in enumerate(self._nb_man.nb.cells):
            self._index = index
            self._nb_man.cell_start(cell, index)
            try:
                await self._runner.run_cell(cell, index)
            except CellExecutionError as error:
                ending = self._cell_failed(index, cell, error)
            except CellStopped as error:
                ending = self._cell_stopped(index, cell, error)
            finally:
                self._nb_man.cell_complete(cell, cell_index=index)
            if ending is not _COMPLETE:
                break
        self._index = None
        return ending

    def _cell_failed(self, index: int, cell: Any, error: CellExecutionError) -> Ending:
        if index in self._cells_with_failures:
            return Ending(kind=EndKind.TASKS_FAILED, reason=error.evalue, cell=index + 1)
        self._nb_man.cell_exception(cell, cell_index=index, exception=error)
        found = [output for output in cell.outputs if output["output_type"] == "error"]
        lines = tuple(found[-1].get("traceback", ())) if found else ()
        # nbflow's own errors are shown as a sentence with no stack above it: then no name of a class belongs before it either.
        is_sentence = _ANSI.sub("", "\n".join(lines)).strip() == error.evalue.strip()
        info = ErrorInfo(ename=error.ename, evalue=error.evalue, traceback=lines, classes=(NBFLOW_ERROR,) if is_sentence else ())
        number = number_in_file(self._nb_man.nb.cells, index, self._info.path)
        return Ending(kind=EndKind.CELL_FAILED, reason=f"Cell {number} failed: {info.sentence}", cell=index + 1, error=info)

    def _cell_stopped(self, index: int, cell: Any, error: CellStopped) -> Ending:
        info = ErrorInfo(ename=error.ename, evalue=str(error), traceback=(str(error),), timed_out=error.ename == "CellTimeoutError")
        cell.outputs.append(nbformat.v4.new_output("error", ename=info.ename, evalue=info.evalue, traceback=list(info.traceback)))
        self._nb_man.cell_exception(cell, cell_index=index, exception=error)
        if error.ename == "RunStopped":
            return Ending(kind=EndKind.STOPPED, reason=str(error), cell=index + 1, error=info)
        number = number_in_file(self._nb_man.nb.cells, index, self._info.path)
        reason = str(error).replace("this cell", f"cell {number}").replace("This cell", f"Cell {number}")
        kind = EndKind.KERNEL_ENDED if error.ename == _DIED else EndKind.CELL_FAILED
        return Ending(kind=kind, reason=reason, cell=index + 1, error=info)

    def _mark_interrupted(self) -> None:
        if self._index is not None:
            self._nb_man.cell_exception(self._nb_man.nb.cells[self._index], cell_index=self._index)

    async def _advance_rest(self) -> NbflowError | None:
        """The notebook is at its end: the kernel hands over what no `%nbflow run` has released."""
        try:
            content = await self._runner.run_silently(_FINISH)
        except CellStopped as stopped:
            if stopped.ename != _DIED:
                return RunFailed(str(stopped))  # the host ended it: somebody has cancelled the run
            return _KernelEnded(str(stopped).replace("while this cell ran", "while its last tasks were run"))
        if content.get("ename") == "KeyboardInterrupt":
            return _KernelInterrupted("Interrupted.")
        if content["status"] == "error" and None not in self._cells_with_failures:
            return _as_error(content)
        return None

    async def _settle(self, ending: Ending, error: NbflowError | None) -> Outcome:
        """End the run and write how it ended."""
        run = await self._end_run(ending if error is None else Ending(kind=_kind_of(error), reason=str(error)))
        failures = unhandled(run.failures, self._flow, run) if run is not None else ()
        blamed = self._areas.settle(failures)
        for index in blamed:
            self._nb_man.cell_exception(self._nb_man.nb.cells[index], cell_index=index)
        if blamed:
            self._areas.hand_over_errors(index for index in self._cells_with_failures if index is not None)
        elif ending.kind is EndKind.TASKS_FAILED:
            self._nb_man.cell_exception(self._nb_man.nb.cells[ending.cell - 1], cell_index=ending.cell - 1)
        self._nb_man.came_to_the_end = ending.kind is EndKind.COMPLETE
        told = run is not None and isinstance(error, _KernelInterrupted)  # by the run, which was cancelled
        return Outcome(ending=ending, run=run, error=None if told else error)

    async def _end_run(self, ending: Ending) -> RunInfo | None:
        """Also when this task is being cancelled: the host must be told in any case."""
        try:
            run: RunInfo | None = await _in_spite_of_cancel(asyncio.to_thread(self._run.finish, ending))
        except Superseded:
            self._let_go()
            raise
        self._nb_man.before_save = None
        self._write_metadata(run)
        return run

    def _let_go(self) -> None:
        """Somebody else drives the run now, and writes the executed notebook."""
        self._nb_man.output_path = None

    # --- advancing --------------------------------------------------------------------------------------------------

    def _handle(self, request: Advance) -> Advanced:
        """A thread of the server: the kernel asks."""
        asyncio.run_coroutine_threadsafe(self._begin_advance(request), self._loop).result()
        advanced: Advanced | None = None
        try:
            advanced = self._run.advance(request, self._show_soon)
            # The cell that asked fails with failures: it must not hear of those the flow has handled.
            advanced = replace(advanced, failures=unhandled(advanced.failures, request.flow, self._run.info(), request.tasks))
        except Superseded:
            self._let_go()
            raise
        finally:
            asyncio.run_coroutine_threadsafe(self._end_advance(advanced), self._loop).result()
        return advanced

    async def _begin_advance(self, request: Advance) -> None:
        self._is_idle.clear()
        self._advancing_since = monotonic()
        self._asking = self._index if self._index is not None else self._asking
        self._flow = request.flow
        self._areas.know(request.flow)
        self._turn.give()

    async def _end_advance(self, advanced: Advanced | None) -> None:
        assert self._advancing_since is not None
        self._advancing_seconds += monotonic() - self._advancing_since
        self._advancing_since = None
        if advanced is not None and advanced.failures:
            self._cells_with_failures.add(self._index)
        try:
            if not self._is_over:
                self._nb_man.save()
                await self._turn.take()
        finally:
            self._is_idle.set()

    def _time_advancing(self) -> float:
        """Seconds in which cells waited for tasks: their own time limits are the tasks'."""
        return self._advancing_seconds + (monotonic() - self._advancing_since if self._advancing_since is not None else 0.0)

    def _show_soon(self, shown: Shown) -> None:
        self._loop.call_soon_threadsafe(self._show, shown)

    def _show(self, shown: Shown) -> None:
        added = self._areas.show(shown, self._asking)
        if added is not None and (self._runner.log_output or self._runner.stdout_file or self._runner.stderr_file):
            self._runner.log_output_message(added)
        self._nb_man.save()

    def _write_metadata(self, run: RunInfo | None) -> None:
        if run is None:
            return
        tasks = {name: {"state": task.state.value, "attempt": task.attempt, "reason": task.reason} for name, task in run.tasks.items()}
        found = {
            "run_id": run.run_id,
            "flow": run.flow,
            "version": run.version,
            "state": run.state.value,
            "nbflow": __version__,
            "tasks": tasks,
        }
        self._nb_man.nb.metadata["nbflow"] = nbformat.from_dict(found)

    # --- ending early -----------------------------------------------------------------------------------------------

    def _cancel_run(self) -> None:
        self._run.cancel()

    def _stop_soon(self, sentence: str) -> None:
        """The host ends the execution; from any thread."""
        self._loop.call_soon_threadsafe(self._stop_now, sentence)

    def _stop_now(self, sentence: str) -> None:
        self._stopped = self._stopped or sentence
        if self._may_stop:
            self._runner.stop(self._stopped)


async def _in_spite_of_cancel(work: Coroutine[Any, Any, Any]) -> Any:
    task = asyncio.ensure_future(work)
    while not task.done():
        try:
            await asyncio.wait({task}, timeout=_CANCEL_GRACE)
        except asyncio.CancelledError:
            continue  # a second Ctrl-C: the first is being dealt with
    return task.result()


def _kind_of(error: NbflowError) -> EndKind:
    if isinstance(error, _KernelInterrupted):
        return EndKind.INTERRUPTED
    return EndKind.KERNEL_ENDED if isinstance(error, _KernelEnded) else EndKind.CELL_FAILED


def _require_python(kernel_name: str, language: str) -> None:
    if language.lower() != "python":
        raise UserError(f'Tasks need a Python kernel, and "{kernel_name}" runs {language or "another language"}: choose one with --kernel.')


def _require_folder(folder: str) -> None:
    if not Path(folder).is_dir():
        raise UserError(f"The working directory {folder} does not exist.")


def _as_error(content: Mapping[str, Any]) -> NbflowError:
    """What a silent piece of code raised in the kernel, as the error it would be here."""
    name, sentence = content.get("ename", ""), content.get("evalue", "")
    if name == "SetupError":
        return SetupError(sentence)
    known = {"UserError", "FlowError", "Mistake", "RunFailed", "RunEnded", "TaskFailed"}
    return UserError(sentence) if name in known else SetupError(f"The kernel failed outside of any cell: {name}: {sentence}")
