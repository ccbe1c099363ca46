# SPDX-License-Identifier: BSD-3-Clause
"""Values taken apart for mapped tasks, and lists of what their copies gave."""

import types
from collections import deque
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nbflow.core.ids import TaskKey
from nbflow.core.job import Job, JobContext, Outcome
from nbflow.core.mapping import list_ref
from nbflow.operators.elements import NotMappable, elements_of
from nbflow.operators.entry import run_job
from nbflow.operators.values import Decoder, decode, store
from nbflow.store.artifacts import open_artifacts


@pytest.fixture
def artifacts(tmp_path: Path):
    return open_artifacts(str(tmp_path))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([1, [2]], [1, [2]]),
        ((), []),
        (range(3), [0, 1, 2]),
        ({"a": 1, "b": 2}, [("a", 1), ("b", 2)]),
        ({"a": 1}.values(), [1]),
        (deque("ab"), ["a", "b"]),
        (types.MappingProxyType({1: 2}), [(1, 2)]),
        (np.array([1.5, 2.5]), [1.5, 2.5]),
        (pd.Series([3, 4], index=["x", "y"]), [3, 4]),
        (pd.Index(["x", "y"]), ["x", "y"]),
    ],
)
def test_what_has_an_order_and_a_length_has_elements(value: object, expected: list[object]):
    assert elements_of("xs", value, task="score") == expected


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (3, "an int"),
        (None, "None"),
        ("abc", "a str"),
        (b"abc", "a bytes"),
        (iter([1]), "a list_iterator"),
        (np.float64(1), "a float64"),
        (np.array(1), "a ndarray"),
    ],
)
def test_what_has_none_is_refused_by_name(value: object, what: str):
    with pytest.raises(NotMappable) as caught:
        elements_of("xs", value, task="score")
    assert str(caught.value) == f"`xs` is {what}, but score maps over it: give a list, a tuple or a dict."


def test_a_set_and_a_frame_say_what_to_give_instead():
    with pytest.raises(NotMappable, match=r"give sorted\(\.\.\.\) of it"):
        elements_of("xs", {1, 2}, task="score")
    with pytest.raises(NotMappable, match="to_dict"):
        elements_of("xs", pd.DataFrame({"a": [1]}), task="score")


def test_too_many_elements_are_refused_with_their_number():
    with pytest.raises(NotMappable, match="`xs` has 2,000 elements, but score maps over it, and 1,024 copies are the most"):
        elements_of("xs", range(2000), task="score")


def run(artifacts: object, source: str, **more: object):
    context = JobContext(flow="f", run_id="r", key=TaskKey("listed"), attempt=1)
    return run_job(Job(token="t1", context=context, operator="cell", source=source, **more), artifacts, lambda _event: None)


def test_an_attempt_stores_each_element_of_what_is_mapped_over(artifacts):
    report = run(artifacts, "xs = [1, 'two', (3,)]", demands=("xs",), splits={"xs": "score"})
    assert [decode(element, artifacts) for element in report.elements["xs"]] == [1, "two", (3,)]
    assert decode(report.values["xs"], artifacts) == [1, "two", (3,)]  # noqa: PD011 - a report, no frame


def test_an_attempt_whose_value_cannot_be_mapped_over_fails_and_gives_nothing(artifacts):
    report = run(artifacts, "xs = 3", demands=("xs",), splits={"xs": "score"})
    assert report.outcome is Outcome.FAILED
    assert report.reason == "`xs` is an int, but score maps over it: give a list, a tuple or a dict."
    assert (report.values, report.elements) == ({}, {})  # noqa: PD011 - as above


def test_a_large_element_is_an_artifact_of_its_own(artifacts):
    report = run(artifacts, "xs = ['x' * 100_000, 'y']", demands=("xs",), splits={"xs": "score"})
    large, small = report.elements["xs"]
    assert large.inline is None
    assert artifacts.has(large.hash)
    assert small.inline == b"y"


def test_what_copies_gave_is_decoded_as_one_list(artifacts):
    items = [store(value, artifacts) for value in ([1], "b", {"c": 3})]
    assert decode(list_ref(items), artifacts) == [[1], "b", {"c": 3}]


def test_two_names_of_one_object_of_a_copy_are_one_object_in_both_lists(artifacts):
    item = store([1], artifacts, alias="token/a")
    read = Decoder(artifacts)
    first, second = read(list_ref([item])), read(list_ref([item]))
    assert first[0] is second[0]
    assert first is not second
