# SPDX-License-Identifier: BSD-3-Clause
"""Browser tests run where Chromium is installed; NBFLOW_REQUIRE_BROWSER=1 (as in .ci/run) makes a missing one a failure."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.lab import chromium, launch


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """Until the next test is none of this folder: while Playwright is there its event loop runs in this thread, and no other one can."""
    if chromium() is None:
        if os.environ.get("NBFLOW_REQUIRE_BROWSER"):
            pytest.fail("Chromium is not installed, and NBFLOW_REQUIRE_BROWSER is set: type apt-get install chromium.")
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()
