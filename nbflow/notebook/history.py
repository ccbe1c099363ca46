# SPDX-License-Identifier: BSD-3-Clause
"""The verbs that look back: `%nbflow status`, `logs`, `result`, `runs`, `cancel`, `answer`."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

from nbflow.core.durations import say_duration
from nbflow.core.errors import NbflowError, UserError
from nbflow.core.ids import task_key
from nbflow.core.records import RunRecord
from nbflow.notebook import display
from nbflow.notebook.channel import Bundle
from nbflow.notebook.runs import LiveHost
from nbflow.notebook.verbs import Asked

if TYPE_CHECKING:
    from nbflow.notebook.magics import NbflowMagics

#: How many runs back a task is looked for.
_LOOK_BACK: Final = 20


class History:
    """What happened to this notebook's flow."""

    def __init__(self, magics: NbflowMagics) -> None:
        self._session, self._launcher, self._channel = magics.session, magics.launcher, magics.channel
        host = self._launcher.host
        self.workspace: Any = (host if isinstance(host, LiveHost) else LiveHost()).workspace

    def status(self, asked: Asked) -> None:  # noqa: ARG002 - all verbs are called alike
        """The last run: its graph, and a line for each task."""
        run = self.last()
        snapshot = self.workspace.snapshot(run.run_id)
        self._channel.show(display.graph(self.workspace.flow_of(run), snapshot), display.next_graph_id())
        now = self.workspace.clock.now()
        rows = []
        for key, record in snapshot.tasks.items():
            seconds = ((record.ended_at or now) - record.started_at).total_seconds() if record.started_at else None
            took = say_duration(seconds) if seconds is not None else ""
            rows.append((str(key), record.state.value.replace("_", " "), str(record.attempt or ""), took, record.reason))
        self._channel.show(table(("task", "state", "attempt", "took", "why"), rows), "")
        self._channel.write(f"{snapshot.sentence(now)}\n")

    def logs(self, asked: Asked) -> None:
        """What a task showed, shown again here."""
        run = self.chosen(asked["run"], asked["task"])
        outputs = self.workspace.logs(run.run_id, asked["task"], asked["attempt"])
        if not outputs:
            self._channel.write(f"Task {asked['task']} of run {run.run_id} showed nothing.\n")
        parent = self._channel.parent()
        for output in outputs:
            if output["output_type"] == "error":  # a cell that replays a failure has not itself failed
                self._channel.write("\n".join(output.get("traceback", ())) + "\n")
                continue
            content = {name: value for name, value in output.items() if name not in {"output_type", "execution_count"}}
            kind = "display_data" if output["output_type"] == "execute_result" else output["output_type"]
            self._channel.send(kind, {"metadata": {}, **content} if kind == "display_data" else content, parent)

    def result(self, asked: Asked) -> Any:
        """What a task gave, or was given: the value when it is one, else a dict by name. Raises UserError."""
        from nbflow.app.inspecting import given_by, inputs_of, only  # noqa: PLC0415 - loading the extension stays quick

        run, task, name = self.chosen(asked["run"], asked["task"]), asked["task"], asked["name"]
        if asked["inputs"]:
            given, did = inputs_of(self.workspace, run.run_id, task, asked["attempt"]).shown(), "was given"
        else:
            given, did = dict(given_by(self.workspace, run.run_id, task, asked["attempt"])), "gave"
        chosen = only(name, given, run.run_id, task, did)
        values = self._launcher.kernel.decode(chosen, self.workspace.artifacts)
        return next(iter(values.values())) if len(values) == 1 else values

    def diff(self, asked: Asked) -> None:
        """Two runs compared; without a second one, with the last."""
        from nbflow.app.differing import difference  # noqa: PLC0415 - loading the extension stays quick
        from nbflow.views.difference import difference_text  # noqa: PLC0415 - as above

        found = difference(self.workspace, asked["a"], self.chosen(asked["b"]).run_id)
        self._channel.write(f"{difference_text(found)}\n")

    def runs(self, asked: Asked) -> None:
        """The newest runs of this flow."""
        name, path = self.flow_name(), self._session.path
        runs: Sequence[RunRecord] = self.workspace.find_runs(flow=name, path=path, limit=max(1, asked["limit"])).runs
        if not runs:
            self._channel.write(f"Flow {name} has not run yet: type %nbflow run.\n")
            return
        rows = []
        for run in runs:
            took = say_duration((run.ended_at - run.started_at).total_seconds()) if run.started_at and run.ended_at else ""
            started = f"{run.started_at.astimezone():%Y-%m-%d %H:%M:%S}" if run.started_at else ""
            rows.append((run.run_id, run.state.value, started, took, run.trigger, run.reason))
        self._channel.show(table(("run", "state", "started", "took", "by", "why"), rows), "")

    def cancel(self, asked: Asked) -> None:
        """Cancel the newest run, or tasks of it."""
        run = self.last()
        self.workspace.cancel(run.run_id, tuple(asked["task"]))
        what = f"{', '.join(asked['task'])} of run" if asked["task"] else "run"
        self._channel.write(f"Cancelling {what} {run.run_id}.\n")

    def answer(self, asked: Asked) -> None:
        """Answer a task of the newest run that waits for a person."""
        run = self.last(asked["task"])
        understood = self.workspace.answer(run.run_id, asked["task"], asked["answer"])
        self._channel.write(f"Answered {understood} to {asked['task']} of run {run.run_id}.\n")

    def chosen(self, run_id: str, task: str = "") -> RunRecord:
        """The run of that id; without one, the newest (that has the task). Raises UserError."""
        if not run_id:
            return self.last(task)
        run: RunRecord = self.workspace.run(run_id)
        return run

    def last(self, task: str = "") -> RunRecord:
        """The newest run; with `task`, the newest that has it (a run of one other task does not hide it). Raises UserError."""
        name = self.flow_name()
        runs: Sequence[RunRecord] = self.workspace.find_runs(flow=name, path=self._session.path, limit=_LOOK_BACK if task else 1).runs
        if not runs:
            raise UserError(f"Flow {name} has not run yet: type %nbflow run.")
        known = {run.run_id: run.tasks or [one.id for one in self.workspace.flow_of(run).tasks] for run in runs} if task else {}
        return next((run for run in runs if task_key(task).task_id in known.get(run.run_id, ())), runs[0])

    def flow_name(self) -> str:
        """The flow's name as it is now."""
        try:
            return self._session.draft().name
        except NbflowError:
            return self._session.name  # history can be read while a cell is being mended


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Bundle:
    """A small table as HTML and as text."""
    widths = [max(len(row[column]) for row in (titles, *rows)) for column in range(len(titles))]
    text = "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (titles, *rows))
    head = "".join(f'<th style="text-align:left">{escape(title)}</th>' for title in titles)
    body = "".join("<tr>" + "".join(f'<td style="text-align:left">{escape(cell)}</td>' for cell in row) + "</tr>" for row in rows)
    return {"text/plain": text, "text/html": f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"}
