# SPDX-License-Identifier: BSD-3-Clause
"""`make screenshots`: the pictures of the README, taken from a real JupyterLab, light and dark."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from nbflow.executors.cluster import stop_home_cluster
from tests.browser.lab import jupyter_lab, launch, open_notebook, run_cells, set_theme

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "notebooks" / "monitor_errors.ipynb"
TARGET = ROOT / "notebooks" / "screenshots"
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}


def show(page: Any, start: str) -> None:
    """Scroll the cell that starts so to the top."""
    page.evaluate(
        """start => { const nb = window.jupyterapp.shell.currentWidget.content;
        const cell = nb.widgets.find(one => one.model.sharedModel.getSource().startsWith(start));
        cell.node.scrollIntoView({block: 'start'}); }""",
        start,
    )
    page.wait_for_timeout(500)  # the virtual notebook lays itself out after a scroll and says nothing when it is done


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        root, home = Path(folder) / "work", Path(folder) / "home"
        root.mkdir()
        shutil.copy(DEMO, root)
        browser = launch(playwright)
        try:
            with jupyter_lab(root, home) as url:
                page = browser.new_page(viewport={"width": 1320, "height": 900}, device_scale_factor=1.5)
                page.set_default_timeout(120_000)
                open_notebook(page, url, DEMO.name)
                page.evaluate("async () => { await window.jupyterapp.commands.execute('application:toggle-left-area'); }")
                run_cells(page)
                for name, theme in THEMES.items():
                    set_theme(page, theme)
                    show(page, "%nbflow run")
                    page.screenshot(path=target / f"graph-{name}.png")
                    show(page, "%%task gen_reports")
                    page.screenshot(path=target / f"report-{name}.png")
                    show(page, "%%task download.securityApp")
                    page.screenshot(path=target / f"notebook-{name}.png")
        finally:
            browser.close()
            stop_home_cluster(home)


if __name__ == "__main__":
    main()
