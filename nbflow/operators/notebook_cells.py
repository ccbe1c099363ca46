# SPDX-License-Identifier: BSD-3-Clause
"""Executes cells in a kernel and keeps their outputs in the notebook, as papermill's own client does.

Two things differ. Messages are read all the time and put under the cell whose request they answer, so what a thread prints later is not lost
(nbclient drops it). And an output shown with a display id is found wherever it stands by the output itself, not by its place in a cell.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

import nbformat
from nbclient.exceptions import CellExecutionComplete, CellExecutionError
from papermill.clientwrap import PapermillNotebookClient
from papermill.log import logger as papermill_log

from nbflow.operators.kernels import Kernel
from nbflow.operators.shell_channel import ShellChannel

#: Seconds between two looks at whether the kernel's process is alive.
_PULSE: Final = 0.25
#: Seconds to wait for the IOPub channel before asking again.
_KNOCK: Final = 0.05


class CellStopped(Exception):
    """A cell that did not come to its own end: the kernel died, its time was over, or the run was stopped."""

    def __init__(self, ename: str, sentence: str) -> None:
        self.ename = ename
        super().__init__(sentence)


class Displays:
    """The outputs shown under each display id, wherever they stand."""

    def __init__(self) -> None:
        self._shown: dict[str, list[Any]] = {}

    def register(self, display_id: str, output: Any) -> None:
        self._shown.setdefault(display_id, []).append(output)

    def update(self, display_id: str, data: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        for output in self._shown.get(display_id, ()):
            output["data"] = nbformat.from_dict(dict(data))
            output["metadata"] = nbformat.from_dict(dict(metadata))

    def shown(self, display_id: str) -> list[Any]:
        return self._shown.get(display_id, [])


@dataclass(eq=False)
class _Request:
    """One cell's execution."""

    cell: Any
    index: int
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    #: A `clear_output(wait=True)` of this cell takes effect with its next output.
    clear_next: bool = False


