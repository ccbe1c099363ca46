# SPDX-License-Identifier: BSD-3-Clause
"""Retries and their delays, against semantics.md 3."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.options import TaskOptions
from nbflow.core.retry import may_retry, retry_delay
from tests.unit.core.world import error

DAY = timedelta(days=1)


def seconds(failures: int, seed: str = "run", **options: object) -> float:
    chosen = {"retry_delay": timedelta(seconds=300), **options}
    return retry_delay(TaskOptions(**chosen), failures, seed).total_seconds()


@pytest.mark.parametrize("off", [0, 1])
def test_without_backoff_the_delay_is_exact_and_never_capped(off: float):
    assert seconds(4, backoff=off, max_retry_delay=timedelta(seconds=1)) == 300


@pytest.mark.parametrize(("failures", "low", "high"), [(1, 300, 599), (2, 600, 1199), (3, 1200, 2399), (4, 2400, 4799), (5, 4800, 9599)])
def test_doubling_stays_in_the_worked_windows(failures: int, low: int, high: int):
    delays = {seconds(failures, seed=f"flow#task#{n}", backoff=2.0) for n in range(200)}
    assert low <= min(delays)
    assert max(delays) <= high
    assert len(delays) > 100


def test_the_longest_delay_caps_the_jitter_too():
    assert seconds(3, backoff=2.0, max_retry_delay=timedelta(seconds=600)) == 600


def test_trebling_reaches_the_day_at_the_sixth_failure():
    assert seconds(6, backoff=3.0) == 86_400


def test_a_delay_too_large_to_compute_is_a_day():
    assert seconds(5_000, backoff=10.0) == 86_400


def test_a_delay_of_nothing_with_backoff_is_a_second():
    assert seconds(1, backoff=2.0, retry_delay=timedelta(0)) == 1


@given(st.integers(0, 10**6), st.floats(1.01, 20), st.integers(1, 400), st.text(max_size=20))
def test_the_delay_is_deterministic_within_a_day_and_its_lower_bound_grows(delay: int, factor: float, failures: int, seed: str):
    options = {"retry_delay": timedelta(seconds=delay), "backoff": factor}
    found = seconds(failures, seed, **options)
    assert found == seconds(failures, seed, **options)
    assert 1 <= found <= 86_400
    assert found >= min(delay * factor ** min(failures - 1, 100), 86_400) - 1e-3


def test_attempts_are_one_more_than_retries():
    assert [failures for failures in (1, 2, 3) if may_retry(TaskOptions(retries=2), failures, error())] == [1, 2]


def test_an_error_that_forbids_it_is_not_retried():
    assert not may_retry(TaskOptions(retries=2), 1, error("FailTask", may_retry=False))


@pytest.mark.parametrize("name", ["ConnectionResetError", "OSError", "builtins.OSError"])
def test_retry_on_matches_the_class_and_those_above_it_bare_or_qualified(name: str):
    lost = error("ConnectionResetError", classes=("builtins.ConnectionResetError", "ConnectionResetError", "builtins.OSError", "OSError"))
    assert may_retry(TaskOptions(retries=1, retry_on=(name,)), 1, lost)
    assert not may_retry(TaskOptions(retries=1, no_retry_on=(name,)), 1, lost)


def test_other_errors_are_not_retried_when_retry_on_is_given():
    assert not may_retry(TaskOptions(retries=1, retry_on=("OSError",)), 1, error("KeyError"))
