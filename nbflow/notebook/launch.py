# SPDX-License-Identifier: BSD-3-Clause
"""Starting a run from a cell, waiting for it in three ways (awaiting, blocking, in the background), and ending the cell as the run ended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from nbflow.core.errors import UserError
from nbflow.core.hosting import Advanced
from nbflow.core.ids import TaskId
from nbflow.core.job import ValueRef
from nbflow.core.model import Flow
from nbflow.core.protocols import RunObserver
from nbflow.core.snapshot import RunSnapshot
from nbflow.core.states import TaskState
from nbflow.notebook.display import Spot
from nbflow.notebook.failures import Interrupted, raise_unless_well
from nbflow.notebook.kernel import Kernel
from nbflow.notebook.runs import Host, LiveHost, Running

#: Seconds between two looks at whether the kernel was interrupted.
TICK: Final = 0.1
#: Seconds an interrupted cell waits for the run to be over.
CANCEL_PATIENCE: Final = 10.0
#: Seconds that the driver of a run that has ended is waited for.
LETTING_GO: Final = 10.0


class Display(RunObserver, Protocol):
    """Shows a run while it goes."""

    def follow(self, running: Any) -> None: ...

    def finish(self) -> None: ...


class Launch:
    """One run started by this kernel. As the value of `x = %nbflow run`, it says how the run went."""

    def __init__(
        self,
        flow: Flow,
        running: Running,
        display: Display,
        bring_back: Callable[[Mapping[str, ValueRef]], Sequence[str]],
        say: Callable[[str], None],
    ) -> None:
        self._flow, self._running, self._display, self._bring_back, self._say = flow, running, display, bring_back, say
        self._advanced: Advanced | None = None

    @property
    def run_id(self) -> str:
        return self._running.run_id

    @property
    def state(self) -> str:
        """`running`, or how the run ended."""
        return (
            self._advanced.state.value if self._advanced else self._running.advanced().state.value if self._running.wait(0) else "running"
        )

    def __repr__(self) -> str:
        if self._running.wait(0):
            return self._running.advanced().sentence
        return f"Run {self.run_id} is running. Type .wait() for its end, .cancel() to stop it."

    def succeeded(self) -> dict[TaskId, str]:
        """The tasks that have succeeded, each with the source that did; nothing is known of a run that a host drives."""
        snapshot = self._snapshot()
        if snapshot is None:
            return {}
        well = {key.task_id for key, record in snapshot.tasks.items() if record.state is TaskState.SUCCESS}
        return {task.id: task.source for task in self._flow.tasks if task.id in well}

    def is_over(self) -> bool:
        """Whether another run may start. Who has seen the end need not know that the driver is still letting go: that is waited for."""
        snapshot = self._snapshot()
        return self._running.wait(LETTING_GO if snapshot is not None and snapshot.is_finished else 0)

    def _snapshot(self) -> RunSnapshot | None:
        """As it stands; None of a run that a host drives."""
        look: Callable[[], RunSnapshot] | None = getattr(self._running, "snapshot", None)
        return look() if look is not None else None

    def cancel(self) -> None:
        """Cancel the run; returns at once."""
        self._running.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end of a run in the background and bring its values here; False when `timeout` seconds passed first.

        Raises what the run failed with.
        """
        if not self._running.wait(timeout):
            return False
        self.end()
        return True

    def block(self) -> None:
        """Wait for the end, noticing an interrupt."""
        try:
            while not self._running.wait(TICK):
                pass
        except KeyboardInterrupt:
            self._interrupted()
        self.end()

    async def until_over(self) -> None:
        """Wait for the end without keeping the kernel from its messages; the tick lets an interrupt be noticed."""
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        watcher = threading.Thread(target=self._tell, args=(loop, over), name="nbflow-waiting", daemon=True)
        watcher.start()
        try:
            while not over.is_set():
                try:
                    await asyncio.wait_for(over.wait(), TICK)
                except TimeoutError:
                    continue
        except (asyncio.CancelledError, KeyboardInterrupt):
            self._interrupted()
        self._running.wait(0)  # raises what ended the driver
        self.end()

    def _tell(self, loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
        try:
            self._running.wait(None)
        except BaseException:  # noqa: BLE001, S110 - raised again where the cell waits
            pass
        finally:
            if not loop.is_closed():
                loop.call_soon_threadsafe(over.set)

    def _interrupted(self) -> None:
        self._running.cancel()
        if self._running.wait(CANCEL_PATIENCE):
            self._advanced = self._running.advanced()
            self._bring_back(self._advanced.values)
        self._display.finish()
        raise Interrupted(self._advanced.sentence if self._advanced else f"Run {self.run_id} is being cancelled.") from None

    def end(self) -> None:
        """Bring the values back and say how it went, once. Raises TaskFailed or RunEnded when it did not go well."""
        if self._advanced is None:
            self._advanced, troubles = self._take_in()
            self._say("".join(f"{line}\n" for line in troubles))
            if self._advanced.state.is_finished and not self._advanced.failures:  # while tasks below are held, nothing has ended
                self._say(f"{self._advanced.sentence}\n")
        raise_unless_well(self._advanced)

    def settle(self) -> Sequence[str]:
        """Wait for the end where no cell does, and bring the values back; returns a sentence for each that cannot be. Raises what ended the driver."""
        self._running.wait(None)
        self._advanced, troubles = self._take_in()
        return troubles

    def _take_in(self) -> tuple[Advanced, Sequence[str]]:
        advanced = self._running.advanced()
        troubles = self._bring_back(advanced.values)
        self._display.finish()
        return advanced, troubles


class Launcher:
    """Starts runs for one kernel, one at a time."""

    def __init__(self, kernel: Kernel, host: Host, show: Callable[[Flow, Host, Spot | None], Display], say: Callable[[str], None]) -> None:
        self.kernel, self.host, self._show, self._say = kernel, host, show, say
        self.last: Launch | None = None

    def start(
        self, flow: Flow, tasks: Sequence[TaskId], params: Mapping[str, Any], *, fresh: bool = False, spot: Spot | None = None
    ) -> Launch:
        """Start the run and show it, below the cell being executed or in that spot; `fresh`: without results of earlier runs.

        Raises UserError or SetupError when there is nothing to run or it cannot start.
        """
        if not tasks:
            raise UserError("There is no task above this cell: put %%task NAME on the first line of a cell and execute it.")
        self._refuse_a_second()
        captures = self.kernel.hand_over(flow, tasks, self.host.artifacts)
        display = self._show(flow, self.host, spot)
        return self._follow(flow, self.host.start(flow, captures, tasks, params, (display,), fresh=fresh), display)

    def retry(self, run_id: str, tasks: Sequence[str], now: Flow | None = None, spot: Spot | None = None) -> Launch | None:
        """Run these tasks of that run again, with what depends on them (none: what failed); None when whoever drives it was asked to.

        They run as the flow is `now`, or as the run has them.

        Raises UserError or SetupError, then nothing has changed.
        """
        host = self.host
        if not isinstance(host, LiveHost):
            raise UserError("In a headless run nothing can be retried from a cell: type nbflow runs retry RUN when it has ended.")
        if host.workspace.ask_to_clear(run_id, tasks):
            return None
        self._refuse_a_second()
        flow, captures = now or host.workspace.flow_of(host.workspace.run(run_id)), None
        if now is not None:
            captures = self.kernel.hand_over(now, self._to_run(run_id, tasks, now), host.artifacts)
        display = self._show(flow, host, spot)
        running = host.workspace.retry_run(run_id, tasks, flow=now, captures=captures, observers=(display,))
        return self._follow(flow, running, display) if running is not None else None

    def _to_run(self, run_id: str, tasks: Sequence[str], now: Flow) -> list[TaskId]:
        """The tasks that will run: those that do so again, and those that the run does not have yet."""
        assert isinstance(self.host, LiveHost)
        workspace = self.host.workspace
        kept = {record.key.task_id for record in workspace.store.task_records(run_id)}
        again = {key.task_id for key in workspace.tasks_to_run_again(workspace.run(run_id), tasks)}
        return [task.id for task in now.tasks if task.id in again or task.id not in kept]

    def _refuse_a_second(self) -> None:
        if self.last is not None and not self.last.is_over():
            raise UserError(f"Run {self.last.run_id} is still going on: wait for it, or type %nbflow cancel.")

    def _follow(self, flow: Flow, running: Running, display: Display) -> Launch:
        display.follow(running)
        self.last = Launch(flow, running, display, lambda values: self.kernel.take_back(values, self.host.artifacts), self._say)
        return self.last
