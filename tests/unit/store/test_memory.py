# SPDX-License-Identifier: BSD-3-Clause
"""The memory store's own: leases by the clock it is given, private copies, no database behind it."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

from nbflow.core.ids import RunId
from nbflow.core.records import RunRecord
from nbflow.store.memory import MemoryStore


class Hand:
    """A clock whose hand the test moves."""

    def __init__(self):
        self.at = datetime(2026, 1, 2, tzinfo=UTC)

    def now(self):
        return self.at


def test_a_lease_lapses_when_the_given_clock_says_so():
    clock = Hand()
    store = MemoryStore(clock)
    store.create_run(RunRecord(run_id=RunId("r"), flow="f", created_at=clock.at), [])
    store.claim("r", "one", 30)
    clock.at += timedelta(seconds=29.9)
    assert store.claim("r", "two", 30) is None
    assert store.lapsed_runs() == ()
    clock.at += timedelta(seconds=0.1)
    assert store.lapsed_runs() == ("r",)
    assert store.claim("r", "two", 30).epoch == 2


def test_what_is_changed_after_the_call_does_not_change_the_store():
    params = {"day": "monday"}
    store = MemoryStore()
    store.create_run(RunRecord(run_id=RunId("r"), flow="f", created_at=datetime.now(UTC), params=params), [])
    params["day"] = "tuesday"
    assert store.run("r").params == {"day": "monday"}


def test_it_needs_no_database_library():
    code = "import sys, nbflow.store.memory; print('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"
