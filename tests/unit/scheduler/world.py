# SPDX-License-Identifier: BSD-3-Clause
"""A scheduler in a world without time: a memory store, a clock turned by hand, a launcher whose runs end when told."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from nbflow.authoring.schedules import read_schedule
from nbflow.core.deployments import Deployment
from nbflow.core.model import Flow, Task
from nbflow.core.planning import rescheduled
from nbflow.core.records import Change, Lease, RunRecord
from nbflow.core.states import RunState
from nbflow.core.watching import Thing, Watch
from nbflow.scheduler.arriving import Found
from nbflow.scheduler.loop import Scheduler
from nbflow.store.memory import MemoryStore
from nbflow.testing import FakeClock

START = datetime(2023, 1, 1, tzinfo=UTC)


@dataclass
class Launched:
    """Takes everything; a run goes on until `end`."""

    limit: int = 10_000
    runs: dict[str, Lease] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    dead: set[str] = field(default_factory=set)
    given_up: dict[str, str] = field(default_factory=dict)

    def room(self) -> int:
        return self.limit - len(self.runs)

    def launch(self, run: RunRecord, lease: Lease) -> None:
        self.runs[run.run_id] = lease
        self.order.append(run.run_id)

    def is_dead(self, owner: str) -> bool:
        return owner in self.dead

    def give_up(self, lease: Lease, why: str) -> None:
        self.given_up[lease.run_id] = why


class Looked:
    """Files that are looked at when somebody asks how the look ended."""

    def __init__(self, files: dict[str, Thing] | None = None) -> None:
        self.files = {} if files is None else files
        self.wrong: dict[str, str] = {}
        self.looks: Counter[str] = Counter()
        self.asked: dict[str, str] = {}
        self._begun: list[Watch] = []

    def put(self, path: str, at: datetime, content: str = "") -> None:
        self.files[path] = Thing(f"{at:%H%M%S}{content}", at)

    def room(self, watch: Watch) -> bool:
        return watch not in self._begun

    def begin(self, watch: Watch, url: str, now: datetime) -> None:
        self.asked[url] = watch.name
        self._begun.append(watch)

    def ended(self, now: datetime) -> list[tuple[Watch, Found]]:
        begun, self._begun = self._begun, []
        self.looks.update(watch.url for watch in begun)
        return [(watch, self.wrong.get(watch.url) or dict(self.files)) for watch in begun]


@dataclass
class World:
    """Flows, a scheduler, and what came of them."""

    clock: FakeClock = field(default_factory=lambda: FakeClock(START))
    looks: Looked | None = None

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.clock)
        self.launched = Launched()
        self.scheduler = self.another("scheduler", looks=self.looks)

    def another(self, owner: str, launcher: Launched | None = None, looks: Looked | None = None) -> Scheduler:
        return Scheduler(store=self.store, launcher=launcher or self.launched, read=read_schedule, owner=owner, seconds=30, looks=looks)

    def deploy(self, name: str = "sales", since: datetime | None = None, flow: Flow | None = None, **keys) -> Deployment:
        now = self.clock.now()
        flow = flow or Flow(name=name, tasks=(Task(id="a", source="x = 1"), Task(id="b")))
        made = Deployment(
            name=name,
            version=self.store.save_flow(flow),
            number=1,
            path="/n/x.ipynb",
            schedule=keys,
            deployed_at=now,
            since=since or now + timedelta(microseconds=1),
        )
        self.store.deployments.create(rescheduled(made, read_schedule(keys), now))
        return self.store.deployments.get(name)

    def tick(self, at: datetime | timedelta | None = None) -> None:
        if isinstance(at, timedelta):
            self.clock.advance(at)
        elif at is not None:
            self.clock.advance(at - self.clock.now())
        self.scheduler.tick(self.clock.now())

    def end(self, run_id: str, state: RunState = RunState.SUCCESS) -> None:
        lease = self.launched.runs.pop(run_id)
        run = self.store.run(run_id)
        ended = replace(run, state=state, ended_at=self.clock.now())
        self.store.commit(lease, [Change(at=self.clock.now(), key=None, before=run.state, after=state, run=ended)])
        self.store.release(lease)
        self.scheduler.handed.pop(run.run_id, None)

    def end_all(self, state: RunState = RunState.SUCCESS) -> int:
        running = list(self.launched.runs)
        for run_id in running:
            self.end(run_id, state)
        return len(running)

    def dates(self, name: str = "sales") -> list[str]:
        """Logical dates of all runs of a flow, in order."""
        runs = [*self.store.deployments.active(name), *self.store.deployments.ended(name, 100_000)]
        return [f"{run.logical_date:%m-%dT%H:%M}" for run in sorted(runs, key=lambda run: run.logical_date)]

    def states(self, name: str = "sales") -> list[str]:
        runs = [*self.store.deployments.active(name), *self.store.deployments.ended(name, 100_000)]
        return [run.state.value for run in sorted(runs, key=lambda run: (run.created_at, run.run_id))]