class CellRunner(PapermillNotebookClient):  # type: ignore[misc] # papermill has no types
    """The cells of one notebook, executed one after the other."""

    def __init__(self, nb_man: Any, kernel: Kernel, **options: Any) -> None:
        """`options` are those of papermill's own engine that its client knows; others are ignored."""
        known = set(PapermillNotebookClient.class_trait_names(config=True))
        super().__init__(nb_man, km=kernel.manager, log=papermill_log, **{name: value for name, value in options.items() if name in known})
        self.kernel = kernel
        self.displays = Displays()
        #: Called with (cell index, output) for each output a cell showed.
        self.on_output: Callable[[int, Any], None] = lambda _index, _output: None
        #: Seconds of the running cell that do not count against its time.
        self.time_out_of_account: Callable[[], float] = lambda: 0.0
        self._requests: dict[str, _Request] = {}
        self._replies: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._heard = asyncio.Event()
        self._readers: tuple[asyncio.Task[None], ...] = ()
        self._death: asyncio.Task[None] | None = None
        self._stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    # --- the connection ---------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Raises CellStopped when the kernel dies first."""
        self.reset_execution_trackers()
        self.kc = self.km.client(shell_channel_class=ShellChannel)
        self.kc.start_channels(stdin=False, hb=False, control=False)
        self._readers = (asyncio.ensure_future(self._read_iopub()), asyncio.ensure_future(self._read_shell()))
        self._death = asyncio.ensure_future(self._watch_process())
        while not self._heard.is_set():  # outputs sent before the subscription has arrived would be lost
            reply = self._expect(self.kc.kernel_info())
            await self._until(reply)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._heard.wait(), _KNOCK)

    async def disconnect(self) -> None:
        """Stop reading and close the sockets."""
        tasks = [task for task in (*self._readers, self._death) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.kc is not None:
            self.kc.stop_channels()
            self.kc = None

    def stop(self, sentence: str) -> None:
        """End the running cell, and every later one, with this sentence. Called in the loop."""
        if not self._stop.done():
            self._stop.set_result(sentence)

    async def _read_iopub(self) -> None:
        while True:
            message = await self.kc.iopub_channel.get_msg(timeout=None)
            self._heard.set()
            request = self._requests.get(message["parent_header"].get("msg_id", ""))
            if request is not None:
                self._receive(request, message)

    async def _read_shell(self) -> None:
        while True:
            message = await self.kc.shell_channel.get_msg(timeout=None)
            reply = self._replies.pop(message["parent_header"].get("msg_id", ""), None)
            if reply is not None and not reply.done():
                reply.set_result(message)

    async def _watch_process(self) -> None:
        while await self.km.is_alive():  # noqa: ASYNC110 - a process ends without an event
            await asyncio.sleep(_PULSE)
        await asyncio.sleep(_PULSE)  # what it said at the end is still under way

    def _expect(self, message_id: str) -> asyncio.Future[dict[str, Any]]:
        self._replies[message_id] = asyncio.get_running_loop().create_future()
        return self._replies[message_id]

    async def _until(self, done: asyncio.Future[Any], *, deadline: Callable[[], float | None] = lambda: None) -> None:
        """Wait for `done`. Raises CellStopped when the kernel dies, the deadline passes or the run is stopped first."""
        assert self._death is not None
        while not done.done():
            left = deadline()
            if left is not None and left <= 0:
                return
            await asyncio.wait({done, self._death, self._stop, *self._readers}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if done.done():
                return
            for reader in self._readers:
                if reader.done():
                    reader.result()  # raises what ended it
            if self._stop.done():
                raise CellStopped("RunStopped", self._stop.result())
            if self._death.done():
                raise CellStopped("DeadKernelError", self._obituary())

    def _obituary(self) -> str:
        status = self.kernel.exit_status()
        how = f" by signal {-status}" if status is not None and status < 0 else f" with status {status}" if status is not None else ""
        hint = "; signal 9 often means that the machine ran out of memory" if status == -9 else ""
        said = self.kernel.complaint()
        return f"The kernel ended{how} while this cell ran{hint}." + (f" Its last words: {said}" if said else "")

    # --- cells ------------------------------------------------------------------------------------------------------

    async def run_cell(self, cell: Any, index: int) -> None:
        """Execute one cell. Raises CellExecutionError when it fails, CellStopped when it does not come to an end."""
        if cell.cell_type != "code" or not cell.source.strip() or self.skip_cells_with_tag in cell.metadata.get("tags", []):
            return
        if self._stop.done():
            raise CellStopped("RunStopped", self._stop.result())
        if self.record_timing:
            cell["metadata"]["execution"] = {}
        allows_errors = not self.force_raise_errors and (self.allow_errors or "raises-exception" in cell.metadata.get("tags", []))
        cell.outputs = []
        request = _Request(cell, index)
        message_id = self._send(cell, request, stop_on_error=not allows_errors)
        self.code_cells_executed += 1
        reply = self._expect(message_id)
        self.kernel.is_stuck = True
        await self._until(reply, deadline=self._deadline(cell))
        if not reply.done():
            raise CellStopped("CellTimeoutError", f"This cell ran longer than {self._limit(cell):g} s and was ended (execution_timeout).")
        self.kernel.is_stuck = False
        await self._outputs_of(request)
        content = reply.result()["content"]
        if content["status"] == "error" and not allows_errors and content.get("ename") not in self.allow_error_names:
            raise CellExecutionError.from_cell_and_msg(cell, content)

    async def run_silently(self, code: str) -> Mapping[str, Any]:
        """Execute code nobody sees; returns the content of the reply. Raises CellStopped."""
        reply = self._expect(self.kc.execute(code, silent=True, store_history=False, allow_stdin=False))
        self.kernel.is_stuck = True
        await self._until(reply)
        self.kernel.is_stuck = False
        content: Mapping[str, Any] = reply.result()["content"]
        return content

    def _send(self, cell: Any, request: _Request, *, stop_on_error: bool) -> str:
        """As `KernelClient.execute`, with the cell's id: nbflow in the kernel finds the cell in the file by it."""
        content = {
            "code": cell.source,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": stop_on_error,
        }
        metadata = {"cellId": cell["id"]} if "id" in cell else {}
        message = self.kc.session.msg("execute_request", content, metadata=metadata)
        message_id: str = message["header"]["msg_id"]
        self._requests[message_id] = request
        self.kc.shell_channel.send(message)
        return message_id

    async def _outputs_of(self, request: _Request) -> None:
        """The reply is there; its outputs end with the kernel's `idle`, on another channel."""
        idle = asyncio.ensure_future(request.idle.wait())
        end = monotonic() + max(self.iopub_timeout, 4)
        try:
            await self._until(idle, deadline=lambda: end - monotonic())
        finally:
            idle.cancel()
        if not request.idle.is_set():
            raise CellStopped(
                "CellTimeoutError", f"The kernel did not send the outputs of this cell within {max(self.iopub_timeout, 4)} s."
            )

    def _limit(self, cell: Any) -> float | None:
        limit = self.timeout_func(cell) if self.timeout_func is not None else self.timeout
        return float(limit) if limit and limit > 0 else None

    def _deadline(self, cell: Any) -> Callable[[], float | None]:
        limit, began = self._limit(cell), monotonic()
        return lambda: None if limit is None else began + limit + self.time_out_of_account() - monotonic()

    # --- messages ---------------------------------------------------------------------------------------------------

    def _receive(self, request: _Request, message: dict[str, Any]) -> None:
        self.clear_before_next_output = request.clear_next
        try:
            self.process_message(message, request.cell, request.index)
        except CellExecutionComplete:
            request.idle.set()
        finally:
            request.clear_next = self.clear_before_next_output

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """As nbclient's; display ids are ours."""
        content = msg["content"]
        display_id = (content.get("transient") or {}).get("display_id")
        if display_id and msg["msg_type"] in {"display_data", "execute_result", "update_display_data"}:
            self.displays.update(display_id, content["data"], content.get("metadata", {}))
            msg = {**msg, "content": {**content, "transient": {}}}
        output = super().process_message(msg, cell, cell_index)
        if output is not None:
            if display_id:
                self.displays.register(display_id, output)
            self.on_output(cell_index, output)
        return output
