# SPDX-License-Identifier: BSD-3-Clause
"""What a message says: a subject, and a body as plain text and as Markdown, short enough for a phone. Passwords in URLs are never in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final
from urllib.parse import quote

from nbflow.core.durations import say_duration
from nbflow.core.notices import Notice, Topic
from nbflow.core.records import AttemptRecord, RunRecord

#: Lines of a traceback that are told, the last ones.
_LINES: Final = 12
#: Failed tasks that are told with their tracebacks.
MOST_FAILURES: Final = 3
_LONGEST_LINE: Final = 200
#: What IPython draws above a traceback.
_RULE: Final = re.compile(r"-{10,}")
_ANSI: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_PASSWORD: Final = re.compile(r"(?P<before>[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/:@'\"]*:)[^\s/@'\"]+(?=@)")
_SAYING: Final = re.compile(
    r"(?i)(?P<before>(?:password|passwd|secret|token|api_?key)['\"]?\s*[=:]\s*)(?P<quote>['\"]?)[^\s'\",)]+(?P=quote)"
)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A task that failed, and where."""

    task: str
    attempt: int
    #: Counted from 1; 0: unknown.
    cell: int = 0
    line: int = 0
    sentence: str = ""
    traceback: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        parts = [f"attempt {self.attempt}", f"cell {self.cell}" if self.cell else "", f"line {self.line}" if self.line else ""]
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a message is made of, besides what it is about."""

    run: RunRecord
    zone: tzinfo
    now: datetime
    failures: Sequence[Failure] = ()
    #: How many failed in all.
    failed: int = 0
    #: Attempts that the task is allowed, in all.
    attempts: int = 0
    #: What is to be done by when, or how often what was skipped.
    limit: str = ""
    #: The executed notebook, or the notebook itself.
    file: str = ""
    #: Where JupyterLab is (the setting base_url).
    base_url: str = ""


@dataclass(frozen=True, kw_only=True)
class Message:
    """Ready to be sent."""

    subject: str
    text: str
    markdown: str


def failure_of(attempt: AttemptRecord, cell: int) -> Failure:
    """How the newest attempt of a task ended."""
    error = attempt.error
    return Failure(
        task=str(attempt.key),
        attempt=attempt.attempt,
        cell=cell,
        line=error.line if error is not None else 0,
        sentence=_scrubbed(error.sentence if error is not None else attempt.reason),
        traceback=_last_lines(error.traceback if error is not None else ()),
    )


def message(notice: Notice, facts: Facts) -> Message:
    """What is told of this."""
    subject = _subject(notice, facts)
    opening = [line for line in (_scrubbed(notice.reason), _when(facts)) if line]
    text, markdown = ["\n".join(opening)], [_escaped(line) for line in opening]
    for failure in facts.failures:
        head = f"Task {failure.task}: {failure.where}"
        lines = failure.traceback or (failure.sentence,)
        text.append("\n".join([head, *("    " + line for line in lines)]))
        markdown += [f"**{_escaped(head)}**", "\n".join(["```", *lines, "```"])]
    left = facts.failed - len(facts.failures)
    if left > 0:
        text.append(f"and {left} more")
        markdown.append(f"and {left} more")
    ways = _ways(facts)
    text.append("\n".join(f"{name}: {value}" for name, value in ways))
    markdown += [f"{name}: {value}" if "://" in value else f"{name}: `{value}`" for name, value in ways]
    return Message(subject=f"nbflow: {subject}", text="\n\n".join(text), markdown="\n\n".join(markdown))


def _subject(notice: Notice, facts: Facts) -> str:
    run = facts.run
    which = f"{run.flow}{_about(facts)}"
    what = f"{which}, task {notice.task}," if notice.task is not None else which
    match notice.topic:
        case Topic.FAILURE:
            return f"{what} failed"
        case Topic.SUCCESS:
            return f"{what} succeeded"
        case Topic.RETRY:
            of = f" of {facts.attempts}" if facts.attempts else ""
            return f"{what} is tried again after attempt {notice.attempt}{of}"
        case Topic.SKIP:
            return f"{what} skipped itself"
        case Topic.SKIPS:
            return f"{what} skips itself too often: {facts.limit}"
        case Topic.DEADLINE:
            return f"{what} missed its deadline ({_local(notice.at, facts.zone)})"
        case Topic.LATE_START:
            return f"{what} has not begun by {_local(notice.at, facts.zone)}"
        case Topic.PAUSE:
            return f"{what} paused itself"
        case Topic.ESCALATION:
            return f"{what} is still {'broken' if run.state.is_finished else 'late'}, and nobody has seen to it"


def _about(facts: Facts) -> str:
    """The date that a run is about, where that is not when it was due: of a backfill, of an interval that ended."""
    date, due = facts.run.logical_date, facts.run.run_after
    if date is None or due is None or date == due:
        return ""
    local = date.astimezone(facts.zone)
    return f" of {local:%d %b %Y}" + (f" {local:%H:%M}" if (local.hour, local.minute) != (0, 0) else "")


def _when(facts: Facts) -> str:
    """`Due Fri 27 Nov 03:00 CET, begun 03:00, ended 03:12 after 11 m 58 s.`"""
    run, due = facts.run, facts.run.run_after or facts.run.created_at
    parts = [f"{'Due' if run.run_after else 'Made'} {_local(due, facts.zone)}"]
    if run.started_at:
        parts.append(f"begun {_briefly(run.started_at, due, facts.zone)}")
    elif not run.state.is_finished:
        parts.append("not begun yet")
    if run.ended_at:
        began = run.started_at or run.created_at
        parts.append(
            f"ended {_briefly(run.ended_at, due, facts.zone)} after {say_duration(max(0.0, (run.ended_at - began).total_seconds()))}"
        )
    elif run.started_at:
        parts.append(f"still running after {say_duration(max(0.0, (facts.now - run.started_at).total_seconds()))}")
    return ", ".join(parts) + "."


def _local(instant: datetime, zone: tzinfo) -> str:
    return f"{instant.astimezone(zone):%a %d %b %H:%M %Z}"


def _briefly(instant: datetime, due: datetime, zone: tzinfo) -> str:
    """Without the day it was due on."""
    local = instant.astimezone(zone)
    return f"{local:%H:%M}" if local.date() == due.astimezone(zone).date() else f"{local:%a %d %b %H:%M}"


def _ways(facts: Facts) -> list[tuple[str, str]]:
    run = facts.run
    ways = [("Look", f"nbflow runs show {run.run_id}")]
    if facts.base_url:
        ways.append(("Link", link(facts.base_url, run, facts.file)))
    if facts.file:
        ways.append(("Notebook", facts.file))
    if facts.failures and run.state.is_finished:
        ways.append(("Again", f"nbflow runs retry {run.run_id}"))
    return ways


def link(base_url: str, run: RunRecord, file: str) -> str:
    """`base_url`, with {run_id}, {flow} and {path} filled in."""
    filled = {"{run_id}": run.run_id, "{flow}": run.flow, "{path}": file.lstrip("/")}
    for name, value in filled.items():
        base_url = base_url.replace(name, quote(value))
    return base_url


def _last_lines(traceback: Sequence[str]) -> tuple[str, ...]:
    lines = [line.rstrip()[:_LONGEST_LINE] for part in traceback for line in _ANSI.sub("", part).splitlines()]
    lines = [line for line in lines if line and not _RULE.fullmatch(line)]
    return tuple(_scrubbed(line) for line in lines[-_LINES:])


def _scrubbed(text: str) -> str:
    """Without passwords of URLs, and without what a name like `token` is given."""
    return _SAYING.sub(r"\g<before>***", _PASSWORD.sub(r"\g<before>***", text))


def _escaped(text: str) -> str:
    """No letter of a name means emphasis."""
    return re.sub(r"([*_`~\[\]<>])", r"\\\1", text)
