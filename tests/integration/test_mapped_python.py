# SPDX-License-Identifier: BSD-3-Clause
"""Everything a flow in Python may be mapped over, and groups that are mapped as a whole."""

from __future__ import annotations

from typing import Any

import pytest

from nbflow import SkipTask, UserError, flow, group, task
from nbflow.pytest_plugin import nbflow_workspace  # noqa: F401 - the fixture, also where nbflow was installed before it had one

pytestmark = pytest.mark.usefixtures("nbflow_workspace")


@task
def listed(*items: Any) -> list[Any]:
    return list(items)


@task
def keep(x: Any, y: Any = None, *, scale: int = 1) -> Any:
    return x if y is None else (x, y, scale)


def clean(x: int) -> int:
    if x < 0:
        raise SkipTask("negative")
    return x * 10


# --- what is mapped over ------------------------------------------------------------------------------------------------


def test_elements_can_be_transformed_and_a_transformation_may_skip_its_copy() -> None:
    @flow
    def maps():
        keep.expand(x=listed(1, -2, 3).map(clean).map(str))

    run = maps.run()
    assert run.task("keep").result() == ["10", "30"]
    assert (run.task("keep", 1).state, run.task("keep", 1).reason) == ("skipped", "Skipped: negative.")


def test_a_function_in_a_flow_transforms_too() -> None:
    @flow
    def maps():
        keep.expand(x=listed(1, 2).map(lambda x: x + 0.5))

    assert maps.run().task("keep").result() == [1.5, 2.5]


def test_results_can_be_paired_to_the_shortest_and_filled_to_the_longest() -> None:
    @flow
    def maps():
        one, two = listed(1, 2, 3), listed.override(task_id="two")("a", "b")
        keep.override(task_id="short").expand(x=one.zip(two))
        keep.override(task_id="long").expand(x=one.zip(two, fillvalue="-"))
        keep.override(task_id="mixed").expand(x=two.zip([True, False]), y=[0, 1])

    run = maps.run()
    assert run.task("short").result() == [(1, "a"), (2, "b")]
    assert run.task("long").result() == [(1, "a"), (2, "b"), (3, "-")]
    assert run.task("mixed").result() == [(("a", True), 0, 1), (("a", True), 1, 1), (("b", False), 0, 1), (("b", False), 1, 1)]


def test_results_can_be_joined() -> None:
    @flow
    def maps():
        one, two = listed(1, 2), listed.override(task_id="two")(3)
        keep.expand(x=one.concat(two, [4]).map(clean))

    assert maps.run().task("keep").result() == [10, 20, 30, 40]


def test_arguments_may_come_as_dicts() -> None:
    @task
    def rows() -> list[dict[str, Any]]:
        return [{"x": 1, "y": 2}, {"x": 3, "y": 4}]

    @flow
    def maps():
        keep.override(task_id="literal").partial(scale=5).expand_kwargs([{"x": 1, "y": 2}, {"x": 3}])
        keep.override(task_id="later").expand_kwargs(rows())
        keep.override(task_id="made").expand_kwargs(listed(7).map(lambda x: {"x": x}))

    run = maps.run()
    assert run.task("literal").result() == [(1, 2, 5), 3]
    assert run.task("later").result() == [(1, 2, 1), (3, 4, 1)]
    assert run.task("made").result() == [7]


def test_the_pairs_of_a_dict_and_the_keys_of_a_result_are_taken() -> None:
    @task(multiple_outputs=True)
    def both() -> dict[str, Any]:
        return {"xs": [1, 2], "ys": {"a": 3}}

    @flow
    def maps():
        made = both()
        keep.override(task_id="xs").expand(x=made["xs"])
        keep.override(task_id="pairs").expand(x=made["ys"])
        keep.override(task_id="first")(made["xs"][0])

    run = maps.run()
    assert run.task("xs").result() == [1, 2]
    assert run.task("pairs").result() == [("a", 3)]
    assert run.task("first").result() == 1


