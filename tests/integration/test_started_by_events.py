# SPDX-License-Identifier: BSD-3-Clause
"""Two real schedulers on one database: a file starts one flow, its outlet another, the end of that a third; each once."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbflow.app import Workspace
from nbflow.app.arriving import update_asset
from nbflow.app.deploying import deploy
from tests.integration.test_schedulers import notebook, opened, schedulers, until, why

#: Writes down what started the run, in the notebook's folder.
SAYS = (
    "import json, pathlib\nfrom nbflow import ctx\n"
    "with pathlib.Path('told.txt').open('a') as file:\n    print(json.dumps([ctx.flow, ctx.run_type, list(ctx.events)]), file=file)"
)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with opened(tmp_path / "home") as workspace:
        yield workspace


def test_a_file_starts_a_flow_whose_asset_starts_another_whose_end_starts_a_third(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "NBFLOW_WATCH_INTERVAL", "0.2")
    folder = tmp_path / "nb"
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "old.csv").write_text("there before")
    load = "%load_ext nbflow"
    clean = f"%%task clean --outlets clean_logs\n{SAYS}\nrows = [ctx.events[0]['path']]"
    deploy(workspace, notebook(folder / "etl.ipynb", load, '%%flow etl\non = ["file:in/*.csv"]', clean))
    deploy(workspace, notebook(folder / "report.ipynb", load, '%%flow report\nassets = "clean_logs & prices"', f"%%task a\n{SAYS}"))
    deploy(workspace, notebook(folder / "tell.ipynb", load, '%%flow tell\non = ["flow:report"]', f"%%task a\n{SAYS}"))
    deployments, occasions = workspace.store.deployments, workspace.store.occasions
    with schedulers(workspace, 2) as running:
        until(lambda: bool(occasions.watches("etl")[0].count))
        (folder / "new.part").write_text("news")
        (folder / "new.part").rename(folder / "in" / "new.csv")  # in one step: a look at the file half written would see it change
        until(lambda: bool(deployments.ended("etl", 9)))
        until(lambda: bool(occasions.updates_of("clean_logs")))
        update_asset(workspace, "prices", {"day": "2026-01-01"}, by="me")
        until(lambda: bool(deployments.ended("tell", 9)))
        for one in running:
            one.send_signal(signal.SIGTERM)
        assert [one.wait(60) for one in running] == [0, 0]
    ended = {name: deployments.ended(name, 9) for name in ("etl", "report", "tell")}
    assert {name: [run.state.value for run in runs] for name, runs in ended.items()} == {name: ["success"] for name in ended}, why(
        workspace, [run for runs in ended.values() for run in runs]
    )
    assert not any(deployments.active(name) for name in ended)
    told = [json.loads(line) for line in (folder / "told.txt").read_text().splitlines()]
    assert [(flow, kind) for flow, kind, _ in told] == [("etl", "file"), ("report", "asset"), ("tell", "flow")]
    (file,), (logs, prices), (end,) = (events for _, _, events in told)
    assert (file["path"], file["change"]) == (str(folder / "in" / "new.csv"), "new")
    assert (logs["asset"], logs["flow"], logs["run_id"], logs["task"]) == ("clean_logs", "etl", ended["etl"][0].run_id, "clean")
    assert (prices["asset"], prices["by"], prices["extra"]) == ("prices", "me", {"day": "2026-01-01"})
    assert (end["flow"], end["state"], end["run_id"]) == ("report", "success", ended["report"][0].run_id)
    assert ended["report"][0].run_id.startswith("asset__")
    assert list(ended["report"][0].events) == [logs, prices]
