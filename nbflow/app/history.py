# SPDX-License-Identifier: BSD-3-Clause
"""What was written and what happened: everything a door reads."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nbflow.app import limits
from nbflow.app.lending import cell_problems, secret_problems
from nbflow.app.rooms import Opened
from nbflow.core.errors import Problem, UserError, nearest
from nbflow.core.ids import slug, task_key
from nbflow.core.job import CaptureSet, Outcome, OutputsRef, ValueRef
from nbflow.core.mapping import copy_heading, summary
from nbflow.core.model import Flow
from nbflow.core.protocols import RunPage
from nbflow.core.records import AttemptRecord, Change, RunRecord
from nbflow.core.resources import Offers
from nbflow.core.snapshot import RunSnapshot
from nbflow.engine.attempts import values_of
from nbflow.engine.captures import HandedOver


class History(Opened):
    """Reading: flows of files, runs, attempts, outputs, values."""

    # --- what was written -------------------------------------------------------------------------------------------

    def load_flow(self, path: str | Path) -> Flow:
        """The flow of a notebook, found without running anything. Raises UserError, FlowError with every problem."""
        from nbflow.authoring.flow_builder import build_flow  # noqa: PLC0415 - IPython's transformer is loaded when a file is read
        from nbflow.authoring.notebook_file import read_notebook  # noqa: PLC0415

        notebook = read_notebook(path)
        return build_flow(
            notebook.cells, name=slug(Path(path).stem), path=str(Path(path).resolve()), installation=self.settings.task_defaults
        )

    def problems(self, path: str | Path) -> tuple[Problem, ...]:
        """Everything that would go wrong with a notebook, warnings too. Raises UserError when it cannot be read at all."""
        from nbflow.authoring.cell_kinds import plain_sources  # noqa: PLC0415 - as above
        from nbflow.authoring.flow_builder import find_problems  # noqa: PLC0415 - as above
        from nbflow.authoring.header import place_of_key  # noqa: PLC0415 - as above
        from nbflow.authoring.notebook_file import read_notebook  # noqa: PLC0415

        cells, installation = read_notebook(path).cells, self.settings.task_defaults
        found = find_problems(cells, name=slug(Path(path).stem), path=str(Path(path).resolve()), installation=installation)
        if any(problem.severity == "error" for problem in found):
            return found
        from nbflow.app.arriving import named_assets, start_problems  # noqa: PLC0415 - schedules are loaded when they are looked at
        from nbflow.app.notifying import notice_problems  # noqa: PLC0415 - as above

        flow = self.load_flow(path)
        outlets = named_assets(task.options.outlets for task in flow.tasks)
        starts = start_problems(self, flow.options.schedule, outlets, lambda key: place_of_key([cell.source for cell in cells], key))
        plain = cell_problems(lambda: self.secrets.stored, plain_sources(cells))
        return (*found, *self.limit_problems(flow), *plain, *notice_problems(self, flow), *starts)

    def limit_problems(self, flow: Flow, offers: Callable[[], Offers | None] | None = None) -> tuple[Problem, ...]:
        """What this installation would never let run. Pools, connections and what workers have are looked up only where a task asks for them."""
        pools = limits.pool_problems(self.store, flow) if limits.asks_for_pools(flow) else ()
        unknown = bool(flow.options.cluster)  # a cluster of its own starts with its run
        resources = limits.resource_problems(flow, offers or ((lambda: None) if unknown else self.offers))
        return (*pools, *resources, *secret_problems(lambda: self.secrets.stored, flow))

    # --- what happened ----------------------------------------------------------------------------------------------

    def find_runs(self, *, flow: str = "", state: str = "", path: str = "", cursor: str = "", limit: int = 50) -> RunPage:
        return self.store.find_runs(flow=flow, state=state, path=path, cursor=cursor, limit=limit)

    def last_run(self, *, flow: str = "", path: str = "") -> RunRecord | None:
        """The newest run of a flow, or None."""
        runs = self.store.find_runs(flow=flow, path=path, limit=1).runs
        return runs[0] if runs else None

    def run(self, run_id: str) -> RunRecord:
        """The run of that id; `latest` is the newest of all. Raises UserError."""
        if run_id != "latest":
            return self.store.run(run_id)
        newest = self.last_run()
        if newest is None:
            raise UserError("There are no runs yet: type nbflow run NOTEBOOK.")
        return newest

    def snapshot(self, run_id: str) -> RunSnapshot:
        """The run as recorded now, and why what waits does wait."""
        snapshot = RunSnapshot.of(self.store.run(run_id), self.store.task_records(run_id))
        return limits.explained(self.store, snapshot, self.clock.now(), self.slots())

    def flow_of(self, run: RunRecord) -> Flow:
        """The flow version the run is pinned to."""
        return self.store.flow(run.version)

    def attempts(self, run_id: str, task: str = "") -> tuple[AttemptRecord, ...]:
        """The finished attempts, oldest first: of all tasks, of one, or of one copy of a mapped task (`score[3]`).

        Raises UserError for a task the run does not have.
        """
        if not task:
            return self.store.attempts(run_id)
        key = task_key(task)
        keys = {record.key for record in self.store.task_records(run_id)}
        known = {str(one) for one in keys} | {one.task_id for one in keys}
        if task not in known:
            raise UserError(f'Run {run_id} has no task "{task}".{nearest(task, known)}')
        return self.store.attempts(run_id, key.task_id, key.map_index if key.map_index >= 0 else None)

    def outputs(self, ref: OutputsRef) -> list[dict[str, Any]]:
        """The outputs a record refers to."""
        if ref.hash:
            return list(json.loads(self.artifacts.get(ref.hash)))
        return [dict(output) for output in ref.inline]

    def logs(self, run_id: str, task: str, attempt: int | None = None) -> list[dict[str, Any]]:
        """The outputs of the newest attempt of a task, or of the one of that number; of a mapped task copy by copy. Raises UserError."""
        attempts = self.attempts(run_id, task)
        chosen = {one.key: one for one in attempts if attempt is None or one.attempt == attempt}  # the newest of each
        if not chosen:
            what = f"no attempt {attempt}" if attempt is not None else "no finished attempt"
            raise UserError(f"Task {task} of run {run_id} has {what}. {self.reason_of(run_id, task)}".rstrip())
        if len(chosen) == 1:
            return self._told(next(iter(chosen.values())))
        outputs: list[dict[str, Any]] = []
        for key in sorted(chosen):
            found = self._told(chosen[key])
            outputs += [{"output_type": "display_data", "data": copy_heading(key), "metadata": {}}, *found] if found else []
        return outputs

    def _told(self, attempt: AttemptRecord) -> list[dict[str, Any]]:
        """Its outputs, and how it ended where its own process could not say so."""
        outputs = self.outputs(attempt.outputs)
        if attempt.outcome == Outcome.LOST:
            outputs.append({"output_type": "stream", "name": "stderr", "text": f"Attempt {attempt.attempt} was lost: {attempt.reason}\n"})
        elif attempt.error is not None and not any(output["output_type"] == "error" for output in outputs):
            error = attempt.error
            lines = list(error.traceback) or [error.sentence]
            outputs.append({"output_type": "error", "ename": error.ename, "evalue": error.evalue, "traceback": lines})
        return outputs

    def reason_of(self, run_id: str, task: str) -> str:
        """Why a task of a run stands as it does."""
        records = RunSnapshot.of(self.store.run(run_id), self.store.task_records(run_id)).tasks
        key = task_key(task)
        found = records.get(key) or summary(records, key.task_id)
        return found.reason if found else ""

    def given(self, run_id: str, task: str) -> Mapping[str, ValueRef]:
        """What a task gave in a run, by name; a mapped task lists, one copy of it (`score[3]`) its own. Raises UserError when nothing succeeded."""
        self.attempts(run_id, task)
        found = values_of(self.store, run_id).find(task_key(task))
        if found is None:
            raise UserError(f"Task {task} of run {run_id} gave nothing. {self.reason_of(run_id, task)}".rstrip())
        return found.values

    def captures(self, run_id: str) -> CaptureSet:
        """What the kernel handed over for this run."""
        return HandedOver.decode(self.store.captures(run_id)).newest()

    def follow(self, run_id: str, *, pause: float = 0.2) -> Iterator[Sequence[Change]]:
        """The changes of a run as they are recorded, by any process, until it has ended."""
        cursor, waiting = 0, threading.Event()
        while True:
            changes = self.store.changes(run_id, cursor)
            if changes:
                cursor = changes[-1].cursor
                yield changes
            elif self.store.run(run_id).state.is_finished:
                return
            else:
                waiting.wait(pause)
