# SPDX-License-Identifier: BSD-3-Clause
"""Every sentence the machine says to people, in one place (ui.md, "The ten sentences"): present tense, no exclamation marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from nbflow.core.durations import say_duration
from nbflow.core.job import ErrorInfo
from nbflow.core.states import RunState, TaskState

#: How many names a sentence lists before it says "and 3 more".
NAMES_SHOWN: Final = 6
#: An error's text of more characters than this follows the place where it was raised.
LONG: Final = 60

HELD: Final = "Waiting for the cells above it."
RUN_NOT_STARTED: Final = "Waiting for the run to start."
MAY_RUN: Final = "It may run: waiting for a slot."
QUEUED: Final = "Queued: waiting for a free worker."
SUCCEEDED: Final = "Succeeded."
EMPTY_TASK: Final = "Succeeded: it has no body."
DEADLOCK: Final = "Nothing can run any more: what is left waits for tasks that will never end."

_WORDS: Final[Mapping[TaskState, str]] = {
    TaskState.SUCCESS: "succeeded",
    TaskState.FAILED: "failed",
    TaskState.CANCELLED: "cancelled",
    TaskState.SKIPPED: "skipped",
    TaskState.UPSTREAM_FAILED: "not run",
    TaskState.REMOVED: "removed",
    TaskState.RUNNING: "running",
    TaskState.QUEUED: "queued",
    TaskState.SCHEDULED: "waiting for a slot",
    TaskState.UP_FOR_RETRY: "waiting to be retried",
    TaskState.UP_FOR_RESCHEDULE: "waiting to look again",
    TaskState.DEFERRED: "asleep",
    TaskState.AWAITING_INPUT: "waiting for an answer",
    TaskState.PENDING: "not started",
}
#: What an upstream task did, one and several.
_DID: Final[Mapping[TaskState, tuple[str, str]]] = {
    TaskState.SUCCESS: ("succeeded", "succeeded"),
    TaskState.FAILED: ("failed", "failed"),
    TaskState.CANCELLED: ("was cancelled", "were cancelled"),
    TaskState.SKIPPED: ("was skipped", "were skipped"),
    TaskState.UPSTREAM_FAILED: ("did not run", "did not run"),
}


def plural(count: int, one: str, many: str = "") -> str:
    """`1 task`, `2 tasks`."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def name_list(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`, or six names `and 3 more`."""
    if len(names) > NAMES_SHOWN:
        return f"{', '.join(names[:NAMES_SHOWN])} and {len(names) - NAMES_SHOWN} more"
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def sentence(text: str) -> str:
    """`text` with a full stop at its end, unless it has one."""
    stripped = text.strip()
    return stripped if not stripped or stripped[-1] in ".?!" else stripped + "."


def first_line(text: str) -> str:
    """The first line of an error's text; the rest stands in its traceback."""
    return next(iter(text.strip().splitlines()), "")


# --- mapped tasks -----------------------------------------------------------------------------------------------------

COUNTING: Final = "Waiting for its elements to be counted."


def expanded(count: int) -> str:
    return f"Replaced by its {plural(count, 'copy', 'copies')}."


def nothing_to_map(names: Sequence[str]) -> str:
    """`Skipped: xs is empty.`"""
    return f"Skipped: {name_list(names)} {'is' if len(names) == 1 else 'has no combination: one of them is'} empty."


def failed_to_map(problem: str) -> str:
    return sentence(f"Failed: {problem}")


def surplus(count: int) -> str:
    return f"Removed: there are only {plural(count, 'element')} now."


def cannot_map(name: str, what: str, task: str, remedy: str) -> str:
    """``xs` is an int, but score maps over it: give a list, ...`"""
    return f"`{name}` is {what}, but {task} maps over it: {remedy}."


def too_many_elements(name: str, count: int, task: str, limit: int) -> str:
    return f"`{name}` has {count:,} elements, but {task} maps over it, and {limit:,} copies are the most: map over groups of them."


