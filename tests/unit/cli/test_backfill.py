# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow backfill ...`, as typed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner, Result

from nbflow.authoring.schedules import read_schedule
from nbflow.cli.main import cli
from nbflow.core.records import Change
from nbflow.core.states import RunState
from nbflow.scheduler.loop import Scheduler
from nbflow.store.memory import MemoryStore
from tests.unit.scheduler.world import Launched


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """One store for the commands of a test: each closes what it opened."""
    store = MemoryStore()
    monkeypatch.setattr("nbflow.store.opening.open_store", lambda _: store)
    monkeypatch.setenv("NBFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NBFLOW_DASK", "inline")
    v4 = nbformat.v4
    cells = [v4.new_code_cell("region = 'us'", metadata={"tags": ["parameters"]}), v4.new_code_cell("print(region)")]
    nbformat.write(v4.new_notebook(cells=cells), tmp_path / "sales.ipynb")
    typed("deploy", tmp_path / "sales.ipynb", "--schedule", "0 3 * * *", "--timezone", "Europe/Zurich")
    return store


def typed(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def create(*words: object, first: str = "2024-01-01", last: str = "2024-01-04") -> Result:
    return typed("backfill", "create", "sales", "--from", first, "--to", last, *words)


def scheduled(store: MemoryStore, *, room: int = 100) -> Scheduler:
    """A scheduler whose runs go on until they are ended; one turn of it, at an instant at which no live run is due."""
    scheduler = Scheduler(store=store, launcher=Launched(room), read=read_schedule, owner="s")
    scheduler.tick(store.deployments.get("sales").deployed_at)
    return scheduler


def end(store: MemoryStore, scheduler: Scheduler, state: RunState = RunState.SUCCESS) -> None:
    for run_id, lease in scheduler.launcher.runs.items():
        now = datetime.now(UTC)
        run = replace(store.run(run_id), state=state, ended_at=now)
        store.commit(lease, [Change(at=now, key=None, before="queued", after=state, run=run)])
        store.release(lease)
    scheduler.launcher.runs.clear()
    scheduler.tick(store.deployments.get("sales").deployed_at)


def test_it_says_what_it_would_do_before_it_does_it(store: MemoryStore) -> None:
    told = create("--dry-run").stdout
    assert "Mon 01 Jan 2024 03:00 CET   create" in told
    assert "sales, 2024-01-01 to 2024-01-04: 4 to create. Nothing was done." in told
    assert store.backfills.find() == ()
    planned = json.loads(create("--dry-run", "--json", "--reverse").stdout)
    assert [date["logical_date"][:10] for date in planned["dates"]] == ["2024-01-04", "2024-01-03", "2024-01-02", "2024-01-01"]
    assert (planned["dry_run"], planned["id"], planned["dates"][0]["verdict"]) == (True, None, "create")


def test_from_creating_to_completed(store: MemoryStore) -> None:
    done = create("--max-active", "2", "-p", "region", "eu")
    assert done.stdout == "Backfill 1 of sales: 4 runs, 2024-01-01 to 2024-01-04, at most 2 at once.\n"
    assert "no scheduler is running" in done.stderr
    assert "0 of 4 done: 4 to come" in typed("backfill", "list").stdout
    scheduler = scheduled(store)
    assert "0 of 4 done: 2 queued, 2 to come" in typed("backfill", "show", "1").stdout
    end(store, scheduler)
    end(store, scheduler, RunState.FAILED)
    told = typed("backfill", "show", "sales").stdout
    for line in ("state      completed", "progress   4 of 4 done: 2 succeeded, 2 failed", "parameters region='eu'"):
        assert line in told
    assert "Thu 04 Jan 2024 03:00 CET   backfill__2024-01-04T02:00:00Z~sales   ✗ failed" in told
    shown = json.loads(typed("backfill", "show", "1", "--json").stdout)
    assert (shown["state"], shown["progress"]["failed"], [date["run_state"] for date in shown["dates"]]) == (
        "completed",
        2,
        ["success", "success", "failed", "failed"],
    )
    (row,) = json.loads(typed("backfill", "list", "--flow", "sales", "--json").stdout)["backfills"]
    assert (row["from"], row["max_active"], row["progress"]["total"]) == ("2023-12-31T23:00:00+00:00", 2, 4)
    assert {run.params["region"] for run in store.deployments.ended("sales", 10)} == {"eu"}
    again = create().stdout
    assert again.startswith("There is nothing to do for sales, 2024-01-01 to 2024-01-04: 0 to create, 4 already there.")
    assert "--reprocess failed or completed runs some of them again." in again
    assert "2 to run again, 2 already there" in create("--dry-run", "--reprocess", "failed").stdout


def test_following_one_ends_with_it_and_says_what_failed(store: MemoryStore) -> None:
    create()
    end(store, scheduled(store), RunState.FAILED)
    followed = typed("backfill", "show", "sales", "--follow")
    assert "4 of 4 done: 4 failed (completed)" in followed.stdout
    assert str(followed.exception) == "Backfill 1 of sales is completed: 4 of 4 done: 4 failed."


def test_pausing_and_going_on(store: MemoryStore) -> None:
    create()
    assert typed("backfill", "pause", "sales").stdout == "Paused backfill 1 of sales.\n"
    assert scheduled(store).launcher.order == []
    typed("flows", "pause", "sales")
    going = typed("backfill", "unpause", "1")
    assert going.stdout == "Backfill 1 of sales goes on.\n"
    assert "sales is paused, so its backfill waits, too: type nbflow flows unpause sales." in going.stderr
    typed("flows", "unpause", "sales")
    assert len(scheduled(store).launcher.order) == 4


def test_cancelling(store: MemoryStore) -> None:
    create("--max-active", "2")
    scheduled(store, room=1)
    assert typed("backfill", "cancel", "sales").stdout == "Cancelled backfill 1 of sales: 1 of 4 done: 1 failed; 1 queued, 2 dropped.\n"
    assert "cancelling by" in typed("backfill", "show", "1").stdout
    assert "backfill   1 is cancelling: 1 of 4 done" in typed("flows", "show", "sales").stdout
    refused = str(typed("backfill", "unpause", "1").exception)
    assert refused == "Backfill 1 of sales cannot be unpaused: it is cancelling."
    assert str(create(first="2024-02-01", last="2024-02-01").exception).startswith("Flow sales has a backfill that has not ended, 1: wait")


def test_one_that_waits_for_nothing_ends_at_once_when_cancelled_without_a_scheduler(store: MemoryStore) -> None:
    create()
    assert typed("backfill", "cancel", "1").stdout == "Cancelled backfill 1 of sales: 0 of 4 done: 4 dropped.\n"
    assert str(typed("backfill", "cancel", "1").exception) == "Backfill 1 of sales has ended already: it is cancelled."
    assert create(first="2024-02-01", last="2024-02-01").exit_code == 0


def test_undeploying_cancels_it_and_deleting_asks_for_that(store: MemoryStore) -> None:
    create()
    refused = str(typed("flows", "delete", "sales", "--yes").exception)
    assert refused == "Flow sales has a backfill that has not ended: cancel it first (nbflow backfill cancel 1)."
    assert typed("undeploy", "sales").exit_code == 0
    assert store.backfills.get(1).state == "cancelled"
    assert "1 of sales" in typed("backfill", "show", "1").stdout


def test_deleting_the_flow_forgets_its_backfills(store: MemoryStore) -> None:
    create()
    typed("backfill", "cancel", "1")
    assert typed("flows", "delete", "sales", "--yes").stdout == "Deleted sales and 0 runs.\n"
    assert store.backfills.find() == ()


def test_what_has_not_come_is_left_to_the_schedule() -> None:
    today = datetime.now(UTC).date()
    done = create(first=str(today - timedelta(days=2)), last=str(today + timedelta(days=3)))
    assert "on the time has not come: those dates are left to the schedule." in done.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["create", "sale", "--from", "2024-01-01", "--to", "2024-01-02"], 'There is no deployed flow "sale". Did you mean "sales"?'),
        (["create", "sales", "--from", "2024-01-05", "--to", "2024-01-02"], "and 2024-01-05 to 2024-01-02 goes back."),
        (["create", "sales", "--from", "2100-01-05", "--to", "2100-01-06"], "2100-01-05 to 2100-01-06 lies in the future"),
        (["create", "sales", "--from", "tuesday", "--to", "2024-01-02"], "The first date must be a date such as 2026-01-01"),
        (["create", "sales", "--from", "2024-01-01", "--to", "2024-13-02"], "The last date must be a date such as 2026-01-01"),
        (["create", "sales", "--from", "2024-01-01", "--to", "2024-01-02", "--max-active", "0"], "max_active is 0: at least one run"),
        (["create", "sales", "--from", "2024-01-01", "--to", "2024-01-02", "-p", "regoin", "x"], 'has no parameter "regoin". Did you mean'),
        (["create", "sales", "--from", "2024-01-01", "--to", "2024-01-02", "--reprocess", "all"], "'all' is not one of"),
        (["create", "sales", "--from", "1950-01-01", "--to", "2024-01-02"], "holds more than 20,000 dates of flow sales"),
        (["create", "sales", "--from", "2024-01-01"], "Missing option '--to'"),
        (["show", "7"], "There is no backfill 7. `nbflow backfill list` shows them."),
        (["show", "9999999999999999999999"], "There is no backfill"),
        (["show", "sales"], "Flow sales has had no backfill: type nbflow backfill create sales --from DATE --to DATE."),
        (["pause", "other"], 'There is no deployed flow "other".'),
        (["list", "--flow", "other"], 'There is no deployed flow "other".'),
    ],
)
def test_mistakes_are_one_sentence(store: MemoryStore, words: list[str], sentence: str) -> None:
    failed = typed("backfill", *words)
    assert sentence in f"{failed.exception} {failed.output}"
    assert store.backfills.find() == ()
