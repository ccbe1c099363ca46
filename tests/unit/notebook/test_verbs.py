# SPDX-License-Identifier: BSD-3-Clause
"""How a `%nbflow` line is read."""

from __future__ import annotations

from importlib import import_module

import pytest

from nbflow.core.errors import UserError
from nbflow.notebook import verbs


def test_a_line_without_a_verb_asks_for_the_graph():
    assert verbs.parse("").verb == "graph"


def test_options_of_run_are_understood():
    asked = verbs.parse("run -p day 2026-01-01 -p n 3 --task clean --background  # tonight")
    assert (asked["param"], asked["task"], asked["background"]) == ([["day", "2026-01-01"], ["n", "3"]], ["clean"], True)


def test_parameters_are_numbers_where_they_look_like_it_and_dates_stay_texts():
    assert verbs.read_params([["n", "3"], ["x", "0.5"], ["on", "true"], ["day", "2026-01-01"]]) == {
        "n": 3,
        "x": 0.5,
        "on": True,
        "day": "2026-01-01",
    }


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("rum", 'There is no "%nbflow rum". Did you mean "run"?'),
        ("frobnicate", 'There is no "%nbflow frobnicate". Type %nbflow -h to see what there is.'),
        ("logs", "%nbflow logs: the following arguments are required: TASK. Type %nbflow -h to see its options."),
        ("run --tsak a", "%nbflow run: unrecognized arguments: --tsak a. Type %nbflow -h to see its options."),
        ('logs "a', '%nbflow logs "a: a quotation mark is missing (No closing quotation).'),
    ],
)
def test_a_mistake_is_one_sentence(line, sentence):
    with pytest.raises(UserError) as told:
        verbs.parse(line)
    assert str(told.value) == sentence


def test_help_names_every_verb():
    assert verbs.parse("run -h").verb == "help"
    assert all(f"%nbflow {verb} " in verbs.help_text() for verb in verbs.VERBS)


@pytest.mark.parametrize("name", list(verbs.VERBS))
def test_every_verb_is_answered_by_a_method_of_its_name(name):
    module, answers = verbs.VERBS[name].answered_by.split(":")
    assert callable(getattr(getattr(import_module(f"nbflow.notebook.{module}"), answers), name))
