# SPDX-License-Identifier: BSD-3-Clause
"""What doors say about deployments, and what people say about schedules on a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from nbflow.app.deploying import Deployed
    from nbflow.app.workspace import Workspace
    from nbflow.core.deployments import Deployment

NO_SCHEDULER: Final = "Nothing will start by itself: no scheduler is running. Type nbflow up, or nbflow scheduler."


def said_keys(schedules: Sequence[str], timezone: str | None = None, keys: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
    """Options of a command as keys of a schedule; the schedule `none` takes the header's away. Raises UserError."""
    import yaml  # noqa: PLC0415 - only where a schedule is said

    from nbflow.authoring.header import read_schedule_table  # noqa: PLC0415 - as above

    said: dict[str, Any] = {}
    for key, text in keys:
        try:
            said[key] = yaml.safe_load(text)
        except yaml.YAMLError:
            said[key] = text
    if timezone is not None:
        said["timezone"] = timezone
    is_none = tuple(schedules) == ("none",)
    if schedules and not is_none:
        said["schedule"] = schedules[0] if len(schedules) == 1 else list(schedules)
    read = read_schedule_table(said)
    return {**read, "schedule": []} if is_none else read


def deployed_sentence(workspace: Workspace, done: Deployed) -> str:
    """`Deployed sales, version 2. Every day at 03:00, Europe/Zurich. Next: Fri 27 Nov 03:00, in 7 h 12 m.`"""
    from nbflow.views.schedule_words import say_next, say_schedule  # noqa: PLC0415 - as above

    deployment = done.deployment
    what = f"version {deployment.number}" + ("" if done.is_changed else ", as it was")
    paused = f" It is paused: type nbflow flows unpause {deployment.name}." if deployment.paused else ""
    following = say_next(done.schedule, deployment.next_run, workspace.clock.now())
    return f"Deployed {deployment.name}, {what}. {say_schedule(done.schedule)}{following}{paused}"


def without_scheduler(workspace: Workspace, deployment: Deployment) -> str:
    """A warning when this flow would run by itself if only there were a scheduler, else ""."""
    by_itself = deployment.next_run is not None or deployment.schedule.get("on") or deployment.schedule.get("assets")
    return NO_SCHEDULER if by_itself and not deployment.paused and not workspace.store.deployments.schedulers() else ""


def warnings_of(workspace: Workspace, deployment: Deployment) -> tuple[str, ...]:
    """What keeps this flow from starting by itself: what it waits for and nobody makes, and that there is no scheduler."""
    from nbflow.app.arriving import start_problems  # noqa: PLC0415 - as above

    problems = start_problems(workspace, deployment.schedule, deployment.outlets)
    alone = without_scheduler(workspace, deployment)
    return (*(problem.message for problem in problems), *([alone] if alone else ()))
