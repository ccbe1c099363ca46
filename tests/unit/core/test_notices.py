# SPDX-License-Identifier: BSD-3-Clause
"""Who is told of what, when something is late, and what a message says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.core.addresses import shown, without_secrets
from nbflow.core.deadlines import deadline_at, read_deadline
from nbflow.core.errors import UserError
from nbflow.core.ids import RunId, TaskId, TaskKey
from nbflow.core.job import ErrorInfo
from nbflow.core.model import Flow, FlowOptions, Task
from nbflow.core.notice_texts import Facts, failure_of, link, message
from nbflow.core.notices import (
    TROUBLE,
    Audience,
    Escalation,
    Installation,
    Notice,
    SkipLimit,
    Standing,
    Topic,
    audience,
    moments,
    notices,
    read_notify,
    read_skips,
    too_many_skips,
)
from nbflow.core.options import TaskOptions
from nbflow.core.records import AttemptRecord, Change, RunRecord, TaskRecord
from nbflow.core.states import RunState, TaskState

NOW = datetime(2026, 1, 2, 3, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
ZURICH = ZoneInfo("Europe/Zurich")
S = TaskState


def a_run(**more):
    return RunRecord(**{"run_id": RunId("r"), "flow": "sales", "deployment": "sales", "created_at": NOW, "run_after": NOW, **more})


def a_flow(*tasks, owner="", **options):
    return Flow(name="sales", options=FlowOptions(owner=owner, schedule=options), tasks=tasks or (Task(id=TaskId("load")),))


# --- deadlines ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "due", "at"),
    [
        ("45m", "2026-01-02T03:00+00:00", "2026-01-02T03:45+00:00"),
        ("07:30", "2026-01-02T03:00+01:00", "2026-01-02T07:30+01:00"),
        ("07:30", "2026-01-02T07:30+01:00", "2026-01-03T07:30+01:00"),
        ("2:30", "2026-03-28T12:00+01:00", "2026-03-29T03:00+02:00"),  # the clocks jump over it
        ("02:30", "2026-10-24T12:00+02:00", "2026-10-25T02:30+02:00"),  # the first of two
        ("00:00", "2026-06-01T23:59+02:00", "2026-06-02T00:00+02:00"),
    ],
)
def test_deadlines(said: str, due: str, at: str) -> None:
    assert deadline_at(read_deadline(said), datetime.fromisoformat(due).astimezone(UTC), ZURICH) == datetime.fromisoformat(at)


@pytest.mark.parametrize("said", ["25:00", "7:3", "soon", "0", "07:30:00", ""])
def test_what_is_no_deadline(said: str) -> None:
    with pytest.raises(UserError):
        read_deadline(said)


@settings(max_examples=80, deadline=None)
@given(
    due=st.integers(0, 10 * 365 * 24 * 60).map(lambda minutes: datetime(2020, 1, 1, tzinfo=UTC) + minutes * MINUTE),
    of_day=st.builds(time, st.integers(0, 23), st.integers(0, 59)),
    zone=st.sampled_from(["Europe/Zurich", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia", "UTC"]),
)
def test_a_time_of_day_is_the_first_one_after_due(due: datetime, of_day: time, zone: str) -> None:
    at = deadline_at(of_day, due, ZoneInfo(zone))
    assert due < at <= due + timedelta(hours=26)
    local = at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    before = (at - timedelta(seconds=1)).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    wall = datetime.combine(local.date(), of_day)
    assert local == wall or before < wall <= local  # there, or in a gap that ends there


# --- who ------------------------------------------------------------------------------------------------------------------


def told(found: Audience) -> dict[str, tuple[str, ...]]:
    return {topic.value: addresses for topic, addresses in found.of_run.items()}


ROWS = {
    "failures only": ({"on_failure": ["a"]}, dict.fromkeys(("failure", "deadline", "late_start", "pause", "skips"), ("a",))),
    "others are named": (
        {"on_failure": ["a"], "on_deadline": ["b"], "on_pause": [], "on_success": ["c"]},
        {"failure": ("a",), "deadline": ("b",), "late_start": ("a",), "success": ("c",), "skips": ("a",)},
    ),
    "each skip": ({"on_skip": ["a"]}, {"skip": ("a",), "skips": ("a",)}),
    "too many skips": ({"on_skip": ["a"], "skips_over": "1 in 3 runs"}, {"skips": ("a",)}),
    "nothing": ({}, {}),
}


@pytest.mark.parametrize("row", ROWS, ids=list(ROWS))
def test_a_flow_says_who(row: str) -> None:
    document, expected = ROWS[row]
    assert {topic.value: found for topic, found in read_notify(document).items()} == expected


def test_owners_and_the_installation_are_told_of_trouble_and_everybody_once() -> None:
    installation = Installation(notify={Topic.FAILURE: ("i", "a")}, owners={"team": ("t", "a"), "ada": ("ada@",)})
    flow = a_flow(
        Task(id=TaskId("load"), options=TaskOptions(owner="ada")), Task(id=TaskId("sum"), options=TaskOptions(owner="team")), owner="team"
    )
    found = audience(flow, {"notify": {"on_failure": ["a"]}}, installation)
    assert told(found)["failure"] == ("a", "t", "i")
    assert told(found)["deadline"] == ("a", "t")
    assert found.of_tasks == {"load": {Topic.FAILURE: ("ada@",)}}


def test_a_task_says_who_and_of_what() -> None:
    flow = a_flow(
        Task(id=TaskId("a"), options=TaskOptions(notify=("x",))),
        Task(id=TaskId("b"), options=TaskOptions(notify=("x", "y"), notify_on=("retry", "success"), deadline="30m")),
        Task(id=TaskId("c"), options=TaskOptions(deadline="07:00")),
    )
    found = audience(flow, {"notify": {"on_deadline": ["d"], "on_retry": ["r"]}}, Installation())
    assert found.of_tasks["a"] == {Topic.FAILURE: ("x",), Topic.RETRY: ("r",)}
    assert found.of_tasks["b"] == {Topic.RETRY: ("x", "y", "r"), Topic.SUCCESS: ("x", "y"), Topic.DEADLINE: ("x", "y")}
    assert found.of_tasks["c"] == {Topic.DEADLINE: ("d",), Topic.RETRY: ("r",)}
    assert found.task_deadlines == {"b": "30m", "c": "07:00"}


def test_nobody() -> None:
    assert audience(a_flow(owner="team"), {"deadline": "45m"}, Installation()).is_nobody
    assert not audience(a_flow(), {}, Installation(notify=dict.fromkeys(TROUBLE, ("x",)))).is_nobody


@pytest.mark.parametrize("said", ["5 of 10", "10 in 10 runs", "1 in 0 runs", "-1 in 5 runs", "1 in 5000 runs"])
def test_what_is_no_limit_of_skips(said: str) -> None:
    with pytest.raises(UserError, match=r'must be such as "5 in 10 runs", with fewer skips than runs'):
        read_skips(said)


@given(most=st.integers(0, 5), runs=st.integers(6, 10), skipped=st.lists(st.booleans(), max_size=60))
def test_too_many_skips_are_told_once_until_it_is_better(most: int, runs: int, skipped: list[bool]) -> None:
    over = False
    for number in range(len(skipped)):
        window = skipped[max(0, number + 1 - runs) : number + 1]
        newest_first = skipped[number::-1] if number else skipped[:1]
        now_over = sum(window) > most
        assert too_many_skips(SkipLimit(most=most, runs=runs), newest_first) == (now_over and not over)
        over = now_over


# --- of what happened -----------------------------------------------------------------------------------------------------


def moved(id, before, state, cursor, index=-1, **more):
    record = TaskRecord(key=TaskKey(TaskId(id), index), state=state, attempt=1, **more)
    return Change(at=NOW, key=record.key, before=before, after=state, reason="why", task=record, cursor=cursor)


def ended(state, cursor, **more):
    return Change(at=NOW, key=None, before="running", after=state, reason="why", run=a_run(state=state, **more), cursor=cursor)


EVERYTHING = Audience(of_run=dict.fromkeys(Topic, ("run",)), of_tasks={TaskId("load"): dict.fromkeys(Topic, ("task",))})


def test_each_change_is_told_with_its_cursor() -> None:
    changes = [
        moved("load", S.QUEUED, S.RUNNING, 1),
        moved("load", S.RUNNING, S.UP_FOR_RETRY, 2),
        moved("load", S.RUNNING, S.FAILED, 3),
        moved("other", S.RUNNING, S.FAILED, 4),
        ended(RunState.FAILED, 5),
    ]
    found = [(one.key, one.topic.value, one.to) for one in notices(a_run(), changes, EVERYTHING)]
    assert found == [("r/2", "retry", ("task",)), ("r/3", "failure", ("task",)), ("r/5", "failure", ("run",))]


def test_what_a_person_did_is_not_told() -> None:
    changes = [
        moved("load", S.RUNNING, S.FAILED, 1, note={"cause": "mark"}),
        ended(RunState.FAILED, 2, by_hand=True),
        ended(RunState.CANCELLED, 3),
    ]
    assert list(notices(a_run(), changes, EVERYTHING)) == []


def test_the_copies_of_a_mapped_task_are_told_once() -> None:
    failing = [moved("load", S.RUNNING, S.FAILED, cursor, index=cursor) for cursor in range(3)]
    assert {one.key for one in notices(a_run(), failing, EVERYTHING)} == {"r/load/failure/0"}
    assert {one.key for one in notices(a_run(clear_number=1), failing, EVERYTHING)} == {"r/load/failure/1"}
    done = [moved("load", S.RUNNING, S.SUCCESS, cursor, index=cursor) for cursor in range(2)]
    records = [change.task for change in done]
    missing = TaskRecord(key=TaskKey(TaskId("load"), 2), state=S.RUNNING)
    assert list(notices(a_run(), done, EVERYTHING, [*records, missing])) == []
    assert {one.key for one in notices(a_run(), done, EVERYTHING, records)} == {"r/load/success/0"}


# --- of what did not ------------------------------------------------------------------------------------------------------

LATE = Audience(
    of_run=dict.fromkeys(TROUBLE, ("ops",)),
    of_tasks={TaskId("load"): {Topic.DEADLINE: ("ada",)}},
    deadline="45m",
    late_start=10 * MINUTE,
    task_deadlines={TaskId("load"): "30m"},
)


def at_moments(run, tasks=(), to=LATE, **more):
    standing = Standing(run=run, tasks=tasks, zone=UTC, **more)
    return {one.key.removeprefix("r/"): (one.at - NOW) // MINUTE for one in moments(standing, to)}


LOADED = (TaskRecord(key=TaskKey(TaskId("load")), state=S.SUCCESS, ended_at=NOW + 20 * MINUTE),)
LOADING = (TaskRecord(key=TaskKey(TaskId("load")), state=S.RUNNING),)
STANDINGS = {
    "waiting": (a_run(), LOADING, {"late_start": 10, "deadline": 45, "load/deadline": 30}),
    "begun in time": (a_run(state=RunState.RUNNING, started_at=NOW + 9 * MINUTE), LOADED, {"deadline": 45}),
    "begun late": (a_run(state=RunState.RUNNING, started_at=NOW + 11 * MINUTE), LOADED, {"late_start": 10, "deadline": 45}),
    "done in time": (a_run(state=RunState.SUCCESS, started_at=NOW, ended_at=NOW + 44 * MINUTE), LOADED, {}),
    "done late": (a_run(state=RunState.SUCCESS, started_at=NOW, ended_at=NOW + 46 * MINUTE), LOADED, {"deadline": 45}),
    "failed": (a_run(state=RunState.FAILED, started_at=NOW, ended_at=NOW + MINUTE), LOADED, {"deadline": 45}),
    "cancelled": (a_run(state=RunState.CANCELLED, started_at=NOW, ended_at=NOW + MINUTE), LOADING, {}),
    "a backfill": (a_run(run_type="backfill"), LOADING, {}),
}


@pytest.mark.parametrize("row", STANDINGS, ids=list(STANDINGS))
def test_what_is_told_when_nothing_happens(row: str) -> None:
    run, tasks, expected = STANDINGS[row]
    assert at_moments(run, tasks) == expected


def test_nobody_wanted_it_while_it_was_paused() -> None:
    assert at_moments(a_run(), wanted_since=NOW + HOUR) == {"late_start": 70, "deadline": 105}


def test_a_run_that_was_put_back_has_the_deadlines_that_are_still_to_come() -> None:
    run = a_run(state=RunState.RUNNING, clear_number=1, started_at=NOW)
    assert at_moments(run, watched_since=NOW + 30 * MINUTE) == {"deadline": 45}
    assert at_moments(run, watched_since=NOW + HOUR) == {}


def test_a_pause_is_told_of_the_run_that_brought_it() -> None:
    run = a_run(state=RunState.FAILED, started_at=NOW, ended_at=NOW + MINUTE)
    assert at_moments(run, LOADED, pause_reason="Paused: its last run failed.") == {"pause": 1, "deadline": 45}


ESCALATED = Audience(of_run={Topic.DEADLINE: ("ops",)}, deadline="45m", escalation=Escalation(after=HOUR, to=("boss",)))


def test_what_nobody_sees_to_is_escalated() -> None:
    failed = a_run(state=RunState.FAILED, started_at=NOW, ended_at=NOW + MINUTE)
    assert at_moments(failed, to=ESCALATED) == {"deadline": 45, "escalation/0": 61}
    assert at_moments(failed, to=ESCALATED, acknowledged=True) == {"deadline": 45}
    assert at_moments(a_run(state=RunState.RUNNING, started_at=NOW), to=ESCALATED) == {"deadline": 45, "escalation/late": 105}
    assert at_moments(a_run(state=RunState.SUCCESS, started_at=NOW, ended_at=NOW + MINUTE), to=ESCALATED) == {}
    marked = a_run(state=RunState.FAILED, by_hand=True, started_at=NOW, ended_at=NOW + MINUTE)
    assert at_moments(marked, to=ESCALATED) == {}


# --- what is said ---------------------------------------------------------------------------------------------------------


def an_error(**more):
    trace = ("-" * 75, "\x1b[31mKeyError\x1b[0m  Traceback", "----> 3 x['temp_c']", "KeyError: 'temp_c'")
    return ErrorInfo(**{"ename": "KeyError", "evalue": "'temp_c'", "line": 3, "traceback": trace, **more})


def a_failure(**more):
    key = TaskKey(TaskId("load"))
    return failure_of(AttemptRecord(key=key, attempt=2, token="t", outcome="failed", error=an_error(**more)), cell=4)


def facts(**more):
    run = a_run(state=RunState.FAILED, started_at=NOW + MINUTE, ended_at=NOW + HOUR, reason="sales failed at load")
    return Facts(
        **{"run": run, "zone": ZURICH, "now": NOW + HOUR, "failures": (a_failure(),), "failed": 1, "file": "/h/sales.html", **more}
    )


FAILED = Notice(key="r/5", topic=Topic.FAILURE, to=("x",), at=NOW, reason="sales failed at load after 59 m 00 s.")


def test_a_message_of_a_failure() -> None:
    said = message(FAILED, facts(base_url="https://jupyter.example.org/lab/tree/{path}?run={run_id}"))
    assert said.subject == "nbflow: sales failed"
    assert said.text == (
        "sales failed at load after 59 m 00 s.\n"
        "Due Fri 02 Jan 04:00 CET, begun 04:01, ended 05:00 after 59 m 00 s.\n\n"
        "Task load: attempt 2, cell 4, line 3\n"
        "    KeyError  Traceback\n"
        "    ----> 3 x['temp_c']\n"
        "    KeyError: 'temp_c'\n\n"
        "Look: nbflow runs show r\n"
        "Link: https://jupyter.example.org/lab/tree/h/sales.html?run=r\n"
        "Notebook: /h/sales.html\n"
        "Again: nbflow runs retry r"
    )
    assert "```\nKeyError  Traceback" in said.markdown
    assert "Look: `nbflow runs show r`" in said.markdown


SUBJECTS = {
    Topic.SUCCESS: "sales succeeded",
    Topic.RETRY: "sales, task load, is tried again after attempt 1 of 3",
    Topic.SKIP: "sales, task load, skipped itself",
    Topic.SKIPS: "sales, task load, skips itself too often: more than 5 times in 10 runs",
    Topic.DEADLINE: "sales missed its deadline (Fri 02 Jan 04:00 CET)",
    Topic.LATE_START: "sales has not begun by Fri 02 Jan 04:00 CET",
    Topic.PAUSE: "sales paused itself",
    Topic.ESCALATION: "sales is still broken, and nobody has seen to it",
}


@pytest.mark.parametrize("topic", SUBJECTS)
def test_every_message_has_a_subject(topic: Topic) -> None:
    task = TaskKey(TaskId("load")) if "task" in SUBJECTS[topic] else None
    notice = Notice(key="r/5", topic=topic, to=("x",), at=NOW, task=task, attempt=1)
    said = message(notice, facts(attempts=3, limit="more than 5 times in 10 runs"))
    assert said.subject == f"nbflow: {SUBJECTS[topic]}"


def test_a_run_about_another_date_than_it_was_due_on_says_which() -> None:
    past = replace(facts().run, run_after=NOW, logical_date=datetime(2025, 12, 23, 23, tzinfo=UTC))
    assert message(FAILED, facts(run=past)).subject == "nbflow: sales of 24 Dec 2025 failed"
    assert message(FAILED, facts(run=replace(past, run_after=None))).subject == "nbflow: sales failed"
    hourly = replace(past, logical_date=datetime(2025, 12, 24, 2, 30, tzinfo=UTC))
    assert message(FAILED, facts(run=hourly)).subject == "nbflow: sales of 24 Dec 2025 03:30 failed"


def test_a_message_holds_no_password() -> None:
    failure = a_failure(evalue="could not reach postgresql://me:s3cret@db/x", traceback=("connect(password='hunter2', token: abc123)",))
    said = message(FAILED, facts(failures=(failure,)))
    assert "s3cret" not in said.text + said.markdown
    assert "hunter2" not in said.text + said.markdown
    assert "abc123" not in said.text + said.markdown
    assert "password=***" in said.text


def test_a_long_traceback_is_its_end() -> None:
    failure = a_failure(traceback=tuple(f"line {number}" for number in range(100)))
    assert failure.traceback == tuple(f"line {number}" for number in range(88, 100))


def test_a_link_says_where() -> None:
    assert link("https://x/{flow}/{run_id}", a_run(run_id=RunId("a+b")), "") == "https://x/sales/a%2Bb"


# --- addresses ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "seen"),
    [
        ("ops-mail", "ops-mail"),
        ("json://hooks.example.org:8080/secret/path", "json://hooks.example.org:8080/..."),
        ("json://me:password@hooks.example.org", "json://hooks.example.org"),
        ("mailto://me:password@example.org?to=you@example.org", "mailto://example.org/..."),
        ("mailto://[bad", None),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", None),
    ],
)
def test_an_address_is_shown_without_its_secrets(address: str, seen: str | None) -> None:
    found = shown(address)
    assert seen is None or found == seen
    for secret in ("secret", "password", "TIiajkdnlazkcOXrIdevi7FQ", "A1BRTD4JD", "[bad"):
        assert secret not in found


def test_a_reason_holds_no_piece_of_the_address() -> None:
    url = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    assert without_secrets("Max retries exceeded with url: /services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", url) == (
        "Max retries exceeded with url: /services/***/***/***"
    )
