# SPDX-License-Identifier: BSD-3-Clause
"""Records as text and back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings

from nbflow.core.errors import SetupError, UserError
from nbflow.core.ids import RunId, TaskId, TaskKey
from nbflow.core.job import ErrorInfo, ValueRef
from nbflow.core.model import Flow, Task
from nbflow.core.options import TaskOptions, TriggerRule
from nbflow.core.records import AttemptRecord, Request, RunRecord, TaskRecord
from nbflow.core.states import TaskState
from nbflow.store.codec import decode, encode, instant, micros
from tests.unit.store.strategies import INSTANTS, records

WHOLE = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@WHOLE
@given(records(TaskRecord))
def test_a_task_record_comes_back_equal(record):
    assert decode(TaskRecord, encode(record)) == record


@WHOLE
@given(records(RunRecord))
def test_a_run_record_comes_back_equal(record):
    assert decode(RunRecord, encode(record)) == record


@WHOLE
@given(records(AttemptRecord))
def test_an_attempt_comes_back_equal(record):
    assert decode(AttemptRecord, encode(record)) == record


@WHOLE
@given(records(Request))
def test_a_request_comes_back_equal(record):
    assert decode(Request, encode(record)) == record


@WHOLE
@given(records(Flow))
def test_a_flow_comes_back_equal(flow):
    assert decode(Flow, encode(flow)) == flow


@given(INSTANTS)
def test_an_instant_keeps_its_microseconds(at):
    assert instant(micros(at)) == at


def test_an_instant_of_another_zone_comes_back_in_utc():
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert instant(micros(elsewhere)).tzinfo is UTC
    assert instant(micros(elsewhere)) == NOW


def test_a_naive_instant_is_refused():
    with pytest.raises(TypeError):
        micros(NOW.replace(tzinfo=None))


def test_fields_with_their_default_are_not_written():
    assert json.loads(encode(TaskRecord(key=TaskKey(TaskId("a"))))) == {"v": 1, "key": ["a", -1]}


def test_text_is_ascii_so_that_every_database_keeps_it():
    assert encode(TaskRecord(key=TaskKey(TaskId("a")), reason="é\0\udcff")).isascii()


def test_enums_come_back_as_enums():
    record = TaskRecord(key=TaskKey(TaskId("a")), state=TaskState.SKIPPED)
    options = TaskOptions(trigger_rule=TriggerRule.ALL_DONE, timeout=timedelta(seconds=1.5))
    assert decode(TaskRecord, encode(record)).state is TaskState.SKIPPED
    flow = decode(Flow, encode(Flow(name="f", tasks=(Task(id="a", options=options),))))
    assert flow.tasks[0].options.trigger_rule is TriggerRule.ALL_DONE


def test_a_row_written_today_reads_the_same_tomorrow():
    """The stored form is a promise: when this test fails, VERSION goes up and `decode` translates the older rows."""
    text = (
        '{"key":["train",3],"attempt":2,"token":"t1","outcome":"failed","started_at":1767323045678901,'
        '"error":{"ename":"KeyError","evalue":"x","line":4,"traceback":["a","b"]},'
        '"values":{"df":{"hash":"ab","format":"json","size":3,"inline":"MS4w"}},"v":1}'
    )
    assert decode(AttemptRecord, text) == AttemptRecord(
        key=TaskKey(TaskId("train"), 3),
        attempt=2,
        token="t1",
        outcome="failed",
        started_at=NOW,
        error=ErrorInfo(ename="KeyError", evalue="x", line=4, traceback=("a", "b")),
        values={"df": ValueRef(hash="ab", format="json", size=3, inline=b"1.0")},
    )


def test_an_unknown_key_is_passed_over():
    assert decode(TaskRecord, '{"key":["a",-1],"colour":"red","v":1}') == TaskRecord(key=TaskKey(TaskId("a")))


def test_a_record_of_a_newer_nbflow_is_refused():
    with pytest.raises(SetupError, match="newer nbflow"):
        decode(TaskRecord, '{"key":["a",-1],"v":2}')


def test_a_value_that_is_not_json_is_named():
    run = RunRecord(run_id=RunId("r"), flow="f", created_at=NOW, params={"x": object()})
    with pytest.raises(UserError, match=r"RunRecord cannot be stored.*object"):
        encode(run)


def test_dates_of_toml_become_text():
    run = RunRecord(run_id=RunId("r"), flow="f", created_at=NOW, params={"day": date(2026, 1, 1)})
    assert decode(RunRecord, encode(run)).params == {"day": "2026-01-01"}


def test_a_type_without_a_rule_is_refused():
    @dataclass(frozen=True)
    class Strange:
        colours: set[str]

    Strange.__annotations__["colours"] = set[str]
    with pytest.raises(TypeError, match="no rule to store"):
        encode(Strange({"red"}))
