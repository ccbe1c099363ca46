# SPDX-License-Identifier: BSD-3-Clause
"""One task instance through its attempts: hand-over, reports, retries, losses."""

from __future__ import annotations

from datetime import timedelta

import pytest

from nbflow.core.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    Cancel,
    CancelRequested,
    FinishRun,
    SlotGranted,
    Submit,
    WakeAt,
    Woke,
)
from nbflow.core.ids import Token
from tests.unit.core.world import START, World, error, flow_of

RETRIES = {"retries": 2, "retry_delay": timedelta(seconds=18)}


def one(**options: object) -> World:
    return World(flow_of(alone="join_weather", join_weather=options))


def test_the_roots_are_scheduled_when_the_run_starts():
    world = World(flow_of("a>c b>c"))
    assert world.states() == {"a": "scheduled", "c": "pending", "b": "scheduled"}
    assert world.why("c") == "Waiting for 2 of 2 upstream tasks: a, b."


def test_a_granted_slot_is_a_submission_under_its_token():
    world = one()
    token = world.grant("join_weather")
    assert world.state("join_weather") == "queued"
    assert world.jobs == {token: world.key("join_weather")}
    assert world.record("join_weather").attempt == 1


def test_the_attempt_number_is_0_until_the_hand_over():
    assert one().record("join_weather").attempt == 0


def test_a_slot_for_an_instance_that_no_longer_waits_is_ignored():
    world = one()
    world.grant("join_weather")
    step = world.tell(SlotGranted(key=world.key("join_weather"), token=Token("late")))
    assert (step.changes, step.commands) == ((), ())


def test_the_start_is_recorded_with_its_instant_and_worker():
    world = one()
    world.begin("join_weather")
    record = world.record("join_weather")
    assert (record.state, record.started_at, record.worker, record.reason) == ("running", START, "w-1", "Running on w-1.")


def test_a_success_ends_the_token():
    world = one()
    world.succeed("join_weather")
    record = world.record("join_weather")
    assert (record.state, record.token, record.ended_at) == ("success", None, START)


def test_a_report_that_overtook_its_start_goes_through_running():
    world = one()
    token = world.grant("join_weather")
    step = world.tell(AttemptSucceeded(key=world.key("join_weather"), token=token, at=START))
    assert [(change.before, change.after) for change in step.changes if change.key] == [("queued", "running"), ("running", "success")]


def test_the_same_report_twice_is_one_report():
    world = World(flow_of("a>b"))
    world.begin("a")
    report = AttemptSucceeded(key=world.key("a"), token=world.token("a"), at=START)
    assert world.tell(report).changes
    assert world.tell(report).changes == ()


def test_a_start_that_comes_after_the_end_changes_nothing():
    world = one()
    token = world.grant("join_weather")
    world.succeed("join_weather")
    assert world.tell(AttemptStarted(key=world.key("join_weather"), token=token, at=START)).changes == ()


def test_a_report_with_an_old_token_changes_nothing():
    world = one(**RETRIES)
    world.begin("join_weather")
    old = world.token("join_weather")
    world.fail("join_weather")
    world.after(18)
    world.begin("join_weather")
    assert world.tell(AttemptFailed(key=world.key("join_weather"), token=old, at=START, error=error())).changes == ()
    assert world.record("join_weather").failures == 1


def test_a_failure_with_attempts_left_waits_for_its_next_attempt():
    world = one(**RETRIES)
    world.fail("join_weather", error=error("ConnectionResetError", "peer closed the connection"))
    record = world.record("join_weather")
    assert (record.state, record.wake_at) == ("up_for_retry", START + timedelta(seconds=18))
    assert record.reason == "Attempt 2 of 3 starts in 18 s. Attempt 1 failed: ConnectionResetError: peer closed the connection."
    assert world.wakes == [START + timedelta(seconds=18)]


def test_asked_later_the_sentence_counts_down():
    world = one(**RETRIES)
    world.fail("join_weather")
    world.now += timedelta(seconds=13)
    assert world.why("join_weather") == "Attempt 2 of 3 starts in 5 s. Attempt 1 failed: KeyError: 'temp_c'."


def test_the_next_attempt_starts_at_its_instant_and_not_before():
    world = one(**RETRIES)
    world.fail("join_weather")
    world.after(17)
    assert world.state("join_weather") == "up_for_retry"
    world.after(1)
    assert world.state("join_weather") == "scheduled"
    world.begin("join_weather")
    assert world.record("join_weather").attempt == 2
    assert world.reason("join_weather") == "Running on w-1, attempt 2 of 3."


def test_the_instants_and_the_worker_are_those_of_the_newest_attempt():
    world = one(**RETRIES)
    world.fail("join_weather")
    assert world.record("join_weather").ended_at == START
    world.after(18)
    world.grant("join_weather")
    record = world.record("join_weather")
    assert (record.started_at, record.ended_at, record.worker, record.wake_at) == (None, None, "", None)


