# SPDX-License-Identifier: BSD-3-Clause
"""Parameters of flow functions: their annotations decide what a value may be."""

from __future__ import annotations

from datetime import date, timedelta
from enum import Enum
from typing import Literal

import pytest

from nbflow import flow, task
from nbflow.authoring.parameters import FlowParameters
from nbflow.core.errors import UserError


class Colour(Enum):
    RED = "red"


def one(  # noqa: PLR0917 - a parameter of each kind
    n: int = 1,
    share: float = 0.5,
    day: date = date(2026, 1, 1),
    wait: timedelta = timedelta(),
    name: str = "x",
    dry: bool = False,  # noqa: FBT001, FBT002
    colour: Colour = Colour.RED,
    mode: Literal["a", "b"] = "a",
    maybe: int | None = None,
    anything=None,
) -> None: ...


def read(**values):
    return FlowParameters(one, "f", {}).values(values)


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("n", 3, 3),
        ("share", 1, 1.0),
        ("day", "2026-02-01", date(2026, 2, 1)),
        ("wait", "5m", timedelta(minutes=5)),
        ("name", 7, "7"),
        ("colour", "red", Colour.RED),
        ("colour", "RED", Colour.RED),
        ("mode", "b", "b"),
        ("maybe", None, None),
        ("maybe", 4, 4),
        ("anything", [1], [1]),
    ],
)
def test_a_value_becomes_what_the_annotation_says(name, given, value) -> None:
    assert read(**{name: given})[name] == value


@pytest.mark.parametrize(
    ("name", "given", "sentence"),
    [
        ("n", "x", 'n of flow f takes a whole number, and "x" is none'),
        ("n", True, "a whole number"),
        ("n", 1.5, "a whole number"),
        ("dry", 1, "true or false"),
        ("day", "yesterday", "a date such as"),
        ("mode", "c", "one of a, b"),
        ("colour", "blue", "one of red"),
        ("maybe", "x", "a whole number"),
    ],
)
def test_a_value_of_another_kind_is_a_sentence(name, given, sentence) -> None:
    with pytest.raises(UserError, match=sentence):
        read(**{name: given})


def test_text_is_taken_as_it_was_typed() -> None:
    values = FlowParameters(one, "f", {}).values({"name": 1.0, "n": 3}, {"name": "1.00", "n": "3"})
    assert (values["name"], values["n"]) == ("1.00", 3)


def test_an_unknown_parameter_is_a_sentence() -> None:
    with pytest.raises(UserError, match=r"no parameter shar. Did you mean"):
        read(shar=1)


def test_a_missing_value_is_a_sentence() -> None:
    def needs(day: str): ...

    with pytest.raises(UserError, match="needs a value for day"):
        FlowParameters(needs, "f", {}).values({})


def test_bounds_and_choices_of_the_flow_hold() -> None:
    parameters = FlowParameters(one, "f", {"n": {"minimum": 1, "maximum": 9}, "name": {"choices": ("x", "y")}})
    with pytest.raises(UserError, match="at least 1 and at most 9, not 10"):
        parameters.values({"n": 10})
    with pytest.raises(UserError, match="takes one of x, y"):
        parameters.values({"name": "z"})


def test_without_a_default_the_graph_is_still_drawn() -> None:
    @task
    def use(x): ...

    @flow
    def f(day: str):
        use(day)

    assert [task.id for task in f.traced().flow.tasks] == ["use"]


def test_a_graph_that_depends_on_a_value_nobody_gave_is_a_sentence() -> None:
    @flow
    def f(n):
        for _ in range(n):
            pass

    with pytest.raises(UserError, match="Parameter n of flow f has no default"):
        f.traced()
