# SPDX-License-Identifier: BSD-3-Clause
"""Which connections and variables a task names is found without running it."""

from __future__ import annotations

import pytest

from nbflow.core.lending import Named, named


def of(connections: str = "", variables: str = "", optional: str = "", maybe: str = "") -> Named:
    return Named(
        connections=frozenset(connections.split()),
        variables=frozenset(variables.split()),
        maybe_variables=frozenset(optional.split()),
        maybe_connections=frozenset(maybe.split()),
    )


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("x = 1", of()),
        ('x = ctx.var("region")', of(variables="region")),
        ("x = ctx.var('region', 'eu')", of(optional="region")),
        ('x = ctx.var(name="region", default="eu")', of(optional="region")),
        ('ctx.var("a", 1); ctx.var("a")', of(variables="a", optional="a")),
        ('ctx.connection("lake", None)', of(maybe="lake")),
        ('nbflow.ctx.connection("lake").url', of("lake")),
        ('from nbflow import ctx as c\nc.connection("lake")', of("lake")),
        ('# ctx.var("old")\n"ctx.var(1)"', of()),
        ('other.var("x"); frame.var(); ctx.var(name)', of()),
        ('!ls\n# ctx.var("old")\nx = ctx.var("region")\ny = ctx.var("a", "b")', of(variables="region", optional="a")),
        ("x = (", of()),
    ],
)
def test_in_a_cell(source: str, found: Named):
    assert named("cell", source) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("select {{ var.a }} from {{ conn.lake.schema }}", of("lake", "a")),
        ('{{ var["a-b"] }} {% if conn["c.d"].host %}x{% endif %}', of("c.d", "a-b")),
        ("{{ var.a | default('x') }}{{ var.b|default(1) }}", of(optional="a b")),
        ('{{ ctx.var("a") }} {{ ctx.connection("b").host }}', of("b", "a")),
        ("var.a conn.b {{ my.var.a }} {{ myvar.a }}", of()),
    ],
)
def test_in_a_template(text: str, found: Named):
    assert named("bash", text) == found
    assert named("cell", "x = 1", templates=[text]) == found


def test_what_the_task_says_itself_is_one_of_them():
    assert named("cell", 'ctx.connection("a")', conn="b") == of("a b")
    assert not named("cell", "x = 1", conn="")