def test_the_last_failure_says_what_where_and_after_how_many_attempts():
    world = one(**RETRIES)
    for _ in range(3):
        world.fail("join_weather")
        world.after(18)
    assert world.state("join_weather") == "failed"
    assert world.reason("join_weather") == "Failed after 3 attempts: KeyError: 'temp_c' in join_weather, line 4."


def test_a_task_that_may_not_be_retried_fails_at_once():
    world = one(**RETRIES)
    world.fail("join_weather", error=error("FailTask", "the feed is closed", may_retry=False, line=0))
    assert world.reason("join_weather") == "Failed: FailTask: the feed is closed in join_weather."


@pytest.mark.parametrize(("options", "state"), [({"retry_on": ("OSError",)}, "failed"), ({"no_retry_on": ("OSError",)}, "up_for_retry")])
def test_only_the_exceptions_asked_for_are_retried(options: dict[str, object], state: str):
    world = one(**RETRIES, **options)
    world.fail("join_weather")
    assert world.state("join_weather") == state


def test_a_task_may_skip_itself():
    world = World(flow_of("a>b"))
    world.skip("a", "no new files")
    assert world.states() == {"a": "skipped", "b": "skipped"}
    assert world.reason("a") == "Skipped: no new files."
    assert world.reason("b") == "Skipped: a was skipped."


def test_losing_an_attempt_that_never_started_is_free():
    world = one(infra_retries=0)
    for _ in range(3):
        token = world.grant("join_weather")
        world.lose("join_weather", started=False)
        assert world.state("join_weather") == "scheduled"
    record = world.record("join_weather")
    assert (record.attempt, record.losses, record.failures, record.token) == (1, 0, 0, None)
    assert world.grant("join_weather") != token


def test_a_lost_attempt_is_started_again_under_the_next_number():
    world = one(infra_retries=2)
    world.begin("join_weather")
    world.lose("join_weather")
    sentence = "Its worker disappeared; started again on another (1 of 2 such restarts)."
    assert (world.state("join_weather"), world.reason("join_weather")) == ("scheduled", sentence)
    world.begin("join_weather")
    record = world.record("join_weather")
    assert (record.attempt, record.losses, record.failures, record.reason) == (2, 1, 0, sentence)


def test_a_loss_whose_start_was_never_reported_counts_as_started():
    world = one()
    world.grant("join_weather")
    world.lose("join_weather", started=True)
    assert world.record("join_weather").losses == 1


def test_when_the_restarts_are_used_up_it_fails():
    world = one(infra_retries=1, retries=5)
    world.lose("join_weather")
    world.lose("join_weather")
    assert world.state("join_weather") == "failed"
    assert world.reason("join_weather") == "Failed: it was lost 2 times: worker w-1 is gone."


def test_losses_are_not_charged_to_retries():
    world = one(**RETRIES, infra_retries=1)
    world.lose("join_weather")
    for _ in range(2):
        world.fail("join_weather")
        world.after(18)
    assert world.state("join_weather") == "scheduled"


def test_an_empty_task_never_leaves_the_driver():
    world = World(flow_of("a>b b>c", empty=["b"]))
    world.succeed("a")
    assert world.states() == {"a": "success", "b": "success", "c": "scheduled"}
    assert world.record("b").attempt == 0


def test_waiting_stands_in_dispatch_order():
    flow = flow_of(alone="low first second high", low={"priority": 0}, high={"priority": 5})
    assert [str(key) for key in World(flow).machine.waiting()] == ["high", "first", "second", "low"]


def test_a_resume_submits_what_is_queued_and_wakes_what_sleeps():
    world = World(flow_of(alone="a b c", b={**RETRIES}, options={"run_timeout": timedelta(hours=1)}))
    token = world.grant("a")
    world.fail("b")
    world.begin("c")
    assert world.crash().commands == (
        Submit(key=world.key("a"), token=token, attempt=1),
        WakeAt(at=START),
        WakeAt(at=START + timedelta(seconds=18)),
        WakeAt(at=START + timedelta(hours=1)),
    )


def test_what_came_due_meanwhile_is_done_with_the_first_wake():
    world = one(**RETRIES)
    world.fail("join_weather")
    world.now += timedelta(minutes=5)
    assert world.crash().changes == ()
    world.tell(Woke())
    assert world.state("join_weather") == "scheduled"


def test_a_resume_of_a_finished_run_says_that_it_has_finished():
    world = one()
    world.succeed("join_weather")
    assert world.crash().commands == (FinishRun(state=world.run.state, reason=world.run.reason),)


def test_a_resume_cancels_again_what_a_person_ended():
    world = World(flow_of(alone="a b"))
    world.begin("a")
    token = world.token("a")
    world.tell(CancelRequested(keys=(world.key("a"),)))
    assert world.crash().commands == (Cancel(key=world.key("a"), token=token), WakeAt(at=START))
