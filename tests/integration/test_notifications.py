# SPDX-License-Identifier: BSD-3-Clause
"""Real schedulers that are killed, a real webhook and a real mail server: how often people are told of runs that fail."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from concurrent.futures import Future
from pathlib import Path

from nbflow.app import Workspace
from nbflow.app.deploying import deploy, trigger
from nbflow.core.notifications import Sending
from tests.integration.test_schedulers import notebook, opened, schedulers, until
from tests.mail import mail_server
from tests.receivers import mail_url, webhook


def failing_notebook(folder: Path, *addresses: str) -> Path:
    quoted = ", ".join(f'"{address}"' for address in addresses)
    return notebook(
        folder / "sales.ipynb",
        "%load_ext nbflow",
        f"%%flow sales\nmax_active_runs = 2\n[notify]\non_failure = [{quoted}]",
        "%%task load\nrow = {}\nrow['temp_c']",
    )


def sent(workspace: Workspace) -> int:
    return len(workspace.store.notifications.notifications(state=Sending.SENT, limit=1000))


def test_each_failure_is_told_once_by_webhook_and_mail_though_a_scheduler_is_killed(tmp_path: Path) -> None:
    with opened(tmp_path / "home") as workspace, webhook() as hook, mail_server() as mails:
        deploy(workspace, failing_notebook(tmp_path, hook.url(), mail_url(mails.port, "ada@example.org")))
        with schedulers(workspace, 2) as (one, two):
            trigger(workspace, "sales")
            until(lambda: sent(workspace) == 2)
            one.send_signal(signal.SIGKILL)
            for _ in range(2):
                trigger(workspace, "sales")
            until(lambda: len(workspace.store.deployments.ended("sales", 10)) == 3)
            until(lambda: sent(workspace) == 6)
            two.send_signal(signal.SIGTERM)
            assert two.wait(60) == 0
        runs = {run.run_id for run in workspace.store.deployments.ended("sales", 10)}
        assert Counter(key.partition("/")[0] for key in hook.keys) == dict.fromkeys(runs, 1)
        assert Counter(str(mail["X-Nbflow-Key"]).partition("/")[0] for mail in mails.messages) == dict.fromkeys(runs, 1)
        assert {mail["To"] for mail in mails.messages} == {"ada@example.org"}
        assert set(hook.titles()) == {"nbflow: sales failed"}
        text = hook.told[0]["message"]
        assert "Task load: attempt 1, cell 3, line 3" in text
        assert "KeyError: 'temp_c'" in text
        assert f"Again: nbflow runs retry {hook.keys[0].partition('/')[0]}" in text


def test_a_scheduler_killed_while_it_sends_has_the_message_sent_again_with_the_same_key(tmp_path: Path) -> None:
    with opened(tmp_path / "home") as workspace, webhook() as hook:
        deploy(workspace, failing_notebook(tmp_path, hook.url()))
        trigger(workspace, "sales")
        first: Future[subprocess.Popen[str]] = Future()
        hook.before = lambda: first.result(60).kill()
        with schedulers(workspace, 1) as (one,):
            first.set_result(one)
            until(lambda: one.poll() == -signal.SIGKILL)
        assert (len(hook.told), sent(workspace)) == (1, 0)
        with schedulers(workspace, 1):
            until(lambda: sent(workspace) == 1)
        assert hook.keys == [hook.keys[0]] * 2
        assert hook.told[0]["message"] == hook.told[1]["message"]
