# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow notifications` as typed, and what other commands say of messages."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner

from nbflow.app import Workspace
from nbflow.app.deploying import trigger
from nbflow.app.notifying import Notifier
from nbflow.cli.main import cli
from nbflow.core.errors import NbflowError
from nbflow.core.notifications import Sending
from nbflow.core.records import Change
from nbflow.core.states import RunState
from tests.mail import mail_server
from tests.receivers import webhook

HEADER = "%%flow sales\nowner = 'team'\ndeadline = '07:30'\n\n[notify]\non_failure = ['{}']\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NBFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NBFLOW_DASK", "inline")
    return tmp_path


def typed(*words: str, given: str = "") -> str:
    result = CliRunner().invoke(cli, words, input=given)
    if isinstance(result.exception, NbflowError):
        return f"{result.output}refused: {result.exception}"
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "s3cret" not in result.output
    return result.output


def sales(folder: Path, address: str, task: str = "%%task load\nx = 1") -> str:
    cells = [nbformat.v4.new_code_cell(cell) for cell in ("import os", HEADER.format(address), task, "%nbflow run")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "sales.ipynb")
    return str(folder / "sales.ipynb")


def fail(workspace: Workspace) -> str:
    """A run of sales that fails without running; returns its id."""
    run = trigger(workspace, "sales")
    lease = workspace.store.claim(run.run_id, "test", 600)
    now = run.created_at  # whatever the hour, no deadline came between
    failed = replace(run, state=RunState.FAILED, reason="sales failed at load.", ended_at=now)
    workspace.store.commit(lease, [Change(at=now, key=None, before="queued", after="failed", reason=failed.reason, run=failed)])
    workspace.store.release(lease)
    return run.run_id


def test_an_address_is_tried(home: Path) -> None:
    with webhook() as hook, mail_server("s3cret") as mails:
        assert typed("notifications", "test", hook.url("s3cret")) == f"Sent a message to json://127.0.0.1:{hook.port}/....\n"
        url = f"smtp://me:s3cret@127.0.0.1:{mails.port}/?from=nbflow@example.org&to=ada@example.org&mode=insecure"
        typed("connections", "set", "ops-mail", given=url + "\n")
        assert typed("notifications", "test", "ops-mail") == "Sent a message to ops-mail.\n"
        (home / "nbflow.toml").write_text(f"[owners]\nteam = ['{hook.url()}', 'ops-mail']\n")
        assert typed("notifications", "test", "team").count("Sent a message") == 2
        hook.status = 500
        assert typed("notifications", "test", hook.url("s3cret")).startswith("refused: Failed to send JSON POST")
    assert [one["title"] for one in hook.told] == ["nbflow: a test"] * 2
    assert [mail["Subject"] for mail in mails.messages] == ["nbflow: a test"] * 2
    assert typed("notifications", "test", "ops-mial").endswith(
        '"ops-mial" is no URL, and there is no connection and no owner of that name. Did you mean "ops-mail"?'
    )
    typed("connections", "set", "relay", given="smtp://me:s3cret@mail.example.org\n")
    assert "says nobody to write to: add ?from=...&to=... to its URL" in typed("notifications", "test", "relay")


REFUSED = {
    "jsno://s3cret": 'notify.on_failure: "jsno://" is no service that messages can be sent to. Did you mean "json"?',
    "slack://s3cret": "notify.on_failure: slack://...",
    "ops-mial": 'notify.on_failure: There is no connection "ops-mial".',
    "not a name": 'notify.on_failure must hold URLs such as "mailto://..." and names of connections: the address is neither.',
}


@pytest.mark.parametrize("address", REFUSED)
def test_a_bad_address_is_refused_with_its_line(home: Path, address: str) -> None:
    path = sales(home, address)
    for command in ("check", "deploy"):
        said = typed(command, path)
        assert "cell 2, line 6" in said, said
        assert REFUSED[address] in said
    assert "Nothing is deployed yet" in typed("flows", "list")


def test_a_bad_address_of_a_task_and_an_unknown_owner_are_refused(home: Path) -> None:
    (home / "nbflow.toml").write_text("[owners]\ndata-team = ['json://localhost']\n")
    path = sales(home, "json://localhost", "%%task load --notify jsno://s3cret --owner data-teem\nx = 1")
    said = typed("check", path)
    assert 'cell 3, line 1: --notify of task load: "jsno://" is no service' in said
    assert 'cell 3, line 1: owner "data-teem" is not in [owners] of nbflow.toml. Did you mean "data-team"?' in said
    assert 'cell 2, line 2: owner "team" is not in [owners] of nbflow.toml.' in said


