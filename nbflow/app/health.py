# SPDX-License-Identifier: BSD-3-Clause
"""Is all well? What `nbflow doctor` and the scheduler's `/health` say of schedulers, lag and leases."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from nbflow import __version__
from nbflow.app.rooms import Opened
from nbflow.app.saying import NO_SCHEDULER
from nbflow.core.deployments import SchedulerRecord
from nbflow.core.durations import say_duration
from nbflow.core.house import Figures
from nbflow.engine.owner import say_owner

#: Seconds for which something due may wait before that is worth a word: a scheduler looks twice a second.
LATE: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Health:
    """How things stand, and what is wrong as sentences."""

    schedulers: tuple[SchedulerRecord, ...]
    figures: Figures
    #: Seconds since the longest due date that has no run yet, and since the longest due run that nobody has taken.
    lag: float
    queue_age: float
    problems: tuple[str, ...]

    @property
    def is_well(self) -> bool:
        return not self.problems


def health(rooms: Opened) -> Health:
    """From a few queries by index. Raises SetupError when the database is away."""
    now = rooms.clock.now()
    figures = rooms.store.house.figures(now)
    living = rooms.store.deployments.schedulers()
    lag, age = _since(figures.oldest_due, now), _since(figures.oldest_queued, now)
    problems = []
    if figures.flows > figures.paused_flows and not living:
        problems.append(NO_SCHEDULER)
    if lag > LATE:
        problems.append(f"A flow has been due for {say_duration(lag)} and has no run: look at the scheduler's log, or start another one.")
    if age > LATE and living:
        problems.append(
            f"A run has been due for {say_duration(age)} and nobody has taken it: its flow has max_active_runs under way, or all hosts are busy."
        )
    if figures.lapsed_leases:
        runs = "1 run" if figures.lapsed_leases == 1 else f"{figures.lapsed_leases} runs"
        problems.append(f"Whoever drove {runs} is gone: a scheduler goes on with those of deployed flows; nbflow db check names all.")
    return Health(schedulers=living, figures=figures, lag=lag, queue_age=age, problems=tuple(problems))


def health_json(found: Health) -> dict[str, Any]:
    """As `/health` answers."""
    figures = found.figures
    return {
        "status": "ok" if found.is_well else "degraded",
        "problems": list(found.problems),
        "version": __version__,
        "schedulers": [
            {
                "scheduler": say_owner(one.owner),
                "version": one.nbflow,
                "started_at": one.started_at.isoformat(),
                "loop_seconds": one.loop_seconds,
            }
            for one in found.schedulers
        ],
        "schedule_lag_seconds": round(found.lag, 3),
        "queue_age_seconds": round(found.queue_age, 3),
        "leases": {"held": figures.held_leases, "lapsed": figures.lapsed_leases},
        "flows": {"deployed": figures.flows, "paused": figures.paused_flows},
    }


def _since(instant: datetime | None, now: datetime) -> float:
    return max(0.0, (now - instant).total_seconds()) if instant is not None else 0.0
