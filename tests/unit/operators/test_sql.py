# SPDX-License-Identifier: BSD-3-Clause
"""The `sql` operator over a real SQLite file: what it selects, what it changes, what it decides."""

from __future__ import annotations

import sqlite3
import uuid

import pytest

from nbflow.core.connections import Connection
from nbflow.core.ids import TaskKey
from nbflow.core.job import Job, JobContext, Outcome
from nbflow.core.lending import NOTHING_LENT, Lent
from nbflow.core.options import TaskKind
from nbflow.operators.entry import run_job
from nbflow.operators.values import decode
from nbflow.store.artifacts import open_artifacts


@pytest.fixture
def database(tmp_path):
    file = tmp_path / "sales.db"
    with sqlite3.connect(file) as connection:
        connection.execute("create table sales (shop text, n integer)")
        connection.executemany("insert into sales values (?, ?)", [("a<b", 1), ("b", 2), ("c", 3)])
    connection.close()
    return file


@pytest.fixture
def artifacts(tmp_path):
    return open_artifacts(str(tmp_path / "artifacts"))


@pytest.fixture
def run(database, artifacts):
    def run(statement, lent=None, out="found", **more):
        url = f"sqlite:///{database}"
        lent = lent or Lent(conn="db", connections={"db": Connection(name="db", url=url)}, variables={"least": "1"})
        context = JobContext(flow="f", run_id="r", key=TaskKey("t"), attempt=1)
        given = {"out": out, "offers": (out,)} if out else {}
        job = Job(token=uuid.uuid4().hex, context=context, operator="sql", source=statement, lent=lent, **given, **more)
        return run_job(job, artifacts, lambda _: None)

    return run


def test_what_is_selected_is_a_frame_and_is_shown(run, artifacts):
    report = run("select shop, n from sales where n > {{ var.least }} or shop like '%<%' order by n")
    assert report.outcome is Outcome.SUCCESS, report.reason
    frame = decode(report.values["found"], artifacts)
    assert frame.to_dict("list") == {"shop": ["a<b", "b", "c"], "n": [1, 2, 3]}
    shown = report.outputs.inline[0]["data"]
    assert shown["text/plain"] == "shop\tn\na<b\t1\nb\t2\nc\t3\n\n3 rows x 2 columns"
    assert "<td>a&lt;b</td><td>1</td>" in shown["text/html"]


def test_what_is_changed_is_committed_and_counted(run, artifacts, database):
    report = run("update sales set n = n + 10 where n > 1")
    assert decode(report.values["found"], artifacts) == 2
    assert report.outputs.inline[0]["text"] == "2 rows changed\n"
    with sqlite3.connect(database) as connection:
        assert [row[0] for row in connection.execute("select n from sales order by n")] == [1, 12, 13]
    connection.close()


@pytest.mark.parametrize(
    ("statement", "kind", "decision"),
    [
        ("select n from sales where n > 2", TaskKind.SENSOR, True),
        ("select count(*) from sales where n > 9", TaskKind.SENSOR, False),
        ("select n from sales where n > 9", TaskKind.SHORT_CIRCUIT, False),
        ("select shop from sales where n > 1 order by n", TaskKind.BRANCH, ["b", "c"]),
    ],
)
def test_what_it_decides(run, statement, kind, decision):
    assert run(statement, out="", decides=kind).decision == decision


def test_the_url_may_stand_on_the_first_line(run, database, artifacts):
    report = run(f"sqlite:///{database}\nselect max(n) as most from sales", NOTHING_LENT)
    assert decode(report.values["found"], artifacts)["most"].tolist() == [3]


@pytest.mark.parametrize(
    ("statement", "lent", "sentence"),
    [
        ("select * from nowhere", None, "OperationalError: no such table: nowhere"),
        ("", None, "-o sql does not say what to ask: write the query below the line."),
        ("select 1", NOTHING_LENT, "-o sql takes the database's URL on the first line, such as sqlite:///sales.db"),
        ("nodb://x/y\nselect 1", NOTHING_LENT, '"nodb" is no database that SQLAlchemy knows here: install its driver, or correct the URL.'),
        ("select {{ missing }}", None, "'missing' is undefined"),
    ],
)
def test_a_mistake_is_a_sentence(run, statement, lent, sentence):
    report = run(statement, lent)
    assert report.outcome is Outcome.FAILED
    assert sentence in report.reason