def test_a_deadline_of_which_nobody_is_told_is_a_warning(home: Path) -> None:
    path = sales(home, "json://localhost", "%%task load --deadline 07:30\nx = 1")
    Path(path).write_text(Path(path).read_text().replace("on_failure", "on_success"))
    said = typed("check", path)
    assert "warning: cell 2, line 3: deadline is set, but nobody is told when it is missed: say on_deadline or on_failure" in said
    assert "warning: cell 3, line 1: Task load has a deadline, but nobody is told when it is missed: add --notify URL." in said
    assert "Deployed sales" in typed("deploy", path)


SETTINGS = {
    "notify = [3]": 'nbflow.toml, line 1: notify must be a list of addresses such as ["ops-mail", "mailto://..."].',
    "notify = ['s3cret secret']": "nbflow.toml, line 1: notify must hold URLs",
    "[notify]\non_faliure = ['x']": 'There is no key "on_faliure" in [notify]. Did you mean "on_failure"?',
    "[notify]\nskips_over = '1 in 3 runs'": "skips_over stands in the [notify] of a flow's header, not in the settings.",
    "owners = 'team'": "nbflow.toml, line 1: owners is a table: write [owners]",
    "[owners]\nteam = 's3cret secret'": "nbflow.toml, line 1: owners.team must hold URLs",
}


@pytest.mark.parametrize("said", SETTINGS)
def test_bad_settings_are_refused_without_their_addresses(home: Path, said: str) -> None:
    (home / "nbflow.toml").write_text(said)
    answer = typed("notifications", "list")
    assert SETTINGS[said] in answer
    assert "s3cret" not in answer


def test_what_could_not_be_sent_is_shown_and_sent_when_asked(home: Path) -> None:
    with webhook() as hook:
        typed("deploy", sales(home, hook.url("s3cret")))
        hook.status = 503
        with closing(Workspace.open()) as workspace:
            run_id = fail(workspace)
            Notifier(workspace).turn()
        listed = json.loads(typed("notifications", "list", "--json", "--run", run_id))["notifications"]
        assert [(one["state"], one["to"], one["tries"]) for one in listed] == [("waiting", f"json://127.0.0.1:{hook.port}/...", 1)]
        assert "503" in listed[0]["reason"]
        shown = typed("flows", "show", "sales")
        assert f"tells      failure: json://127.0.0.1:{hook.port}/...; deadline (07:30): json" in shown
        assert "not told   json://127.0.0.1" in shown
        assert "note  messages     1 could not be sent, the newest to json://127.0.0.1" in typed("doctor")
        assert json.loads(typed("flows", "show", "sales", "--json"))["schedule"]["notify"]["on_failure"] == [listed[0]["to"]]
        assert "sales failed at load." in typed("notifications", "show", str(listed[0]["id"]))
        assert "is still tried: only one that failed" in typed("notifications", "retry", str(listed[0]["id"]))
        hook.status = 200
        with closing(Workspace.open()) as workspace:
            outbox = workspace.store.notifications
            (claimed,) = outbox.claim(workspace.clock.now() + timedelta(days=1000), "test", 60)
            outbox.sent(claimed, replace(claimed.notification, state=Sending.FAILED, next_at=None))
        assert typed("notifications", "retry", str(listed[0]["id"])).startswith("Sent notification")
    assert hook.titles() == ["nbflow: sales failed"]
    assert typed("notifications", "acknowledge", run_id) == f"Nobody else is told of run {run_id}.\n"
    assert "acknowledge" in typed("flows", "show", "sales")


def test_addresses_are_masked_wherever_a_graph_is_printed(home: Path) -> None:
    path = sales(home, "json://localhost", "%%task load --notify slack://T1JJ3T3L2/A1BRTD4JD/s3crets3crets3crets3cret\nx = 1")
    graph = json.loads(typed("graph", path, "--json"))
    assert graph["tasks"][0]["options"]["notify"][0].startswith("slack://... (")


def test_a_run_by_hand_tells_people_only_when_asked(home: Path) -> None:
    with webhook() as hook:
        path = sales(home, hook.url(), "%%task load\nx = {}\nx['temp_c']")
        typed("run", path)
        assert hook.titles() == []
        typed("run", path, "--notify")
        assert hook.titles() == ["nbflow: sales failed"]
        hook.status = 500
        assert "was not told: Failed to send JSON POST" in typed("run", path, "--notify")
