# SPDX-License-Identifier: BSD-3-Clause
"""The verbs about what stands in this notebook now: `%nbflow graph`, `run`, `retry`, `check`, `forget`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbflow.core.errors import UserError, nearest
from nbflow.core.ids import TaskId
from nbflow.core.model import Flow
from nbflow.core.records import RunRecord
from nbflow.notebook import display, verbs
from nbflow.notebook.display import Spot
from nbflow.notebook.launch import Launch
from nbflow.notebook.runs import LiveHost

if TYPE_CHECKING:
    from nbflow.notebook.magics import NbflowMagics


class Here:
    """The flow as understood from the cells executed so far."""

    def __init__(self, magics: NbflowMagics) -> None:
        self._magics, self._session = magics, magics.session

    def run(self, asked: verbs.Asked) -> Launch | None:
        """Run it; blocks unless it is to run in the background."""
        launch = self.launch(asked)
        if launch is not None and not asked["background"]:
            self._magics.block(launch)
        return launch

    def retry(self, asked: verbs.Asked) -> Launch | None:
        """Run tasks of the last run again; blocks unless whoever drives that run was asked to."""
        launch = self.launch(asked)
        if launch is not None:
            self._magics.block(launch)
        return launch

    def launch(self, asked: verbs.Asked) -> Launch | None:
        """Begin what `run` or `retry` asks for; None when a driver was asked to. Raises UserError when a task or parameter is not known."""
        if asked.verb == "retry":
            return self._again(asked, asked["task"])
        if asked["from_task"]:
            for option, given in {"-p": asked["param"], "--task": asked["task"]}.items():
                if given:
                    raise UserError(f"--from runs tasks of the last run again, with its parameters: leave out {option}.")
            return self._again(asked, [asked["from_task"]])
        flow = self._session.draft()
        known = [task.id for task in flow.tasks]
        for task in asked["task"]:
            if task not in known:
                raise UserError(f'There is no task "{task}".{nearest(task, known)}')
        tasks = tuple(TaskId(task) for task in asked["task"]) or self._session.tasks_above(flow)
        return self._magics.launcher.start(flow, tasks, self._parameters(flow, asked["param"]), fresh=asked["fresh"])

    def run_all(self, spot: Spot) -> Launch:
        """Begin to run every task, shown in that spot. Raises UserError."""
        flow = self._session.draft()
        return self._magics.launcher.start(flow, [task.id for task in flow.tasks], {}, spot=spot)

    def retry_run(self, run: RunRecord, tasks: Sequence[str], spot: Spot, say: Callable[[str], None]) -> Launch | None:
        """Begin to run tasks of a run again, shown in that spot; None when whoever drives it was asked to. Raises UserError."""
        return self._magics.launcher.retry(run.run_id, tasks, self._code(self._magics.history(), run, "", say), spot)

    def _again(self, asked: verbs.Asked, tasks: Sequence[str]) -> Launch | None:
        history = self._magics.history()
        run = history.chosen(asked.options.get("run", ""), tasks[0] if tasks else "")
        if asked.options.get("upstream"):
            tasks = history.workspace.with_upstream(run, tasks)
        if asked.options.get("dry_run"):
            again = ", ".join(map(str, history.workspace.tasks_to_run_again(run, tasks)))
            self._magics.channel.write(f"Would run {again} of run {run.run_id} again.\n")
            return None
        if asked["code"] == "latest":
            self._leave_to_a_scheduler(history.workspace, run, tasks)
            return None
        launch = self._magics.launcher.retry(run.run_id, tasks, self._code(history, run, asked["code"], self._magics.channel.write))
        if launch is None:
            self._magics.channel.write(f"Run {run.run_id} goes on, and runs {', '.join(tasks) or 'what failed'} again, as it has them.\n")
        return launch

    def _leave_to_a_scheduler(self, workspace: Any, run: RunRecord, tasks: Sequence[str]) -> None:
        """The run of a deployment goes on in the newest deployed version. Raises UserError."""
        from nbflow.app.saying import NO_SCHEDULER  # noqa: PLC0415 - loading the extension stays quick
        from nbflow.headless.latest import clear_for_latest  # noqa: PLC0415 - as above

        if not run.deployment:
            raise UserError(f"Run {run.run_id} is not one of a deployed flow: --code now runs the cells as they are here.")
        cleared = clear_for_latest(workspace, run, tasks)
        told = f"Run {run.run_id} runs {', '.join(map(str, cleared.keys))} in version {cleared.deployment.number} of {run.deployment}"
        after = f", as soon as a scheduler takes it.\n{'' if workspace.store.deployments.schedulers() else NO_SCHEDULER + chr(10)}"
        self._magics.channel.write(told + after)

    def _code(self, history: Any, run: RunRecord, wanted: str, say: Callable[[str], None]) -> Flow | None:
        """The flow as it is now, where all tasks of the run were executed here; None: as the run has it."""
        if wanted == "run":
            return None
        try:
            now = self._session.draft()
        except UserError:
            if wanted == "now":
                raise
            return None
        missing = {task.id for task in history.workspace.flow_of(run).tasks} - {task.id for task in now.tasks}
        if wanted == "now" or (not missing and now.name == run.flow):
            return now
        if missing:
            told = f"The cells of {', '.join(sorted(missing))} were not executed here, so tasks run with the code of run {run.run_id}."
            say(f"{told}\n")
        return None

    def _parameters(self, flow: Flow, given: list[list[str]]) -> Mapping[str, Any]:
        """The parameters, bound in the notebook as well: plain cells and tasks see the same value."""
        params = verbs.read_params(given)
        known = [parameter.name for parameter in flow.parameters] or list(flow.captures)
        for name in params:
            if name not in known:
                hint = nearest(name, known) or (
                    f" It has: {', '.join(known)}." if known else " Tag the cell that sets it with `parameters`."
                )
                raise UserError(f'There is no parameter "{name}".{hint}')
        self._magics.shell.user_ns.update(params)
        return params

    def graph(self, asked: verbs.Asked) -> None:  # noqa: ARG002 - all verbs are called alike
        """The graph, shown."""
        self._magics.channel.show(display.graph(self._session.draft()), display.next_graph_id())

    def forget(self, asked: verbs.Asked) -> None:
        """Take back the definition of a task."""
        self._session.forget(asked["task"])
        print(f"Forgot {asked['task']}; executing its cell defines it again.")  # noqa: T201 - the answer of a command

    def check(self, asked: verbs.Asked) -> None:  # noqa: ARG002 - as above
        """Everything that would go wrong."""
        from nbflow.authoring.flow_builder import find_problems  # noqa: PLC0415 - loading the extension stays quick

        session = self._session
        found = find_problems(session.cells(), name=session.name, path=session.path, installation=session.installation())
        problems = list(found)
        # Whether a cell runs the flow is a question about a whole file; here the person is about to type it.
        lines = [f"{problem.severity}: {problem}" for problem in problems if problem.code != "no-run"]
        if not any(problem.severity == "error" for problem in problems):
            flow, launcher = self._session.draft(), self._magics.launcher
            if isinstance(launcher.host, LiveHost):
                lines += [f"{problem.severity}: {problem}" for problem in launcher.host.workspace.limit_problems(flow)]
            try:
                launcher.kernel.hand_over(flow, [task.id for task in flow.tasks], launcher.host.artifacts)
            except UserError as error:
                lines.append(f"error: {error}")
        count = len(self._session.task_names())
        print("\n".join(lines) or f"Nothing is wrong with {count} task{'' if count == 1 else 's'}.")  # noqa: T201 - the answer of a command
