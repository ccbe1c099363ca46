# SPDX-License-Identifier: BSD-3-Clause
"""The essential of the panel in Notebook 7: it is live while its cell runs, its buttons work, and the values come back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.lab import cell_output, jupyter_lab
from tests.browser.test_panel import CELLS, RUN, Watch, fresh, log, node, press, write

pytestmark = pytest.mark.browser


def test_the_panel_lives_in_notebook_7(browser: Any, tmp_path: Path, shared_home: Path) -> None:
    write(tmp_path, "seven.ipynb", *CELLS[: RUN + 2])
    fresh(tmp_path)
    with jupyter_lab(tmp_path, shared_home, application="notebook") as url:
        page = browser.new_page(viewport={"width": 1300, "height": 1000})
        page.set_default_timeout(60_000)
        page.goto(f"{url}/notebooks/seven.ipynb?token=test")
        page.locator(".jp-Notebook .jp-Cell").first.click()
        page.locator("[data-status=idle]").first.wait_for(state="attached")
        watch = Watch(page, url)  # what Notebook 7 says of itself while it starts is its own
        for _ in range(RUN + 1):
            page.keyboard.press("Shift+Enter")
        node(page, "join", "failed").wait_for()
        node(page, "join", "failed").click()
        log(page).get_by_text("KeyError: 'temp_c'").wait_for()
        (tmp_path / "ready").touch()
        press(page, "Retry failed")
        press(page, "Run 2 tasks")
        node(page, "join", "success").wait_for()
        (tmp_path / "stop").touch()
        node(page, "publish", "success").wait_for()
        page.locator(".jp-Notebook .jp-Cell").nth(RUN + 1).click()
        page.keyboard.press("Shift+Enter")
        cell_output(page, RUN + 1).get_by_text("back: (6, 3)").wait_for()
        watch.check()
        page.close()
