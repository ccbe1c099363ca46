# SPDX-License-Identifier: BSD-3-Clause
"""Task cells in a real JupyterLab: badges beside them, a task's log and outputs under the graph, and nothing of it runs that was not trusted."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import expect

from tests.browser.axe import grave_violations
from tests.browser.lab import cell_output, jupyter_lab, open_notebook, run_cells, save, set_theme

pytestmark = pytest.mark.browser
EVIL = "<img src=x onerror=window.evil=1><script>window.evil=1</script>"
LOAD = f'''%%task load
"""{EVIL}"""
from IPython.display import HTML, display
print("{EVIL}")
display(HTML("<b class='shown'>bold</b>{EVIL}"))
xs = [1, 2, 4]'''
SCORE = "%%task score --map x=xs\nprint('scoring', x)\ny = 1 / (2 - x)"
FUNCTIONS = """from nbflow import flow, task

@task
def one():
    print("said by a function")

@flow
def small():
    one()

small.run()"""
CELLS = ("%load_ext nbflow", LOAD, SCORE, "%%task report\nprint(len(xs))", "%nbflow run", "%nbflow status", FUNCTIONS)
#: Over the graph of the run sits the live panel; that of its status is as in a saved notebook.
RUN, GRAPH, PYTHON = 4, 5, 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cells")


@pytest.fixture(scope="module")
def server(folder: Path, shared_home: Path) -> Iterator[str]:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / "cells.ipynb")
    with jupyter_lab(folder, shared_home) as url:
        yield url


def opened(browser: Any, server: str) -> Any:
    page = browser.new_page(viewport={"width": 1300, "height": 1400})
    page.set_default_timeout(60_000)
    return page


@pytest.fixture(scope="module")
def page(browser: Any, server: str) -> Iterator[Any]:
    """The notebook, executed; its second task fails for one element."""
    page = opened(browser, server)
    open_notebook(page, server, "cells.ipynb")
    run_cells(page, last=RUN)
    page.evaluate("() => { window.evil = undefined; }")  # what ran while the cells were executed was the user's own
    run_cells(page, first=RUN)
    cell_output(page, GRAPH).locator(".nbflow-node[data-id='score'][data-state='failed']").wait_for()
    yield page
    page.close()


def node(page: Any, id: str, cell: int = GRAPH) -> Any:
    return cell_output(page, cell).locator(f".nbflow-node[data-id='{id}']").first


def details(page: Any, cell: int = GRAPH) -> Any:
    return cell_output(page, cell).locator(".nbflow-details:visible")


def badge(page: Any, cell: int) -> Any:
    return page.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".nbflow-badge")


def test_a_click_opens_the_log_and_the_outputs_as_the_notebook_draws_them(page: Any) -> None:
    node(page, "load").click()
    details(page).locator("b.shown").wait_for()
    expect(details(page).locator(".jp-OutputArea")).to_contain_text(EVIL)
    details(page).get_by_role("button", name="Close").click()
    details(page).wait_for(state="hidden")
    expect(node(page, "load")).to_be_focused()


def test_keys_open_the_log_alone_or_the_outputs_alone(page: Any) -> None:
    node(page, "load").focus()
    page.keyboard.press("l")
    details(page).get_by_text("onerror").wait_for()
    assert details(page).locator("b.shown").count() == 0
    page.keyboard.press("Escape")
    page.keyboard.press("o")
    details(page).locator("b.shown").wait_for()
    page.keyboard.press("Escape")


def test_copies_of_a_mapped_task_are_listed_failed_first_and_opened_one_by_one(page: Any) -> None:
    node(page, "score").focus()
    page.keyboard.press("Enter")
    rows = cell_output(page, GRAPH).locator(".nbflow-copy")
    expect(rows).to_have_count(3)
    expect(rows.first).to_have_attribute("aria-label", re.compile("^copy 1, failed"))
    page.keyboard.press("Enter")
    details(page).get_by_text("ZeroDivisionError").first.wait_for()
    expect(details(page)).to_contain_text("scoring 2", use_inner_text=True)
    assert "scoring 4" not in details(page).inner_text()
    page.keyboard.press("Escape")


def test_a_task_without_a_cell_is_asked_of_the_kernel(page: Any) -> None:
    node(page, "one", PYTHON).click()
    said, busy = (details(page, PYTHON).get_by_text(text) for text in ("said by a function", "The kernel is busy; open it again"))
    said.or_(busy).wait_for()
    while busy.is_visible():  # a slow machine: do as it says
        details(page, PYTHON).get_by_role("button", name="Close").click()
        node(page, "one", PYTHON).click()
        said.or_(busy).wait_for()
    said.wait_for()


def test_a_badge_says_how_its_task_stands_and_that_it_has_changed_since(page: Any) -> None:
    expect(badge(page, 1)).to_have_attribute("aria-label", re.compile("^load succeeded"))
    expect(badge(page, 2)).to_have_attribute("aria-label", re.compile("^score failed"))
    page.evaluate(
        """() => { const cell = window.jupyterapp.shell.currentWidget.content.widgets[1].model.sharedModel;
        cell.setSource(cell.getSource() + '\\nxs = xs + [5]'); }"""
    )
    page.locator(".nbflow-badge[aria-label*='load changed since its last run']").first.wait_for()
    expect(badge(page, 1)).to_have_attribute("aria-label", re.compile("changed since its last run"))
    expect(badge(page, 1)).to_have_text(re.compile(r"\*\s*$"))


def test_a_badge_points_at_what_its_task_waits_for_and_opens_it_in_the_graph(page: Any) -> None:
    badge(page, 3).hover()
    expect(page.locator(".nbflow-arrows path")).to_have_count(2)
    badge(page, 3).click()
    cell_output(page, RUN).locator(".nbflow-log:visible .nbflow-log-text").get_by_text("3", exact=True).wait_for()
    expect(node(page, "report", RUN)).to_have_attribute("aria-pressed", "true")
    page.mouse.move(2, 2)
    page.locator(".nbflow-arrows").wait_for(state="detached")


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast"])
def test_nothing_serious_stands_in_anybodys_way(page: Any, theme: str) -> None:
    set_theme(page, theme)
    if not details(page).count():  # they stay open from one theme to the next
        node(page, "score").click()
    details(page).wait_for()
    assert grave_violations(page, ".nbflow-output", ".nbflow-panel", ".nbflow-badge") == []


def test_what_others_wrote_does_not_run_in_a_file_that_is_not_trusted(browser: Any, page: Any, server: str, folder: Path) -> None:
    save(page)
    saved = nbformat.read(folder / "cells.ipynb", 4)
    assert EVIL.replace('"', '\\"') in json.dumps(saved)
    saved.metadata["came"] = "by mail"  # another file than the one that was executed here
    nbformat.write(saved, folder / "mail.ipynb")
    shutil.rmtree(folder / ".ipynb_checkpoints", ignore_errors=True)
    other = opened(browser, server)
    other.goto(f"{server}/lab/tree/mail.ipynb?token=test&reset")
    node(other, "load").click()
    details(other).locator("b.shown").wait_for()
    expect(details(other)).to_contain_text(EVIL, use_inner_text=True)
    assert other.locator("[onerror]").count() == 0  # it would run a little later
    assert other.evaluate("() => window.evil") is None
    other.close()
