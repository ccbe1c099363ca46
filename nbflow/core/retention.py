# SPDX-License-Identifier: BSD-3-Clause
"""How long history is kept: what may go, and what stays although it is old. Plain facts in, a reason out; "" means that it goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final

from nbflow.core.durations import parse_duration
from nbflow.core.errors import UserError, nearest
from nbflow.core.records import RunRecord
from nbflow.core.states import RunState

#: Runs of a flow that stay however old they are, when nothing else is said.
KEEP_LAST: Final = 10
_YEAR: Final = timedelta(days=365)


@dataclass(frozen=True, kw_only=True)
class Retention:
    """The setting `retention`. None: for ever."""

    #: A run goes so long after its end, with its history, values, outputs and files.
    runs: timedelta | None = None
    #: One that failed or was cancelled, which somebody may want to go on with; None: as `runs`.
    failed: timedelta | None = None
    #: The newest of each flow stay.
    keep_last: int = KEEP_LAST
    #: What tasks were given and gave goes before the run does, of runs that went well.
    artifacts: timedelta | None = None
    #: What tasks printed, the executed notebook and its page go before the run does.
    logs: timedelta | None = None
    #: Results older than this are not kept for `--cache` any more; None: as long as they answer.
    cache: timedelta | None = None

    @property
    def is_anything(self) -> bool:
        """Whether there is anything to do at all."""
        return any(span is not None for span in (self.runs, self.failed, self.artifacts, self.logs))

    def of(self, run: RunRecord) -> timedelta | None:
        """How long this run stays after its end."""
        return self.failed if run.state is not RunState.SUCCESS and self.failed is not None else self.runs


@dataclass(frozen=True, kw_only=True)
class Needed:
    """What else knows a run, as far as it was looked up."""

    #: One of the newest of its flow that stay.
    is_recent: bool = False
    #: The newest of its flow that went well, or the last one in which a task with `--on-failure last-good` did.
    is_last_good: bool = False
    #: A run of the flow that follows it, or will, asks how tasks went in it (`--depends-on-past`).
    is_past: bool = False
    #: When the newest of its results that still answer a cache key was made; None: there is none.
    cached_at: datetime | None = None


Rule = Callable[[RunRecord, Retention, Needed, datetime], str]


def why_kept(run: RunRecord, retention: Retention, needed: Needed, now: datetime) -> str:
    """Why this run stays: the first rule that says so; "" when it may go."""
    return next((reason for rule in _RULES if (reason := rule(run, retention, needed, now))), "")


def why_whole(run: RunRecord, span: timedelta | None, needed: Needed, now: datetime, *, values: bool) -> str:
    """Why this run keeps its values (or what was printed, and its files) after so long; "" when they may go."""
    if not _has_passed(run, span, now):
        return "It is not old enough."
    if needed.is_recent:
        return "It is one of the newest of its flow."
    if not values:
        return ""
    if run.state is not RunState.SUCCESS:
        return "It can be gone on with."
    if needed.is_last_good:
        return "It is the last one that went well."
    return "Results of it are used again." if needed.cached_at is not None else ""


def _young(run: RunRecord, retention: Retention, needed: Needed, now: datetime) -> str:  # noqa: ARG001 - each rule takes all facts
    return "" if _has_passed(run, retention.of(run), now) else "It is not old enough."


def _going_on(run: RunRecord, retention: Retention, needed: Needed, now: datetime) -> str:  # noqa: ARG001
    return "" if run.state.is_finished else "It has not ended."


def _recent(run: RunRecord, retention: Retention, needed: Needed, now: datetime) -> str:  # noqa: ARG001
    return "It is one of the newest of its flow." if needed.is_recent else ""


def _last_good(run: RunRecord, retention: Retention, needed: Needed, now: datetime) -> str:  # noqa: ARG001
    return "It is the last one that went well." if needed.is_last_good else ""


def _past(run: RunRecord, retention: Retention, needed: Needed, now: datetime) -> str:  # noqa: ARG001
    return "A later run depends on how it went." if needed.is_past else ""


def _cached(run: RunRecord, retention: Retention, needed: Needed, now: datetime) -> str:  # noqa: ARG001
    if needed.cached_at is None or (retention.cache is not None and now - needed.cached_at >= retention.cache):
        return ""
    return "Results of it are used again."


#: In the order in which a person would want to hear them.
_RULES: Final[tuple[Rule, ...]] = (_going_on, _young, _recent, _last_good, _past, _cached)


def _has_passed(run: RunRecord, span: timedelta | None, now: datetime) -> bool:
    return span is not None and run.ended_at is not None and now - run.ended_at >= span


# --- the setting ---------------------------------------------------------------------------------------------------------

_SPANS: Final = tuple(field.name for field in fields(Retention) if field.name != "keep_last")


def read_retention(said: Any) -> Retention:
    """`"90d"`, which is about runs, or a table. Raises UserError with what is wrong, without a full stop."""
    if not isinstance(said, Mapping):
        return Retention(runs=read_span(said))
    known = (*_SPANS, "keep_last")
    values: dict[str, Any] = {}
    for key, value in said.items():
        if key not in known:
            raise UserError(f'there is no "{key}", only {", ".join(known)}.{nearest(key, known)}')
        if key == "keep_last":
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise UserError(f"keep_last is {value!r}, but takes a whole number, 0 or more")
            values[key] = value
        else:
            try:
                values[key] = read_span(value)
            except UserError as error:
                raise UserError(f"{key}: {error}") from None
    return Retention(**values)


def read_span(said: Any) -> timedelta:
    """A duration; years count too (`1y`). Raises UserError."""
    text = str(said).strip().lower()
    if text.endswith("y") and text[:-1].strip().isdecimal() and int(text[:-1]) <= 27:
        return int(text[:-1]) * _YEAR
    try:
        return parse_duration(said)
    except UserError:
        raise UserError(f'"{said}" is not a time to keep things: write 90d, 12w or 1y') from None
