# SPDX-License-Identifier: BSD-3-Clause
"""axe-core in a page: what would keep somebody with a screen reader or without a mouse from using it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "labextension" / "node_modules" / "axe-core" / "axe.min.js"
#: Below Lab's own scrolling axe takes everything for invisible, and checks no contrast.
SCROLLED = "body, .jp-WindowedPanel-outer { position: static !important; overflow: visible !important; contain: none !important; }"
GRAVE = {"serious", "critical"}


def grave_violations(page: Any, *selectors: str) -> list[str]:
    """Rules that are broken seriously below these selectors, each with the first element that breaks it. Lab's own colours of text are Lab's."""
    if not SOURCE.exists():
        if os.environ.get("NBFLOW_REQUIRE_BROWSER"):
            pytest.fail("axe-core is not installed: type `make frontend`.")
        pytest.skip("axe-core is not installed: make frontend")
    if not page.evaluate("() => Boolean(window.axe)"):
        page.evaluate(SOURCE.read_text())
        page.add_style_tag(content=SCROLLED)
    found = page.evaluate(
        """async include => (await axe.run({include: include.map(one => [one]), exclude: [['.jp-RenderedText']]},
        {resultTypes: ['violations']})).violations
        .map(one => [one.impact, one.id, one.nodes[0].html, one.nodes[0].failureSummary])""",
        list(selectors),
    )
    return [f"{rule}: {element} {why}" for impact, rule, element, why in found if impact in GRAVE]