#: A result, and the sentence of the task that gave it.
NOT_MAPPABLE = {
    "a number": (3, "`wrong()` is an int, but keep maps over it: give a list, a tuple or a dict."),
    "a text": ("abc", "`wrong()` is a str, but keep maps over it: give a list, a tuple or a dict."),
    "nothing": (None, "`wrong()` is None, but keep maps over it: give a list, a tuple or a dict."),
    "too many": (
        list(range(1025)),
        "`wrong()` has 1,025 elements, but keep maps over it, and 1,024 copies are the most: map over groups of them.",
    ),
}


@pytest.mark.parametrize(("value", "sentence"), NOT_MAPPABLE.values(), ids=NOT_MAPPABLE)
def test_the_producer_fails_and_names_the_consumer(value: Any, sentence: str) -> None:
    @task
    def wrong() -> Any:
        return value

    @flow
    def maps():
        keep.expand(x=wrong())

    run = maps.submit()
    run.wait()
    assert run.task("wrong").state == "failed"
    assert sentence in run.task("wrong").reason
    assert run.task("keep").state == "upstream_failed"


# --- groups mapped as a whole ---------------------------------------------------------------------------------------------


@task
def fit(model: str, seed: int = 0) -> str:
    if model == "broken":
        raise ValueError("no such model")
    return f"{model}{seed}"


@task
def score(fitted: str, name: str) -> str:
    return f"{name}:{fitted}"


@group
def tried(model: str, seed: int = 0) -> Any:
    return score(fit(model, seed), model[0])


def test_a_group_is_mapped_as_a_whole_and_each_copy_is_a_chain() -> None:
    @flow
    def trials():
        keep(tried.partial(seed=7).expand(model=listed("ridge", "broken", "lasso")))

    run = trials.submit()
    run.wait()
    assert [run.task("tried.fit", index).state for index in range(3)] == ["success", "failed", "success"]
    assert [run.task("tried.score", index).state for index in range(3)] == ["success", "upstream_failed", "success"]
    assert run.task("tried.score", 2).result() == "l:lasso7"
    assert run.task("keep").state == "upstream_failed"


def test_outside_a_mapped_group_its_results_are_lists() -> None:
    @flow
    def trials():
        keep(tried.expand(model=["a", "b"], seed=[1, 2]))

    run = trials.run()
    assert run.task("keep").result() == ["a:a1", "a:a2", "b:b1", "b:b2"]
    assert [str(one.task_id) for one in run.tasks if one.map_index in {-1, 0}] == ["tried.fit", "tried.score", "keep"]


def test_a_group_that_is_not_mapped_is_called() -> None:
    @flow
    def trials():
        keep(tried("x", 3))

    assert trials.run().task("keep").result() == "x:x3"
    assert tried("x", 1) == "x:x1"


def refused(write: Any) -> str:
    with pytest.raises(UserError) as caught:
        flow(write).graph()
    return str(caught.value)


def test_what_cannot_be_mapped_is_refused_while_the_flow_is_written() -> None:
    @group
    def inner(x: Any) -> Any:
        return keep.expand(x=[1, 2], y=[x])

    @group
    def outer(x: Any) -> Any:
        return tried.expand(model=x)

    def nested():
        inner.expand(x=[1])

    def twice():
        outer.expand(x=[1])

    def nothing():
        tried.expand()

    def wrong():
        tried.expand(modle=["a"])

    def dicts():
        keep.expand_kwargs([1, 2])

    def hidden():
        keep(listed(1).map(clean))

    assert refused(nested) == "inner.keep stands in group inner, which is mapped as a whole: its tasks cannot be mapped again."
    assert refused(twice) == "Group tried stands in group outer, and both are mapped: map one of them."
    assert refused(nothing) == "tried.expand() has nothing to map over: write tried.expand(x=xs)."
    assert "cannot be called so: missing a required argument: 'model'." in refused(wrong)
    assert refused(dicts) == "keep.expand_kwargs(...) takes a list of dicts of arguments, or a task's result that is one."
    with pytest.raises(UserError, match=r"listed\(\)\.map\(clean\) can only be mapped over: give it to expand\(\.\.\.\)\."):
        flow(hidden).run()
