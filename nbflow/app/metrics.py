# SPDX-License-Identifier: BSD-3-Clause
"""Figures for Prometheus. They are read from the database, so that any number of schedulers tell the same; only its loop is a process's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from nbflow import __version__
from nbflow.app.counting import tallies
from nbflow.app.limits import pool_uses
from nbflow.app.rooms import Opened
from nbflow.core.house import Figures
from nbflow.core.tallies import BOUNDS, RUN_DELAYS, RUNS, TASK_DELAYS, TASKS, Tally
from nbflow.engine.owner import say_owner

if TYPE_CHECKING:
    from prometheus_client.core import HistogramMetricFamily, Metric

#: What is counted -> its name, what it is, and whether it has a state.
_HISTOGRAMS: Final = {
    RUNS: ("nbflow_run_duration_seconds", "How long runs took that have ended.", True),
    RUN_DELAYS: ("nbflow_run_queue_delay_seconds", "From when a run was due to when it began.", False),
    TASKS: ("nbflow_task_duration_seconds", "How long tasks of ended runs took, in their last attempt.", True),
    TASK_DELAYS: ("nbflow_task_queue_delay_seconds", "From when a task might run to when a worker began it.", False),
}
_COUNTERS: Final = {RUNS: ("nbflow_runs", "Runs that have ended."), TASKS: ("nbflow_tasks", "Tasks of runs that have ended.")}
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def metrics_text(rooms: Opened, loop_seconds: float | None = None) -> bytes:
    """All of them, in Prometheus' text format. `loop_seconds`: the last turn of the scheduler in this process."""
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 - only who watches needs it

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(rooms, lambda: loop_seconds))
    return bytes(generate_latest(registry))


class Collector:
    """What `prometheus_client` asks for metrics, each time they are scraped."""

    def __init__(self, rooms: Opened, loop_seconds: Callable[[], float | None]) -> None:
        self._rooms, self._loop_seconds = rooms, loop_seconds

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering it reads no database."""
        return ()

    def collect(self) -> Iterator[Metric]:
        now = self._rooms.clock.now()
        figures = self._rooms.store.house.figures(now)
        yield _gauge("nbflow_info", "The version of nbflow that answers.", ("version",), [((__version__,), 1)])
        yield from self._counted()
        yield from _active(figures, now)
        yield from self._leases(figures)
        yield from self._pools()
        yield from self._schedulers(now)

    def _counted(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily  # noqa: PLC0415 - as above

        found = tallies(self._rooms)
        for what, (name, about) in _COUNTERS.items():
            counter = CounterMetricFamily(name, about, labels=("flow", "state"))
            for one in found:
                if one.what == what:
                    counter.add_metric((one.flow, one.state), one.count)
            yield counter
        for what, (name, about, has_state) in _HISTOGRAMS.items():
            histogram = HistogramMetricFamily(name, about, labels=("flow", "state") if has_state else ("flow",))
            for one in found:
                if one.what == what:
                    _add(histogram, (one.flow, one.state) if has_state else (one.flow,), one)
            yield histogram

    def _leases(self, figures: Figures) -> Iterator[Metric]:
        values = [(("held",), figures.held_leases), (("lapsed",), figures.lapsed_leases)]
        yield _gauge("nbflow_run_leases", "Leases of unfinished runs: held, or lapsed because their holder is gone.", ("state",), values)
        age = max(0.0, self._rooms.settings.lease - figures.first_lapse) if figures.first_lapse is not None else 0.0
        yield _gauge("nbflow_run_lease_age_seconds", "Since the held lease that waits longest was renewed.", (), [((), age)])

    def _pools(self) -> Iterator[Metric]:
        uses = pool_uses(self._rooms.store)
        slots = [((use.pool.name,), use.pool.slots if use.pool.slots >= 0 else float("inf")) for use in uses]
        yield _gauge("nbflow_pool_slots", "Slots of a pool.", ("pool",), slots)
        yield _gauge("nbflow_pool_used_slots", "Slots that are taken.", ("pool",), [((use.pool.name,), use.used) for use in uses])
        waiting = [((use.pool.name,), use.waiting) for use in uses]
        yield _gauge("nbflow_pool_waiting_tasks", "Tasks that wait for a slot.", ("pool",), waiting)

    def _schedulers(self, now: datetime) -> Iterator[Metric]:
        from nbflow.engine.owner import me  # noqa: PLC0415 - reads /proc

        living = self._rooms.store.deployments.schedulers()
        yield _gauge("nbflow_schedulers", "Schedulers that live.", (), [((), len(living))])
        loops = {one.owner: one.loop_seconds for one in living}
        own = self._loop_seconds()
        if own is not None:
            loops[me()] = own  # newer than what was announced
        turns = [((say_owner(owner),), seconds) for owner, seconds in sorted(loops.items())]
        yield _gauge("nbflow_scheduler_loop_seconds", "How long a scheduler's last turn took.", ("scheduler",), turns)
        ages = [((say_owner(one.owner),), (now - one.started_at).total_seconds()) for one in living]
        yield _gauge("nbflow_scheduler_uptime_seconds", "Since when a scheduler runs.", ("scheduler",), ages)


def _active(figures: Figures, now: datetime) -> Iterator[Metric]:
    yield _gauge("nbflow_active_runs", "Unfinished runs.", ("flow", "state"), sorted(figures.active_runs.items()))
    tasks = [((state,), number) for state, number in sorted(figures.active_tasks.items())]
    yield _gauge("nbflow_active_tasks", "Task instances of unfinished runs.", ("state",), tasks)
    yield _gauge(
        "nbflow_queue_age_seconds", "Since when the longest due run waits to be taken.", (), [((), _since(figures.oldest_queued, now))]
    )
    lag = _since(figures.oldest_due, now)
    yield _gauge("nbflow_schedule_lag_seconds", "Since when the longest due date waits for its run to be made.", (), [((), lag)])
    flows = [(("false",), figures.flows - figures.paused_flows), (("true",), figures.paused_flows)]
    yield _gauge("nbflow_flows", "Deployed flows.", ("paused",), flows)


def _since(instant: datetime | None, now: datetime) -> float:
    return max(0.0, (now - instant).total_seconds()) if instant is not None else 0.0


def _gauge(name: str, about: str, labels: Iterable[str], values: Iterable[tuple[tuple[str, ...], float]]) -> Any:
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415 - as above

    family = GaugeMetricFamily(name, about, labels=tuple(labels))
    for names, value in values:
        family.add_metric(names, value)
    return family


def _add(histogram: HistogramMetricFamily, labels: tuple[str, ...], one: Tally) -> None:
    bounds = [*(str(bound) for bound in BOUNDS), "+Inf"]
    histogram.add_metric(labels, buckets=list(zip(bounds, one.cumulative, strict=True)), sum_value=one.micros / 1_000_000)
