# SPDX-License-Identifier: BSD-3-Clause
"""Expressions over assets, what `on` may say, and which successes update an asset."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.assets import All, Any_, Expression, Name, read_expression, updated_by
from nbflow.core.errors import UserError
from nbflow.core.occasions import Kind, read_starts
from nbflow.core.options import TaskOptions

NAMES = st.sampled_from(["a", "b", "c", "s3://bucket/x-1", "d_2.csv"])
EXPRESSIONS = st.recursive(
    NAMES.map(Name),
    lambda inner: st.builds(lambda kind, parts: kind(tuple(parts)), st.sampled_from([All, Any_]), st.lists(inner, min_size=2, max_size=3)),
    max_leaves=8,
)
UPDATED = st.sets(NAMES)


def spelled(expression: Expression) -> str:
    """With every parenthesis that may stand, as nobody writes it."""
    if isinstance(expression, Name):
        return f"({expression.name})"
    return "(" + (" & " if isinstance(expression, All) else "|").join(map(spelled, expression.parts)) + ")"


class TestExpressions:
    @given(EXPRESSIONS, UPDATED)
    def test_what_is_written_means_the_same(self, expression, updated):
        for text in (str(expression), spelled(expression)):
            assert read_expression(text).holds(updated) == expression.holds(updated)
            assert list(read_expression(text).names()) == list(expression.names())

    @given(EXPRESSIONS, UPDATED, UPDATED)
    def test_more_updates_never_make_it_untrue_and_all_of_them_make_it_true(self, expression, updated, more):
        assert not expression.holds(updated) or expression.holds(updated | more)
        assert expression.holds(set(expression.names()))
        assert not expression.holds(set())

    @pytest.mark.parametrize(
        ("text", "updated", "holds"),
        [
            ("a", {"a"}, True),
            ("a & b", {"a"}, False),
            ("a & (b | c)", {"a", "c"}, True),
            ("a&b|c", {"c"}, True),
            ("a | b & c", {"a"}, True),
            ("(a | b) & c", {"a"}, False),
            ("  s3://bucket/x  ", {"s3://bucket/x"}, True),
        ],
    )
    def test_precedence(self, text, updated, holds):
        assert read_expression(text).holds(updated) is holds

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("", "ends at column 1 where the name of an asset is missing."),
            ("a &", "ends at column 4 where the name of an asset is missing."),
            ("a & | b", 'has "|" at column 5 where the name of an asset should stand.'),
            ("a b", 'has "b" at column 3 where & or | should stand.'),
            ("(a | b", 'has a "(" at column 1 that is never closed.'),
            ("a) & b", 'has a ")" at column 2 that closes nothing.'),
            ("a & b!", 'is wrong at column 5: "b!" cannot be the name of an asset'),
            ("()", 'has ")" at column 2 where the name of an asset should stand.'),
            ("(" * 101 + "a" + ")" * 101, "has more than 100 parentheses in each other at column 101."),
        ],
    )
    def test_mistakes_name_their_column(self, text, sentence):
        with pytest.raises(UserError) as raised:
            read_expression(text)
        assert str(raised.value).startswith(sentence)


class TestOn:
    def test_everything_it_may_say(self):
        starts = read_starts(
            {"on": ["file:in/*.csv", "asset:x", "flow:a", "flow:b:failed", "flow:a:success"], "assets": "y & z", "schedule": 1}
        )
        assert starts.subjects() == (
            *((Kind.ASSET, name) for name in "xyz"),
            (Kind.FLOW, "a:success"),
            (Kind.FLOW, "b:failed"),
            (Kind.FILE, "in/*.csv"),
        )
        assert str(starts.condition) == "x | y & z"
        assert [bool(starts.condition.holds(found)) for found in ({"x"}, {"y"}, {"y", "z"})] == [True, False, True]

    def test_nothing_said_is_nothing(self):
        assert not read_starts({})
        assert not read_starts({"on": [], "assets": ""})
        assert read_starts({"on": "asset:x"}).assets == ("x",)


@pytest.mark.parametrize(
    ("note", "updates"),
    [
        ({}, ("x", "y")),
        ({"followed": ["a"]}, ("x", "y")),
        ({"cause": "mark"}, ()),
        ({"from_cache": "r1"}, ()),
        ({"already": "s3://x"}, ()),
        ({"last_good": "r1"}, ()),
    ],
)
def test_which_successes_update(note, updates):
    assert updated_by(TaskOptions(outlets=("x", "y")), note) == updates
    assert updated_by(TaskOptions(), note) == ()