def too_many_copies(task: str, sizes: Sequence[int], limit: int) -> str:
    product = " x ".join(map(str, sizes))
    return f"{task} would have {product} copies, and {limit:,} are the most: map over groups of them."


def copies_stand(counts: Mapping[TaskState, int], blamed: Sequence[tuple[str, str]]) -> str:
    """`12 copies: 10 succeeded, 2 failed. Copy 3: Failed: KeyError: 'x' in score[3].` The first of the copies to blame is told."""
    told = f"{plural(sum(counts.values()), 'copy', 'copies')}: {tally(counts)}."
    return f"{told} Copy {blamed[0][0]}: {sentence(blamed[0][1])}" if blamed and blamed[0][1] else told


# --- waits ------------------------------------------------------------------------------------------------------------


def waiting_for(names: Sequence[str], total: int) -> str:
    """`Waiting for train.`, or `Waiting for 5 of 9 upstream tasks: extApp, ...`."""
    if len(names) == 1:
        return f"Waiting for {names[0]}."
    return f"Waiting for {len(names)} of {plural(total, 'upstream task')}: {comma_list(names)}."


def waiting_for_some(count: int, total: int) -> str:
    """As `waiting_for`, where the names are not at hand."""
    return f"Waiting for {count} of {plural(total, 'upstream task')}."


def comma_list(names: Sequence[str]) -> str:
    """`a, b, c`, or six names `and 3 more`."""
    return name_list(names) if len(names) > NAMES_SHOWN else ", ".join(names)


PAST_UNKNOWN: Final = "Waiting to know how it went in the run before."


def waiting_for_past(name: str, state: TaskState, at: datetime | None) -> str:
    """`Waiting for its own last run: parse_log failed on Fri 13 Mar 03:00.`"""
    return f"Waiting for its own last run: {_past(name, state, at)}."


def skipped_for_past(name: str, state: TaskState, at: datetime | None) -> str:
    return f"Skipped: {_past(name, state, at)}, and it depends on that."


def past_is_missing(name: str, at: datetime | None) -> str:
    return f"Waiting for its own last run: that{_on(at)} does not have {name}."


def _past(name: str, state: TaskState, at: datetime | None) -> str:
    if state in _DID:
        return f"{name} {_DID[state][0]}{_on(at)}"
    return f"{name} is {_WORDS[state]} in the run{_on(at).replace(' on ', ' of ')}"


def _on(at: datetime | None) -> str:
    return f" on {at:%a} {at.day} {at:%b %H:%M}" if at is not None else ""


def retry_starts(*, attempt: int, attempts: int, wait: timedelta, error: str) -> str:
    """`Attempt 2 of 3 starts in 18 s. Attempt 1 failed: KeyError: 'temp_c'.` `attempt` is the coming one."""
    seconds = max(0.0, wait.total_seconds())
    when = "now" if seconds < 0.05 else f"in {about(seconds)}"
    return sentence(f"Attempt {attempt} of {attempts} starts {when}. Attempt {attempt - 1} failed: {error}")


def about(seconds: float) -> str:
    """Whole seconds, except where they would say nothing: `18 s`, `0.5 s`, `1 m 05 s`."""
    if seconds < 0.95:
        return say_duration(seconds)
    return f"{round(seconds)} s" if round(seconds) < 60 else say_duration(round(seconds))


def restarted(*, losses: int, allowed: int) -> str:
    return f"Its worker disappeared; started again on another ({losses} of {allowed} such restarts)."


def lost_before_start(reason: str) -> str:
    why = sentence(reason)
    return f"Its worker disappeared before it started; handed over again.{' ' + why if why else ''}"


def running(*, attempt: int, attempts: int, worker: str) -> str:
    where = f" on {worker}" if worker else ""
    return f"Running{where}." if attempts <= 1 else f"Running{where}, attempt {attempt} of {attempts}."


# --- ends of a task that did not run ---------------------------------------------------------------------------------


