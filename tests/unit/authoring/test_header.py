# SPDX-License-Identifier: BSD-3-Clause
"""The `%%flow` header: every key known, every mistake with its line."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from nbflow.authoring.header import read_header

WHOLE = """%%flow monitor_errors
description = "Download application logs, parse them, alert over a threshold"
schedule    = "0 3 * * *"          # cron
timezone    = "Europe/Zurich"
start_date  = 2026-01-01
end_date    = 2026-12-31T03:00:00Z
catchup     = "latest"
max_active_runs = 1
on_overlap  = "queue"
run_timeout = "2h"
deadline    = "45m"
tags        = ["ops"]
owner       = "data-team"
schedule_kind = "interval"
on          = ["file:/data/*.csv", "flow:other"]
assets      = "a & (b | c)"
max_active_tasks = 4
fail_fast   = true
fail_on     = "any"
max_consecutive_failed_runs = 3
doc         = "More words"

[defaults]
retries     = 2
retry_delay = "30s"

[groups.download]
priority    = 7

[params.day]
type = "str"
choices = ["a", "b"]
"""


def test_every_key_of_the_contract_is_understood() -> None:
    header = read_header(WHOLE)
    assert header.problems == []
    assert header.name == "monitor_errors"
    options = header.options
    assert (options.run_timeout, options.tags, options.owner, options.max_active_tasks) == (timedelta(hours=2), ("ops",), "data-team", 4)
    assert (options.fail_fast, options.fail_on, options.doc) == (True, "any", "More words")
    assert options.schedule == {
        "schedule": "0 3 * * *",
        "timezone": "Europe/Zurich",
        "start_date": "2026-01-01",
        "end_date": "2026-12-31T03:00:00+00:00",
        "catchup": "latest",
        "max_active_runs": 1,
        "on_overlap": "queue",
        "deadline": "45m",
        "schedule_kind": "interval",
        "on": ["file:/data/*.csv", "flow:other"],
        "assets": "a & (b | c)",
        "max_consecutive_failed_runs": 3,
    }
    assert header.defaults == {"retries": 2, "retry_delay": timedelta(seconds=30)}
    assert header.groups == {"download": {"priority": 7}}
    assert header.params == {"day": {"type": "str", "choices": ("a", "b")}}


def test_the_schedule_survives_json() -> None:
    schedule = read_header(WHOLE).options.schedule
    assert json.loads(json.dumps(schedule)) == schedule


@pytest.mark.parametrize(
    "value",
    [
        '"@daily"',
        '"@once"',
        '"@continuous"',
        '"every 15m"',
        '"*/5 * * * *"',
        '"0 0 3 * * 1"',
        '["0 9 * * 1-5", "0 12 * * *"]',
        "[ '@daily' ]",
    ],
)
def test_a_schedule_may_be(value: str) -> None:
    assert read_header(f"%%flow\nschedule = {value}").problems == []


@pytest.mark.parametrize("value", ["60 * * * *", "* * * *", "@every 5m", "H * * * *", "0 0 L2 * *", "every", "every 0s", "daily", ""])
def test_a_schedule_may_not_be(value: str) -> None:
    (problem,) = read_header(f"%%flow\n\nschedule = '{value}'").problems
    assert problem.line == 3
    assert problem.message.startswith("schedule must be")


@pytest.mark.parametrize("value", ['"latest"', '"all"', '"none"', "3", "0"])
def test_catchup_may_be(value: str) -> None:
    assert read_header(f"%%flow\ncatchup = {value}").problems == []


def test_groups_inside_groups_apply_from_the_outside_in() -> None:
    header = read_header("%%flow\n[groups.etl]\nretries = 1\npriority = 2\n[groups.etl.load]\nretries = 3\nresources = {GPU = 1}")
    assert header.for_task("etl.load.rows") == {"retries": 3, "priority": 2, "resources": {"GPU": "1"}}
    assert header.for_task("etl.rows") == {"retries": 1, "priority": 2}
    assert header.for_task("rows") == {}


MISTAKES = {
    "shedule = '@daily'": (2, 'There is no key "shedule" in a %%flow header. Did you mean "schedule"?'),
    "retries = 2": (2, 'There is no key "retries" in a %%flow header. It is an option of tasks: put it under [defaults].'),
    "[default]\nretries = 2": (2, 'There is no key "default" in a %%flow header. Did you mean "defaults"?'),
    "\n[defaults]\nretris = 2": (4, '"retris" is not an option of a task. Did you mean "retries"?'),
    "[defaults]\nretries = 'two'": (3, 'retries cannot be "two": it takes a whole number, 0 or more.'),
    "[defaults]\nretry-delay = 'x'": (3, 'retry_delay cannot be "x": it takes a duration such as 30s, 5m, 1h30m or a number of seconds.'),
    "[defaults]\nafter = ['a']": (3, '"after" belongs to one task, so it cannot stand in [defaults]: write --after on its %%task line.'),
    "[groups.a]\nx = 1": (3, '"x" is not an option of a task.'),
    "defaults = 1": (2, "defaults is a table: write [defaults] on a line of its own."),
    "[groups]\na = 1": (3, "groups.a is a table: write [groups.a]."),
    "timezone = 'Europe/Zurch'": (
        2,
        'timezone must be a time zone such as Europe/Zurich or UTC, not "Europe/Zurch". Did you mean "Europe/Zurich"?',
    ),
    "start_date = 'soon'": (2, 'start_date must be a date such as 2026-01-01 or 2026-01-01T03:00:00, not "soon".'),
    "start_date = 2026-02-01\nend_date = 2026-01-01": (3, "end_date (2026-01-01) is before start_date (2026-02-01)."),
    "catchup = true": (2, 'catchup must be "latest", "all" or "none" or a number of runs, not true.'),
    "on_overlap = 'wait'": (2, 'on_overlap must be "queue", "skip" or "cancel_previous", not "wait".'),
    "run_timeout = 'long'": (2, 'run_timeout must be a duration such as "45m", "2h" or a number of seconds, not "long".'),
    "max_active_tasks = 0": (2, "max_active_tasks must be a whole number, 1 or more, not 0."),
    "fail_fast = 'yes'": (2, 'fail_fast must be true or false, not "yes".'),
    "owner = 1": (2, "owner must be text in quotation marks, not 1."),
    "tags = [\n  'a',\n  1,\n]": (2, 'tags must be a list of texts such as ["a", "b"], not [\'a\', 1].'),
    "[params.n]\nminimum = 3\nmaximum = 1": (3, "params.n: minimum is greater than maximum."),
    "[params.n]\nminmum = 3": (3, 'There is no key "minmum" in [params.n]. Did you mean "minimum"?'),
    "[notify]\non_fail = 'x'": (3, 'There is no key "on_fail" in [notify]. Did you mean "on_failure"?'),
    "a = 1\nowner = me": (3, 'The header is not TOML: invalid value. Text stands in quotation marks: owner = "me".'),
    'doc = """\nretries = 2\n"""\nownr = "x"': (5, 'There is no key "ownr" in a %%flow header. Did you mean "owner"?'),
}


@pytest.mark.parametrize(("body", "expected"), MISTAKES.items())
def test_a_mistake_names_its_line(body: str, expected: tuple[int, str]) -> None:
    problems = read_header(f"%%flow f\n{body}", cell=4).problems
    assert expected in [(problem.line, problem.message) for problem in problems]
    assert {problem.cell for problem in problems} == {4}


def test_a_bad_name_is_a_problem_of_the_first_line() -> None:
    (problem,) = read_header("%%flow my flow").problems
    assert (problem.line, problem.message[:34]) == (1, '"my flow" cannot be a flow name: u')


def test_options_of_later_versions_are_validated_and_warned_about() -> None:
    problems = read_header('%%flow\n[defaults]\nenv = "db"\ndeadline = "x"').problems
    assert [(problem.line, problem.severity, problem.message) for problem in problems] == [
        (3, "warning", '"env" has no effect in this version of nbflow.'),
        (4, "error", 'deadline cannot be "x": it takes a duration such as 45m, or a time of day such as 07:30.'),
    ]


def test_a_flow_may_have_a_cluster_for_itself() -> None:
    table = '[cluster]\ncluster = "dask.distributed.LocalCluster"\narguments = {n_workers = 1}\nadapt = {minimum = 0, maximum = 2}'
    header = read_header(f"%%flow\n{table}")
    assert header.problems == []
    assert header.options.cluster == {
        "cluster": "dask.distributed.LocalCluster",
        "arguments": {"n_workers": 1},
        "adapt": {"minimum": 0, "maximum": 2},
    }


def test_its_bounds_may_depend_on_the_time_of_day() -> None:
    adapt = 'adapt = [{from = "08:00", to = 18:00:00, maximum = 2}, {minimum = 0, maximum = 8}]'
    header = read_header(f"%%flow\n[cluster]\ncluster = 'a.B'\n{adapt}")
    assert header.options.cluster["adapt"] == [{"from": "08:00", "to": "18:00", "maximum": 2}, {"minimum": 0, "maximum": 8}]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("cluster = 'tcp://x:1'", 'cluster is a table: write [cluster] and below it cluster = "dask.distributed.LocalCluster".'),
        ("[cluster]\nworkers = 2", 'cluster has no key "workers". It knows "cluster", "arguments" or "adapt".'),
        ("[cluster]\ncluster = 'Local'", 'cluster needs a Dask cluster class, such as cluster = "dask.distributed.LocalCluster".'),
        ("[cluster]\ncluster = 'a.B'\nadapt = 3", "cluster cannot be so: adapt is 3, but takes a table"),
    ],
)
def test_a_cluster_may_not_be(table: str, message: str) -> None:
    (problem,) = read_header(f"%%flow\n{table}").problems
    assert problem.message.startswith(message)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ('deadline = "45m"', {"deadline": "45m"}),
        ("deadline = 90", {"deadline": "90s"}),
        ('deadline = "7:30"\nlate_start = "10m"', {"deadline": "7:30", "late_start": "10m"}),
        ('[notify]\non_failure = "ops"', {"notify": {"on_failure": ["ops"]}}),
        (
            '[notify]\nskips_over = "5 in 10 runs"\nescalate = {after = "30m", to = "boss"}',
            {"notify": {"skips_over": "5 in 10 runs", "escalate": {"after": "30m", "to": ["boss"]}}},
        ),
    ],
)
def test_who_is_told(said: str, kept: dict) -> None:
    header = read_header(f"%%flow x\n{said}")
    assert (header.problems, header.options.schedule) == ([], kept)


@pytest.mark.parametrize(
    ("said", "line", "sentence"),
    [
        ('deadline = "soon"', 2, 'deadline must be a duration such as "45m", or a time of day such as "07:30", not "soon".'),
        ("deadline = true", 2, 'deadline must be a duration such as "45m", or a time of day such as "07:30", not true.'),
        ('[notify]\non_faliure = "x"', 3, 'There is no key "on_faliure" in [notify]. Did you mean "on_failure"?'),
        ("[notify]\non_failure = 3", 3, 'notify.on_failure must be a list of addresses such as ["ops-mail", "mailto://..."].'),
        (
            '[notify]\non_retry = ["ok", "not one"]',
            3,
            'notify.on_retry must hold URLs such as "mailto://..." and names of connections: address 2',
        ),
        ('[notify]\nskips_over = "5"', 3, 'notify.skips_over must be such as "5 in 10 runs", with fewer skips than runs, not "5".'),
        ('[notify]\nescalate = "boss"', 3, 'notify.escalate must be a table such as {after = "30m", to = ["mailto://..."]}.'),
        ('[notify]\nescalate = {after = "x", to = "boss"}', 3, "in this one, something must be a duration"),
    ],
)
def test_who_cannot_be_told(said: str, line: int, sentence: str) -> None:
    (problem,) = read_header(f"%%flow x\n{said}").problems
    assert (problem.line, problem.severity) == (line, "error")
    assert sentence in problem.message
