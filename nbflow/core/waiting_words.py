# SPDX-License-Identifier: BSD-3-Clause
"""What is said of tasks that wait without a worker: sensors, deferred attempts, approvals."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from nbflow.core.messages import about, plural, sentence


def looks_again(at: str, looks: int, why: str = "") -> str:
    """`Not there yet: looks again at 03:15 (3 looks so far).` `why`: the last look ended with this error."""
    told = f"The last look failed ({why})" if why else "Not there yet"
    return f"{told}: looks again at {at} ({plural(looks, 'look')} so far)."


def clock(at: datetime, now: datetime) -> str:
    """`03:15`, `03:15:20` where that is within two minutes, with the date where it is another day; in UTC."""
    time = at.astimezone(UTC)
    short = "%H:%M:%S" if abs((at - now).total_seconds()) < 120 else "%H:%M"
    day = "" if time.date() == now.astimezone(UTC).date() else time.strftime("%d %b ").lstrip("0")
    return f"{day}{time.strftime(short)} UTC"


def sensor_timed_out(seconds: float, looks: int) -> str:
    """A phrase: `it was not there after 2 h 00 m (121 looks)`."""
    return f"it was not there after {about(seconds)} ({plural(looks, 'look')})"


def nobody_answered(limit: timedelta) -> str:
    return f"nobody answered within {about(limit.total_seconds())}"


def failed_waiting(phrase: str) -> str:
    return sentence(f"Failed: {phrase}")


def skipped_waiting(phrase: str) -> str:
    return sentence(f"Skipped: {phrase}")


def deferred(what: str) -> str:
    """`Waits for run latest of sales.`"""
    return sentence(f"Waits for {what}") if what else "Waits for something outside."


def trigger_fired() -> str:
    return "What it waited for is there: waiting for a slot."


def waits_for_answer(question: str, answers: Sequence[str]) -> str:
    """`Waits for an answer: Publish 3 rows? (yes or no)`"""
    shown = f"{', '.join(answers[:-1])} or {answers[-1]}" if len(answers) > 1 else "".join(answers)
    return f"Waits for an answer: {question} ({shown})"


def answered(answer: str, by: str) -> str:
    """`Answered yes by ann.`"""
    return f"Answered {answer}{' by ' + by if by else ''}."


def answered_by_default(answer: str, limit: timedelta) -> str:
    return f"Answered {answer} by default, since {nobody_answered(limit)}."


def answered_already(task: str, run: str, answer: str, by: str) -> str:
    return f"{task} of run {run} was answered {answer}{' by ' + by if by else ''} already: an approval is answered once."


def asks_nothing(task: str, run: str, state: str) -> str:
    return f"{task} of run {run} asks nothing now: it is {state}."


def not_an_answer(answer: str, task: str, answers: Sequence[str]) -> str:
    return f'"{answer}" is no answer to {task}: it takes {", ".join(answers[:-1])} or {answers[-1]}.'


def not_a_question(task: str, shown: str) -> str:
    return (
        f"{task} is an approval: its last expression must be a question, a list of answers, "
        f'or {{"question": ..., "choices": [...]}}, not {shown}.'
    )
