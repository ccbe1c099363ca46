# SPDX-License-Identifier: BSD-3-Clause
"""What an attempt is lent: its body has it, and nothing that it shows, gives or leaves behind does."""

from __future__ import annotations

import json
import pickle
import uuid
from dataclasses import replace

import pytest

from nbflow.core.connections import Connection, maskable, secret_texts
from nbflow.core.ids import TaskKey
from nbflow.core.job import Job, JobContext, Outcome, OutputMade
from nbflow.core.lending import Lent
from nbflow.core.options import TaskKind
from nbflow.operators.entry import run_job
from nbflow.operators.postmortem import load_frames
from nbflow.operators.values import decode
from nbflow.store.artifacts import open_artifacts

DB = Connection(name="db", url="postgresql://me:TopSecret1@host:5432/sales", more={"sslkey": "x", "api_key": "Key-77777"})
HIDDEN = (*secret_texts(DB), *maskable(["Tok-123456"]))
LENT = Lent(
    conn="db", connections={"db": DB}, variables={"region": "eu", "token": "Tok-123456"}, sealed=frozenset({"token"}), hidden=HIDDEN
)


@pytest.fixture
def artifacts(tmp_path):
    return open_artifacts(str(tmp_path / "artifacts"))


@pytest.fixture
def run(artifacts, tmp_path):
    heard = []

    def run(source, operator="cell", lent=LENT, **more):
        context = JobContext(flow="f", run_id="r", key=TaskKey("t"), attempt=1)
        job = Job(token=uuid.uuid4().hex, context=context, operator=operator, source=source, lent=lent, **more)
        assert "TopSecret1" not in repr(job)
        report = run_job(job, artifacts, heard.append)
        everything = [pickle.dumps(report), *map(pickle.dumps, heard)]
        everything += [path.read_bytes() for path in (tmp_path / "artifacts").rglob("*") if path.is_file()]
        assert not [one for one in everything for secret in (b"TopSecret1", b"Key-77777", b"Tok-123456") if secret in one]
        return report

    run.heard = heard
    return run


def shown(report):
    return json.dumps(report.outputs.inline)


def test_a_cell_has_the_connection_and_the_variables(run, artifacts):
    report = run(
        "from nbflow import ctx\nc = ctx.conn\n"
        "got = [c.type, c.host, c.port, c.login, len(c.password), c.schema, len(c.extra['api_key'])]\n"
        "got += [ctx.connection('db') is c, ctx.var('region'), len(ctx.var('token')), ctx.var('missing', 'other')]\ndel c",
        offers=("got",),
    )
    assert report.outcome is Outcome.SUCCESS, report.reason
    assert decode(report.values["got"], artifacts) == ["postgresql", "host", 5432, "me", 10, "sales", 9, True, "eu", 10, "other"]


def test_what_it_prints_shows_and_says_is_masked(run):
    report = run(
        "import sys, logging\nfrom nbflow import ctx\npw = ctx.conn.password\n"
        "print('pw', pw, ctx.conn)\nsys.stderr.write(ctx.conn.url)\n"
        "sys.stdout.write(pw[:3]); sys.stdout.flush(); sys.stdout.write(pw[3:] + '\\n')\n"
        "for letter in pw: print(letter, end='', flush=True)\n"
        "print('XopSecret1\\rT')\n"
        "display({'a': pw}, ctx.var('token'))\nh = display('x', display_id=True); h.update(ctx.conn.url)\n"
        "ctx.log.warning('for %s', pw)\nctx.progress(0.5, pw)\n"
        "!echo from a shell {pw}\n"
        "import json, urllib.parse; print(json.dumps(pw), urllib.parse.quote(ctx.conn.url, safe=''))\npw"
    )
    assert report.outcome is Outcome.SUCCESS, report.reason
    assert "pw *** connection db (postgresql://me:***@host:5432/sales)" in shown(report)
    assert "from a shell ***" in shown(report)
    assert any(isinstance(event, OutputMade) for event in run.heard)


def test_a_failure_says_no_secret_and_leaves_none_in_its_frames(run, artifacts):
    report = run(
        "from nbflow import ctx\nlink, rows = ctx.conn, [ctx.conn.password]\nkept = 7\n"
        "def reach(where):\n    raise OSError(f'no answer from {where}')\nreach(link.url)"
    )
    assert report.reason == "OSError: no answer from ***"
    assert report.error.evalue == "no answer from ***"
    assert "no answer from ***" in shown(report)
    values = {name: one for frame in load_frames(report.error.frames, artifacts) for name, one in (frame.values | frame.told).items()}
    assert values["where"] == values["rows"] == "hidden: it holds a secret of a connection or variable"
    assert decode(values["kept"], artifacts) == 7