#: Of a task that the version of the flow, under which its run goes on, does not have.
GONE: Final = "Removed: the flow does not have it any more."


def from_cache(run_id: str) -> str:
    return f"From cache: code, inputs and parameters are those of run {run_id}, and so is the result."


def already_there(url: str) -> str:
    return f"Already there: {url} exists, so it did not run."


# --- ends of a task ---------------------------------------------------------------------------------------------------


def failed(*, attempts: int, name: str, error: ErrorInfo) -> str:
    """`Failed after 3 attempts: KeyError: 'temp_c' in join_weather, line 4.` Before a long text stands the place: after it, it would be lost."""
    after = f" after {attempts} attempts" if attempts > 1 else ""
    line = f", line {error.line}" if error.line else ""
    told = first_line(error.sentence)
    if error.is_own or len(told) > LONG:
        return sentence(f"Failed{after} in {name}{line}: {told}")
    return f"Failed{after}: {told.rstrip('.')} in {name}{line}."


def failed_lost(*, losses: int, reason: str) -> str:
    """`Failed: it was lost 3 times: its process was ended by SIGKILL, from outside.`"""
    times = "once" if losses == 1 else f"{losses} times"
    return sentence(f"Failed: it was lost {times}: {reason}" if reason else f"Failed: its worker disappeared {times}")


def skipped_failed(failed: str) -> str:
    """`Skipped: failed after 3 attempts: KeyError: 'temp_c' in join_weather, line 4.` `failed` is the sentence of the failure."""
    return f"Skipped: {failed[:1].lower()}{failed[1:]}"


def last_good(run_id: str, failed: str) -> str:
    """`The last good value, of run scheduled__2026-01-01. Failed after 3 attempts: ...`"""
    return f"The last good value, of run {run_id}. {failed}"


def no_last_good(failed: str) -> str:
    return f"{failed} No earlier run has a good value to go on with."


def did_not_run(names: Sequence[str], state: TaskState | None) -> str:
    """`Did not run: join_weather failed.`"""
    return f"Did not run: {_they(names, state)}." if names and state else "Did not run: no upstream task succeeded."


def not_reached(why: str) -> str:
    """`Did not run: Cell 4 failed: KeyError: 'x'.`"""
    return sentence(f"Did not run: {why}")


def skipped_because(names: Sequence[str], state: TaskState) -> str:
    """`Skipped: clean was skipped.`"""
    return f"Skipped: {_they(names, state)}."


def skipped_since_none(what: str) -> str:
    """`Skipped: no upstream task failed.`"""
    return f"Skipped: no upstream task {what}."


def _they(names: Sequence[str], state: TaskState) -> str:
    one, many = _DID[state]
    return f"{name_list(names)} {one if len(names) == 1 else many}"


def branch_chose(branch: str, followed: Sequence[str]) -> str:
    """`Skipped: check_threshold chose all_quiet.`"""
    return f"Skipped: {branch} chose {name_list(followed) if followed else 'nothing'}."


def stopped_here(name: str) -> str:
    """`Skipped: check_rows said not to go on.`"""
    return f"Skipped: {name} said not to go on."


def not_latest(name: str) -> str:
    """`Skipped: latest lets only the latest scheduled run go on.`"""
    return f"Skipped: {name} lets only the latest scheduled run go on."


def answered_no(name: str, by: str) -> str:
    """`Skipped: approve was answered no by ann.`"""
    return f"Skipped: {name} was answered no{' by ' + by if by else ''}."


def setup_not_done(names: Sequence[str], total: int) -> str:
    """`Waiting for its setup make_table.`"""
    if total == 1:
        return f"Waiting for its setup {names[0]}."
    return f"Waiting for {len(names)} of its {total} setups: {comma_list(names)}."


def work_not_done(names: Sequence[str]) -> str:
    """`Waiting for the work above it: load.`"""
    return f"Waiting for the work above it: {comma_list(names)}."


