# SPDX-License-Identifier: BSD-3-Clause
"""`make screenshots`: every view in a real JupyterLab, light and dark. The README shows some of them."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbconvert import HTMLExporter
from PIL import Image
from playwright.sync_api import sync_playwright

from nbflow.executors.cluster import stop_home_cluster
from tests.browser import gallery
from tests.browser.lab import jupyter_lab, launch, open_notebook, run_cells, save, set_theme

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "notebooks" / "monitor_errors.ipynb"
TARGET = ROOT / "notebooks" / "screenshots"
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
GALLERY = "gallery.ipynb"


def take(shot: Any, path: Path) -> None:
    """A picture of a page or of an element, in the 256 colours it needs at most."""
    shot.screenshot(path=path)
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def show(page: Any, start: str) -> None:
    """Scroll the cell that starts so to the top."""
    page.evaluate(
        """start => { const nb = window.jupyterapp.shell.currentWidget.content;
        const cell = nb.widgets.find(one => one.model.sharedModel.getSource().startsWith(start));
        cell.node.scrollIntoView({block: 'start'}); }""",
        start,
    )
    page.wait_for_timeout(500)  # the virtual notebook lays itself out after a scroll and says nothing when it is done


def of_demo(page: Any, url: str, target: Path) -> None:
    """The demo, executed."""
    open_notebook(page, url, DEMO.name)
    page.evaluate("async () => { await window.jupyterapp.commands.execute('application:toggle-left-area'); }")
    run_cells(page)
    save(page)
    for name, theme in THEMES.items():
        set_theme(page, theme)
        show(page, "%nbflow run")
        take(page, target / f"graph-{name}.png")
        show(page, "%%task gen_reports")
        take(page, target / f"report-{name}.png")
        show(page, "%%task create_table")
        page.locator(".nbflow-badge[aria-label^='gen_reports']").hover()
        page.locator(".nbflow-arrows path").first.wait_for(state="attached")
        take(page, target / f"notebook-{name}.png")
        page.mouse.move(2, 2)


def of_gallery(page: Any, url: str, target: Path) -> None:
    """One of everything, drawn from what a file holds; then what a person does with it."""
    page.goto(f"{url}/lab/tree/{GALLERY}?token=test&reset")
    page.locator(".nbflow-card").last.wait_for()
    for name, theme in THEMES.items():
        set_theme(page, theme)
        for view in gallery.outputs():
            show(page, f"# {view}")
            take(output(page, view), target / f"{view}-{name}.png")
        show(page, "# energy")
        of_actions(page, target, name)


def output(page: Any, view: str) -> Any:
    return page.locator(".jp-Notebook .jp-Cell").nth(list(gallery.outputs()).index(view)).locator(".jp-Cell-outputWrapper")


def of_actions(page: Any, target: Path, name: str) -> None:
    energy, mapped = output(page, "energy"), output(page, "mapped")
    energy.locator(".nbflow-node[data-id='evaluate']").hover()
    energy.locator(".nbflow-why").wait_for(state="visible")
    take(page, target / f"why-{name}.png")
    page.mouse.move(2, 2)
    path = energy.get_by_role("button", name="Critical path")
    path.focus()
    page.keyboard.press("Enter")
    take(energy, target / f"critical-{name}.png")
    page.keyboard.press("Enter")
    show(page, "# mapped")
    mapped.locator(".nbflow-node[data-id='score']").focus()
    page.keyboard.press("Enter")
    mapped.locator(".nbflow-copy").first.wait_for()
    take(page, target / f"copies-{name}.png")
    for _ in range(3):  # the list, the tooltip, the choice
        page.keyboard.press("Escape")
    page.evaluate("() => document.activeElement.blur()")


def of_saved(browser: Any, executed: Path, target: Path) -> None:
    """The executed notebook as nbconvert's page shows it, without nbflow, JupyterLab or a kernel."""
    for name in THEMES:
        html, _ = HTMLExporter(theme=name).from_filename(str(executed))
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.route("http*://**", lambda route: route.abort())
        page.set_content(html, wait_until="domcontentloaded")
        page.locator("img[alt^='monitor_errors']").last.scroll_into_view_if_needed()
        take(page, target / f"saved-{name}.png")
        page.close()


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        root, home = Path(folder) / "work", Path(folder) / "home"
        root.mkdir()
        shutil.copy(DEMO, root)
        nbformat.write(gallery.notebook(), root / GALLERY)
        browser = launch(playwright)
        try:
            with jupyter_lab(root, home) as url:
                page = browser.new_page(viewport={"width": 1320, "height": 900})
                page.set_default_timeout(120_000)
                of_demo(page, url, target)
                of_gallery(page, url, target)
                of_saved(browser, root / DEMO.name, target)
        finally:
            browser.close()
            stop_home_cluster(home)


if __name__ == "__main__":
    main()
