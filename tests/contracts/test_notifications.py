# SPDX-License-Identifier: BSD-3-Clause
"""What every Store promises about messages and the runs that are watched for them, over memory, SQLite and PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from nbflow.core.addresses import address_hash
from nbflow.core.deployments import Deployment
from nbflow.core.errors import UserError
from nbflow.core.ids import RunId
from nbflow.core.notifications import PAUSES, Notification, Sending, tried
from nbflow.core.records import Change, RunRecord
from nbflow.core.states import RunState

pytest_plugins = ["tests.unit.store.databases"]

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def a_run(run_id="r1", **more):
    return RunRecord(**{"run_id": RunId(run_id), "flow": "sales", "deployment": "sales", "created_at": NOW, **more})


def a_message(key="r1/1", address="ops-mail", **more):
    return Notification(
        **{
            "key": key,
            "topic": "failure",
            "flow": "sales",
            "run_id": "r1",
            "address": address,
            "address_hash": address_hash(address),
            "shown": address,
            "subject": "sales failed",
            "text": "so it did",
            "at": NOW,
            "created_at": NOW,
            "next_at": NOW,
            **more,
        }
    )


def the_watched(store, now=NOW):
    (seen,) = store.notifications.watched(now)
    return seen


def watching(store, **more):
    """A store with one run, and what is watched of it."""
    store.deployments.add_run(a_run(**more), ())
    return the_watched(store)


def put(store, *messages):
    """In the outbox of a run that goes on."""
    seen = store.notifications.watched(NOW)[0] if store.notifications.watched(NOW) else None
    if seen is None:
        seen = watching(store)
    assert store.notifications.settle(seen, cursor=seen.cursor, look_at=NOW, is_over=False, notifications=messages)


def move(store, lease, state, by=None):
    run = store.run(lease.run_id)
    store.commit(lease, [Change(at=by or NOW, key=None, before=run.state, after=state, run=replace(run, state=state))])


class TestWatching:
    def test_every_run_of_a_deployment_is_looked_at_once(self, store):
        seen = watching(store)
        assert (seen.run_id, seen.cursor, seen.since) == ("r1", 0, NOW)
        assert store.notifications.settle(seen, cursor=0, look_at=None, is_over=False)
        assert store.notifications.watched(NOW + 365 * 24 * 3600 * SECOND) == ()

    def test_a_run_that_nobody_deployed_is_not_until_somebody_asks(self, store):
        store.create_run(a_run(deployment=""), ())
        assert store.notifications.watched(NOW) == ()
        assert store.notifications.watch("r1", NOW) == the_watched(store)
        assert the_watched(store).cursor == 0

    def test_it_is_looked_at_again_when_its_log_grows(self, store):
        seen = watching(store)
        store.notifications.settle(seen, cursor=0, look_at=None, is_over=False)
        lease = store.claim("r1", "me", 60)
        move(store, lease, RunState.RUNNING)
        assert the_watched(store).cursor == 0
        store.notifications.settle(the_watched(store), cursor=1, look_at=None, is_over=False)
        assert store.notifications.watched(NOW) == ()

    def test_it_is_looked_at_again_when_its_time_has_come(self, store):
        store.notifications.settle(watching(store), cursor=0, look_at=NOW + SECOND, is_over=False)
        assert store.notifications.watched(NOW) == ()
        assert the_watched(store, NOW + SECOND).run_id == "r1"
        assert store.notifications.watched(NOW + SECOND, without=["r1"]) == ()

    def test_one_of_two_that_look_writes(self, store):
        seen = watching(store)
        assert store.notifications.settle(seen, cursor=0, look_at=None, is_over=False, notifications=[a_message()])
        assert not store.notifications.settle(seen, cursor=0, look_at=None, is_over=False, notifications=[a_message("r1/2")])
        assert [one.key for one in store.notifications.notifications()] == ["r1/1"]

    def test_what_ended_is_watched_no_more_and_a_cleared_run_from_there_on(self, store):
        seen = watching(store)
        lease = store.claim("r1", "me", 60)
        move(store, lease, RunState.FAILED)
        assert store.notifications.settle(the_watched(store), cursor=1, look_at=None, is_over=True)
        assert store.notifications.watched(NOW) == ()
        assert not store.notifications.settle(seen, cursor=1, look_at=None, is_over=True)
        move(store, lease, RunState.QUEUED, by=NOW + SECOND)
        again = the_watched(store)
        assert (again.cursor, again.since) == (1, NOW + SECOND)

    def test_a_run_that_goes_on_at_that_instant_stays_watched(self, store):
        seen = watching(store)
        lease = store.claim("r1", "me", 60)
        move(store, lease, RunState.FAILED)
        move(store, lease, RunState.QUEUED)
        seen = the_watched(store)
        assert store.notifications.settle(seen, cursor=1, look_at=None, is_over=True)
        assert the_watched(store).cursor == 1

    def test_what_nobody_wants_to_hear_of_is_forgotten(self, store):
        store.notifications.forget(watching(store))
        lease = store.claim("r1", "me", 60)
        move(store, lease, RunState.RUNNING)
        assert store.notifications.watched(NOW) == ()

    def test_the_run_that_paused_its_flow_is_looked_at_again(self, store):
        store.deployments.create(Deployment(name="sales", version="v", deployed_at=NOW, since=NOW))
        store.notifications.settle(watching(store), cursor=0, look_at=None, is_over=True)
        assert store.notifications.watched(NOW) == ()
        store.deployments.change("sales", lambda one: replace(one, paused=True, paused_by="r1", paused_at=NOW))
        assert the_watched(store).cursor == 0
        store.notifications.settle(the_watched(store), cursor=0, look_at=None, is_over=True)
        store.deployments.change("sales", lambda one: replace(one, paused=False))
        assert store.notifications.watched(NOW) == ()

    def test_somebody_takes_care(self, store):
        store.notifications.settle(watching(store), cursor=0, look_at=None, is_over=False)
        assert store.notifications.acknowledge("r1", "ada")
        assert the_watched(store).acknowledged == "ada"
        assert not store.notifications.acknowledge("r2", "ada")


class TestOutbox:
    def test_it_comes_back_whole(self, store):
        put(store, a_message(task="load[3]", markdown="**so**"))
        (one,) = store.notifications.notifications()
        assert one == replace(a_message(task="load[3]", markdown="**so**"), id=one.id)
        assert store.notifications.notification(one.id) == one

    def test_the_same_of_one_event_to_one_address_is_one(self, store):
        put(store, a_message(), a_message(), a_message(address="other"))
        put(store, a_message(text="another look"))
        assert [(one.key, one.address) for one in store.notifications.notifications()] == [("r1/1", "other"), ("r1/1", "ops-mail")]

    def test_they_are_found_by_flow_run_and_state(self, store):
        put(store, a_message(), a_message("r2/1", run_id="r2", flow="costs"))
        assert [one.key for one in store.notifications.notifications(flow="costs")] == ["r2/1"]
        assert [one.key for one in store.notifications.notifications(run_id="r1")] == ["r1/1"]
        assert store.notifications.notifications(state="failed") == ()
        assert len(store.notifications.notifications(limit=1)) == 1

    def test_each_is_claimed_by_one_when_its_time_has_come(self, store):
        put(store, a_message(), a_message("r1/2", next_at=NOW + SECOND))
        (claimed,) = store.notifications.claim(NOW, "a", 60, limit=10)
        assert (claimed.notification.key, claimed.owner) == ("r1/1", "a")
        assert store.notifications.claim(NOW, "b", 60, limit=10) == ()
        assert [one.notification.key for one in store.notifications.claim(NOW + SECOND, "b", 60, limit=10)] == ["r1/2"]

    def test_some_are_asked_for(self, store):
        put(store, a_message(), a_message("r1/2"))
        ids = {one.key: one.id for one in store.notifications.notifications()}
        assert store.notifications.claim(NOW, "a", 60, limit=10, only=[]) == ()
        (claimed,) = store.notifications.claim(NOW, "a", 60, limit=10, only=[ids["r1/2"]])
        assert claimed.notification.key == "r1/2"

    def test_ten_deliverers_at_once_claim_each_once(self, store):
        put(store, *(a_message(f"r1/{number}") for number in range(20)))

        def take(owner):
            found = []
            while claimed := store.notifications.claim(NOW, owner, 60, limit=3):
                found += claimed
            return found

        with ThreadPoolExecutor(10) as threads:
            taken = [one for found in threads.map(take, [f"o{number}" for number in range(10)]) for one in found]
        keys = [one.notification.key for one in taken]
        assert len(keys) == len(set(keys))
        assert set(keys) == {f"r1/{number}" for number in range(20)}

    def test_the_claim_of_a_dead_process_and_a_lapsed_one_are_free(self, store):
        put(store, a_message())
        (first,) = store.notifications.claim(NOW, "dead", 60)
        (second,) = store.notifications.claim(NOW, "slow", 0, is_dead=lambda owner: owner == "dead")
        (third,) = store.notifications.claim(NOW, "last", 60)
        assert (first.epoch, second.epoch, third.epoch) == (1, 2, 3)
        after = tried(first.notification, NOW, "")
        assert not store.notifications.sent(first, after)
        assert not store.notifications.sent(second, after)
        assert store.notifications.sent(third, after)
        assert store.notifications.notifications()[0].state is Sending.SENT

    def test_what_was_sent_is_not_claimed_again_and_what_was_not_later(self, store):
        put(store, a_message())
        for pause in PAUSES:
            now = store.notifications.notifications()[0].next_at
            (claimed,) = store.notifications.claim(now, "a", 60)
            assert store.notifications.sent(claimed, tried(claimed.notification, now, "no such host"))
            assert store.notifications.claim(now + pause - SECOND, "a", 60) == ()
        last = NOW + sum(PAUSES, timedelta())
        (claimed,) = store.notifications.claim(last, "a", 60)
        assert store.notifications.sent(claimed, tried(claimed.notification, last, "no such host"))
        (one,) = store.notifications.notifications(state="failed")
        assert (one.tries, one.reason, one.next_at) == (5, "no such host", None)
        assert store.notifications.claim(last + 365 * 24 * 3600 * SECOND, "a", 60) == ()

    def test_one_that_failed_is_sent_again_when_asked(self, store):
        put(store, a_message())
        (claimed,) = store.notifications.claim(NOW, "a", 60)
        id = claimed.notification.id
        with pytest.raises(UserError, match=f"Notification {id} is still tried: only one that failed can be sent again"):
            store.notifications.send_again(id, NOW)
        failed = replace(claimed.notification, state=Sending.FAILED, tries=5, next_at=None, reason="why")
        store.notifications.sent(claimed, failed)
        assert store.notifications.send_again(id, NOW) == replace(failed, state=Sending.WAITING, tries=0, next_at=NOW)
        (again,) = store.notifications.claim(NOW, "a", 60)
        store.notifications.sent(again, tried(again.notification, NOW, ""))
        with pytest.raises(UserError, match=f"Notification {id} was sent: only one that failed can be sent again"):
            store.notifications.send_again(id, NOW)
        with pytest.raises(UserError, match=r"There is no notification 77\. `nbflow notifications list` shows them"):
            store.notifications.notification(77)

    def test_with_a_run_goes_what_was_told_of_it_but_not_what_is_still_to_be_sent(self, store):
        put(store, a_message(), a_message("r1/2", next_at=NOW + SECOND))
        (claimed,) = store.notifications.claim(NOW, "a", 60)
        store.notifications.sent(claimed, tried(claimed.notification, NOW, ""))
        lease = store.claim("r1", "me", 60)
        move(store, lease, RunState.SUCCESS)
        store.release(lease)
        store.delete_run("r1")
        assert store.notifications.watched(NOW) == ()
        assert [one.key for one in store.notifications.notifications()] == ["r1/2"]
