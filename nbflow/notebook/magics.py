# SPDX-License-Identifier: BSD-3-Clause
"""`%%flow`, `%%task` and `%nbflow`: what a person types in a notebook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from IPython.utils.text import DollarFormatter

from nbflow.core.errors import FlowError, Problem
from nbflow.core.ids import TaskId
from nbflow.core.model import Flow
from nbflow.notebook import display, verbs
from nbflow.notebook.channel import Channel
from nbflow.notebook.here import Here
from nbflow.notebook.launch import Display, Launch, Launcher
from nbflow.notebook.runs import Host, LiveHost
from nbflow.notebook.session import Executed, Session


@magics_class
class NbflowMagics(Magics):  # type: ignore[misc] # IPython is untyped
    """The magics of one shell."""

    def __init__(self, shell: Any, session: Session, launcher: Launcher, channel: Channel) -> None:
        super().__init__(shell)
        self.session, self.launcher, self.channel = session, launcher, channel
        self._warmed = False
        #: The live panels, by the cell that shows them.
        self.panels: dict[str, Any] = {}
        #: What each task's cell was when the task last succeeded here.
        self._succeeded: dict[TaskId, str] = {}

    # --- %%flow -------------------------------------------------------------------------------------------------------

    @no_var_expand  # type: ignore[untyped-decorator] # IPython is untyped
    @cell_magic  # type: ignore[untyped-decorator]
    def flow(self, line: str, cell: str = "") -> None:
        """%%flow NAME: the flow's header. The body is TOML; every key is optional.

        description = "..."      run_timeout = "2h"      max_active_tasks = 4
        tags = ["ops"]           owner = "data-team"     fail_fast = false

        [defaults]               options for every task, such as retries = 2
        [groups.download]        options for every task named download.*
        """
        executed = self.session.define(f"%%flow {line}\n{cell}")
        self._refuse_own_mistakes(executed)
        flow = self._draft_or_none()
        if flow is not None:
            self.channel.show(display.header(flow), "nbflow-flow")

    # --- %%task -------------------------------------------------------------------------------------------------------

    @no_var_expand  # type: ignore[untyped-decorator] # IPython is untyped
    @cell_magic  # type: ignore[untyped-decorator]
    def task(self, line: str, cell: str = "") -> None:
        if set(line.split()) & {"-h", "--help"}:
            print(self.task.__doc__)  # noqa: T201 - help is printed
            return
        executed = self.session.define(f"%%task {line}\n{cell}")
        self._refuse_own_mistakes(executed)
        name = executed.task
        self.launcher.kernel.redefined(name)
        flow = self._draft_or_none()
        known = flow is not None and any(task.id == name for task in flow.tasks)
        if flow is None or not known:
            # Another cell is wrong; it says so itself, and this one is understood as far as it goes.
            self.channel.show({"text/plain": f"[defined] {name}"}, display.card_id(name))
            return
        note = (
            "Not in the saved notebook yet: it counts as its last cell."
            if self.session.path and not self.session.number_of(executed.key)
            else ""
        )
        self.channel.show(display.card(flow, flow.task(name), note=note), display.card_id(name))
        host = self.launcher.host
        if isinstance(host, LiveHost) and not self._warmed:
            self._warmed = True
            host.warm()
        if flow.task(name).options.run and not host.shows_itself:
            self.block(self.launcher.start(flow, self._stale(flow, TaskId(name)), {}))

    def _refuse_own_mistakes(self, executed: Executed) -> None:
        """Raises FlowError with what is wrong because of this cell; it then defines nothing."""
        if self.session.is_hosted:
            return  # the host has checked the whole file before the first cell
        mistakes = self._own_mistakes(executed)
        if mistakes:
            self.session.drop(executed)
            raise FlowError(mistakes)

    def _own_mistakes(self, executed: Executed) -> list[Problem]:
        from nbflow.authoring.flow_builder import find_problems  # noqa: PLC0415 - loading the extension stays quick

        def problems(without: str = "") -> set[tuple[str, str]]:
            found = find_problems(
                self.session.cells(without), name=self.session.name, path=self.session.path, installation=self.session.installation()
            )
            self._found = {(problem.code, problem.message): problem for problem in found if problem.severity == "error"}
            return set(self._found)

        others = problems(without=executed.key)
        own = problems() - others
        return [problem for key, problem in self._found.items() if key in own and not self._is_yet_to_come(problem)]

    def _is_yet_to_come(self, problem: Problem) -> bool:
        """An unknown task that the saved notebook has: its cell will be executed later."""
        return problem.code == "unknown-task" and any(f'"{name}"' in problem.message for name in self.session.saved_task_names())

    def _draft_or_none(self) -> Flow | None:
        try:
            return self.session.draft()
        except FlowError:
            return None

    def _stale(self, flow: Flow, wanted: TaskId) -> tuple[TaskId, ...]:
        """The task, after everything upstream of it that has not succeeded here as it is written now."""
        chosen: set[TaskId] = {wanted}
        for task in flow.tasks:  # upstream first: a task stands below what it reads, and --after is followed by the loop below
            if self._succeeded.get(task.id) != task.source or chosen & set(flow.upstream(task.id)) - {wanted}:
                chosen.add(task.id)
        needed, waiting = {wanted}, [wanted]
        while waiting:
            for upstream in flow.upstream(waiting.pop()):
                if upstream not in needed:
                    needed.add(upstream)
                    waiting.append(upstream)
        return tuple(task.id for task in flow.tasks if task.id in chosen & needed)

    # --- %nbflow ------------------------------------------------------------------------------------------------------

    @no_var_expand  # type: ignore[untyped-decorator]
    @line_magic  # type: ignore[untyped-decorator]
    def nbflow(self, line: str = "") -> Any:
        """%nbflow VERB: the graph, runs and history of this notebook. %nbflow -h lists the verbs."""
        asked = verbs.parse(self._expand(line))
        if asked.verb == "help":
            print(verbs.help_text())  # noqa: T201 - help is printed
            return None
        return verbs.VERBS[asked.verb].answer(self, asked)

    async def run_awaiting(self, line: str, *, assigned: bool = False) -> Launch | None:
        """What `%nbflow run` (or `retry`) at the top of a cell becomes: the same run, while the kernel goes on serving messages."""
        asked = verbs.parse(self._expand(line))
        if asked.verb == "help":
            print(verbs.help_text())  # noqa: T201 - help is printed
            return None
        launch = Here(self).launch(asked)
        if launch is None:
            return None
        try:
            await launch.until_over()
        finally:
            self._succeeded |= launch.succeeded()
        return launch if assigned else None

    def _expand(self, line: str) -> str:
        """`{day}` and `$day` as in any magic: values of the notebook's names."""
        if "{" not in line and "$" not in line:
            return line
        try:
            return str(DollarFormatter().vformat(line, args=(), kwargs=self.shell.user_ns))
        except Exception:  # noqa: BLE001 - an expression of the user; IPython itself leaves a line it cannot expand as it is
            return line

    def block(self, launch: Launch) -> None:
        """Wait for the run to be over; what succeeded is known afterwards."""
        try:
            launch.block()
        finally:
            self.remember(launch)

    def remember(self, launch: Launch) -> None:
        """What succeeded in this run is not stale until its cell changes."""
        self._succeeded |= launch.succeeded()

    def history(self) -> Any:
        """What happened to this notebook's flow; opens the workspace. Raises SetupError."""
        from nbflow.notebook.history import History  # noqa: PLC0415 - the workspace is opened when it is needed

        return History(self)


def make_display(
    session: Session, channel: Channel, used: set[str], new_panel: Callable[[], display.Panel | None]
) -> Callable[[Flow, Host, display.Spot | None], Display]:
    """How a run is shown in this shell; `new_panel` makes the live panel of a run that begins below the cell being executed."""

    def show(flow: Flow, host: Host, spot: display.Spot | None) -> Display:
        if not isinstance(host, LiveHost):
            return display.HostDisplay(channel, flow)
        if not channel.is_rich:
            return display.TerminalDisplay(channel, host.outputs)
        places = {}
        for task in flow.tasks:
            cell = session.cell_of(task.id)
            if cell is not None:
                places[task.id] = display.Place(parent=cell.parent, count=cell.count)
        if spot is None:
            panel = new_panel()
            spot = panel.spot if panel is not None else display.Spot(parent=channel.parent())
        return display.LiveDisplay(channel, flow, places, host.outputs, used, spot=spot)

    return show
