# SPDX-License-Identifier: BSD-3-Clause
"""What attempts ask of workers, and who could give it."""

from __future__ import annotations

import pytest

from nbflow.core.errors import UserError
from nbflow.core.options import TaskOptions
from nbflow.core.resources import Offers, countable, memory_limit, parse_bytes, refusal, requested, unmet, within

HOME = Offers(where="the local cluster", workers=({"CPU": 4.0, "MEM": 16e9, "nbflow_host": 64.0},))
TWO = Offers(where="tcp://s:1", workers=({"CPU": 8.0}, {"GPU": 1.0, "MEM": 8e9}))
BARE = Offers(where="tcp://s:1", workers=({},))


def wants(resources: dict[str, str], **escalate: str) -> TaskOptions:
    return TaskOptions(resources=resources, escalate=escalate)


@pytest.mark.parametrize(
    ("text", "size"), [("4GB", 4 * 10**9), ("512MiB", 512 * 2**20), ("2e9", 2 * 10**9), ("1.5 g", 1_500_000_000), ("7", 7)]
)
def test_sizes_as_people_write_them(text: str, size: int):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "4 elephants", "-1GB", "0", "nan", "1e999"])
def test_what_is_no_size_says_so(text: str):
    with pytest.raises(UserError, match="is not a size: write 4GB, 512MB or a number of bytes"):
        parse_bytes(text)


@pytest.mark.parametrize(("failures", "memory"), [(0, 4 * 10**9), (1, 8 * 10**9), (2, 16 * 10**9)])
def test_each_failure_multiplies_what_is_escalated(failures: int, memory: int):
    request = requested(wants({"MEM": "4GB", "GPU": "1"}, MEM="2"), failures)
    assert memory_limit(request) == memory
    assert request["GPU"] == 1


def test_without_memory_there_is_no_limit():
    assert memory_limit(requested(wants({"GPU": "1"}))) is None


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (wants({"GPU": "some"}), "--resources GPU=some is not a number above 0: write GPU=1."),
        (wants({"GPU": "0"}), "--resources GPU=0 is not a number above 0: write GPU=1."),
        (wants({"MEM": "4 GBs"}), '"4 GBs" is not a size: write 4GB, 512MB or a number of bytes.'),
        (wants({"MEM": "4GB"}, MEM="half"), "--escalate MEM=half is no factor: write MEM=2 to ask for twice as much after each failure."),
        (wants({"MEM": "4GB"}, MEM="0.5"), "--escalate MEM=0.5 is no factor"),
        (
            wants({"MEM": "4GB"}, GPU="2"),
            "--escalate GPU multiplies what the task asks for, but it asks for no GPU. Write --resources GPU=1 too.",
        ),
        (wants({"MEM": "4GB"}, MEMO="2"), 'but it asks for no MEMO. Did you mean "MEM"?'),
    ],
)
def test_a_mistake_is_a_sentence(options: TaskOptions, sentence: str):
    with pytest.raises(UserError) as caught:
        requested(options)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("request_", "offers", "missing"),
    [
        ({"CPU": 4, "MEM": 16e9}, HOME, ""),
        ({"CPU": 5}, HOME, "CPU=5"),
        ({"GPU": 1, "MEM": 32e9}, HOME, "GPU=1 MEM=32GB"),
        ({"CPU": 8, "GPU": 1}, TWO, "CPU=8 GPU=1"),  # each has one of them, none has both
        ({"MEM": 64e9}, BARE, ""),  # nobody counts it: the limit holds anyway
        ({"GPU": 0.5}, TWO, ""),
    ],
)
def test_one_worker_must_have_it_all(request_: dict[str, float], offers: Offers, missing: str):
    assert unmet(request_, offers) == missing


def test_a_refusal_says_what_there_is_and_what_to_do():
    assert refusal("train", {"GPU": 1.0}, HOME) == (
        "Task train asks for GPU=1, which no worker of the local cluster offers (at most CPU=4, MEM=16GB): "
        "ask for less, or set `dask` to a cluster whose workers have it (dask worker --resources)."
    )
    assert refusal("train", {"GPU": 1.0}, TWO) == ""
    assert refusal("train", {"GPU": 1.0}, Offers(where="tcp://s:1")) == ""


def test_an_escalated_request_stays_within_the_largest_worker():
    assert within({"MEM": 32e9, "CPU": 2}, HOME) == {"MEM": 16e9, "CPU": 2}
    assert within({"MEM": 32e9}, BARE) == within({"MEM": 32e9}, None) == {"MEM": 32e9}
    growing = Offers(where="s", workers=HOME.workers, may_grow=True)
    assert within({"MEM": 32e9}, growing) == {"MEM": 32e9}


def test_memory_is_counted_only_where_workers_offer_it():
    assert countable({"MEM": 1e9, "GPU": 1}, HOME) == {"MEM": 1e9, "GPU": 1}
    assert countable({"MEM": 1e9, "GPU": 1}, BARE) == countable({"MEM": 1e9, "GPU": 1}, None) == {"GPU": 1}