def test_a_value_that_holds_a_secret_is_left_out_or_refused(run):
    source = "import numpy as np\nfrom nbflow import ctx\npw = ctx.conn.password\nlink = ctx.conn\nnames = np.array([pw, 'x'])\n"
    source += "import pandas as pd\nframe = pd.DataFrame({'a': [pw[:-1] + str(n) for n in range(50)]})\nlist_ = [pw]\nn = 1"
    report = run(source, offers=("pw", "link", "names", "frame", "list_", "n"))
    assert set(report.values) == {"n"}
    assert report.left_out["pw"] == (
        "left it out: a value that holds a secret of a connection or variable cannot be stored: "
        "take it from ctx in each task that needs it, and bind what comes of it"
    )
    report = run(source, demands=("pw",))
    assert report.reason == (
        "`pw` is a value that holds a secret of a connection or variable, which cannot be stored: "
        "take it from ctx in each task that needs it, and bind what comes of it."
    )


def test_bash_finds_the_connection_in_its_environment_and_in_templates(run, artifacts):
    report = run(
        "echo $NBFLOW_CONN '{{ conn.db.password }}' '{{ conn.db }}' {{ var.token }}\n"
        "echo \"{{ conn.db.host }}:{{ conn.db.port }} {{ var.region }} {{ var.missing | default('none') }}\"",
        operator="bash",
        out="said",
        offers=("said",),
    )
    assert decode(report.values["said"], artifacts) == "host:5432 eu none"
    assert report.outputs.inline[0]["text"].startswith("*** *** connection db (postgresql://me:***@host:5432/sales) ***\n")
    failed = run("echo {{ conn.db.url }} >&2; exit 3", operator="bash")
    assert failed.reason == "bash ended with exit code 3: ***"


def test_a_branch_that_chooses_a_secret_and_a_skip_for_one_say_none(run):
    assert run("from nbflow import ctx\nctx.var('token')", decides=TaskKind.BRANCH).decision == "***"
    skipped = run("from nbflow import ctx, SkipTask\nraise SkipTask(ctx.conn.url)")
    assert (skipped.outcome, skipped.reason) == (Outcome.SKIPPED, "***")


def test_what_was_not_lent_is_a_sentence(run):
    report = run("from nbflow import ctx\nname = 'x'\nctx.var(name)", lent=Lent())
    assert report.error.evalue == 'Task t was not given the variable "x": write ctx.var("x") with the name as a text in the task itself.'
    report = run("from nbflow import ctx\nctx.conn", lent=Lent())
    assert report.error.evalue == "Task t has no connection: write --conn NAME on its %%task line, or @task(conn=...)."
    report = run("print('never')", lent=replace(LENT, problem='There is no connection "db".'))
    assert (report.outcome, report.reason, report.outputs.inline[0]["output_type"]) == (
        Outcome.FAILED,
        'There is no connection "db".',
        "error",
    )


@pytest.mark.parametrize("looking", [("sql", "select max(a) from t where a > {{ var.least }}", 3), ("file", "*.db", ["there.db"])])
def test_sensors_look_where_the_connection_says(run, artifacts, tmp_path, looking):
    import sqlite3

    operator, source, found = looking
    database = tmp_path / "there.db"
    with sqlite3.connect(database) as connection:
        connection.execute("create table t as select 3 as a")
    connection.close()
    url = f"sqlite:///{database}" if operator == "sql" else f"file://{tmp_path}"
    lent = Lent(conn="there", connections={"there": Connection(name="there", url=url)}, variables={"least": "2"})
    report = run(source, operator, lent, decides=TaskKind.SENSOR, out="found", offers=("found",))
    assert report.decision is True, report.reason
    value = decode(report.values["found"], artifacts)
    assert value == found if operator == "sql" else [one.rpartition("/")[2] for one in value] == found


def test_an_address_of_the_web_is_asked_with_login_password_and_headers(run, artifacts):
    import http.server
    import threading

    asked = []

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers["Authorization"], self.headers["X-Team"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"yes")

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        one = Connection(name="api", url=f"http://me:TopSecret1@127.0.0.1:{server.server_port}/v1", more={"headers": {"X-Team": "ops"}})
        lent = Lent(conn="api", connections={"api": one}, hidden=secret_texts(one))
        report = run("jobs?state=done", "http", lent, decides=TaskKind.SENSOR, out="text", offers=("text",))
        thread.join()
    assert report.decision is True, report.reason
    assert decode(report.values["text"], artifacts) == "yes"
    assert asked == [("/v1/jobs?state=done", "Basic bWU6VG9wU2VjcmV0MQ==", "ops")]
