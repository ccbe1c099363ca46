# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from tests.unit.widgets.layouts import FIXTURE, fixture


def test_the_interactive_graph_is_held_to_the_layout_of_the_saved_picture() -> None:
    hint = "nbflow/views lays flows out differently now: type `python -m tests.unit.widgets.layouts` and teach labextension/packages/graph."
    assert FIXTURE.read_text() == fixture(), hint
