# SPDX-License-Identifier: BSD-3-Clause
"""A backfill by real schedulers on a real cluster: one of them is killed, and each date runs once, with the version in force."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

from nbflow.app import Workspace, backfilling
from nbflow.app.deploying import deploy
from nbflow.settings import Settings
from tests.integration.test_schedulers import notebook, schedulers, until

BODY = """%%task one
from nbflow import ctx
import pathlib
{trouble}
pathlib.Path('log.txt').open('a').write(f'{{ctx.logical_date:%d}} {{ctx.run_type}} {{region}} {{ctx.ds}}\\n')
x = 1"""


def test_last_month_again(tmp_path: Path) -> None:
    def sales(trouble: str) -> Path:
        cells = ("%load_ext nbflow", "%%flow sales\nschedule = '0 3 * * *'\ncatchup = 'none'", BODY.format(trouble=trouble))
        return notebook(tmp_path / "sales.ipynb", *cells, parameters="region = 'us'")

    settings = Settings(home=tmp_path / "home", lease=10.0, workers=2, cluster_idle=5.0)
    with closing(Workspace(settings)) as workspace:
        deploy(workspace, sales("assert ctx.logical_date.day != 2, 'the second of the month'"))
        made = backfilling.create(workspace, backfilling.plan(workspace, "sales", "2024-01-01", "2024-01-03", max_active=2))
        assert made is not None

        def stands() -> backfilling.Standing:
            return backfilling.standing(workspace, made.id)

        with schedulers(workspace, 2) as (one, _):
            until(lambda: stands().progress.ended >= 1)
            one.send_signal(signal.SIGKILL)
            until(lambda: stands().backfill.ended_at is not None)
            progress = stands().progress
            assert (progress.success, progress.failed) == (2, 1)
            deploy(workspace, sales("pass"))
            environment = {**os.environ, "NBFLOW_HOME": str(settings.home), "NBFLOW_WORKERS": "2"}
            words = ["backfill", "create", "sales", "--from", "2024-01-01", "--to", "2024-01-03", "--reprocess", "failed"]
            typed = [sys.executable, "-m", "nbflow", *words, "-p", "region", "eu", "--follow", "--json"]
            done = subprocess.run(typed, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["state"], told["progress"]["success"], told["progress"]["passed"]) == ("completed", 1, 2)
    lines = Counter((tmp_path / "log.txt").read_text().splitlines())
    expected = {f"{day:02} backfill {'eu' if day == 2 else 'us'} 2024-01-{day:02}": 1 for day in range(1, 4)}
    assert lines == Counter(expected)