def skipped_itself(reason: str) -> str:
    return sentence(f"Skipped: {reason}") if reason.strip() else "Skipped by its own code."


def unknown_choice(branch: str, choice: str, hint: str) -> str:
    return f'{branch} chose "{choice}", which is not a task or a group of this flow.{hint}'


def not_a_choice(branch: str, shown: str) -> str:
    return f"{branch} is a branch: its last expression must be the id of a task, a list of ids, or None, not {shown}."


def cancelled(by: str) -> str:
    return f"Cancelled by {by}." if by else "Cancelled."


def marked(state: TaskState | RunState, by: str) -> str:
    return f"Marked {state} by {by}." if by else f"Marked {state}."


def cleared(by: str) -> str:
    return f"Cleared by {by}." if by else "Cleared."


def run_cleared(by: str) -> str:
    return f"{cleared(by)} It waits for somebody to go on with it."


# Why a run is being ended: phrases, since they stand inside the sentences of its tasks and of the run itself.


def run_timed_out(limit: timedelta) -> str:
    return f"the run reached its time limit of {about(limit.total_seconds())}"


def fail_fast(name: str) -> str:
    return f"this flow stops at its first failure (fail_fast), and {name} failed"


def cancelled_phrase(by: str) -> str:
    return f"the run was cancelled{' by ' + by if by else ''}"


def run_marked(state: RunState, by: str) -> str:
    return f"the run was marked {state}{' by ' + by if by else ''}"


def capital(phrase: str) -> str:
    """A phrase as a sentence of its own."""
    return sentence(phrase[:1].upper() + phrase[1:])


def ended_with_run(state: TaskState, why: str) -> str:
    """`Skipped: the run reached its time limit of 2 h 00 m.`"""
    return f"{state.value.capitalize()}: {why}."


# --- the run ----------------------------------------------------------------------------------------------------------


def tally(counts: Mapping[TaskState, int]) -> str:
    """`15 succeeded, 1 skipped`; `no tasks` when there are none."""
    return ", ".join(f"{counts[state]} {word}" for state, word in _WORDS.items() if counts.get(state)) or "no tasks"


def run_succeeded(flow: str, seconds: float, counts: Mapping[TaskState, int]) -> str:
    """`monitor_errors finished in 1 m 48 s: 15 succeeded, 1 skipped.`"""
    return f"{flow} finished in {say_duration(seconds)}: {tally(counts)}."


def run_failed(flow: str, seconds: float, names: Sequence[str]) -> str:
    """`energy_forecast failed at join_weather after 48.0 s.`"""
    at = f" at {name_list(names)}" if names else ""
    return f"{flow} failed{at} after {say_duration(seconds)}."


def run_cancelled(flow: str, seconds: float, counts: Mapping[TaskState, int]) -> str:
    """`monitor_errors was cancelled after 12.0 s: 3 succeeded, 13 cancelled.`"""
    return f"{flow} was cancelled after {say_duration(seconds)}: {tally(counts)}."


def run_ended(flow: str, state: RunState, seconds: float, counts: Mapping[TaskState, int], *, failed: Sequence[str], why: str) -> str:
    """How a run ended. `why` is a sentence of its own that follows: "The run reached its time limit of 2 m 00 s." """
    if state is RunState.SUCCESS:
        told = run_succeeded(flow, seconds, counts)
    elif state is RunState.CANCELLED:
        told = run_cancelled(flow, seconds, counts)
    else:
        told = run_failed(flow, seconds, failed)
        if not failed and not why:  # nothing failed: then what else did not succeed is all there is to say
            told = f"{told.removesuffix('.')}: {tally(counts)}."
    return f"{told} {sentence(why)}".rstrip()


def run_running(flow: str, seconds: float, counts: Mapping[TaskState, int]) -> str:
    return f"{flow} has been running for {say_duration(seconds)}: {tally(counts)}."


def run_queued(flow: str) -> str:
    return f"{flow} is queued."
