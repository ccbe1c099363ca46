# SPDX-License-Identifier: BSD-3-Clause
"""The panel in a real JupyterLab and Notebook 7: watch, read, cancel and retry while the cell runs; reload, restart the kernel, reopen without one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import expect

from tests.browser.lab import cell_output, jupyter_lab, open_notebook, run_cells, save, start_cell, wait_for_states

pytestmark = pytest.mark.browser
LOAD = "%load_ext nbflow"
EXTRACT = "%%task extract\nrows = [1, 2, 3]\nprint('extracted')"
JOIN = "%%task join\nimport os\nif not os.path.exists('ready'): raise KeyError('temp_c')\nfeatures = sum(rows)\nprint('joined')"
TRAIN = """%%task train
import os, time
print("train began", flush=True)
while not os.path.exists("stop"): time.sleep(0.05)
model = len(rows)"""
PUBLISH = "%%task publish\nresult = (features, model)"
CELLS = (LOAD, EXTRACT, JOIN, TRAIN, PUBLISH, "%nbflow run", "print('back:', result)", "%nbflow panel")
RUN, AFTER, PANEL = 5, 6, 7


class Watch:
    """What must not happen in a page: errors in its console, and requests that leave the machine."""

    def __init__(self, page: Any, server: str) -> None:
        self.outside: list[str] = []
        self.errors: list[str] = []
        page.on(
            "request", lambda request: self.outside.append(request.url) if not request.url.startswith((server, "data:", "blob:")) else None
        )
        page.on("pageerror", lambda error: self.errors.append(f"{error}\n{error.stack}"))
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)

    def check(self) -> None:
        assert self.outside == []
        assert self.errors == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("panel")


@pytest.fixture(scope="module")
def server(folder: Path, shared_home: Path) -> Iterator[str]:
    with jupyter_lab(folder, shared_home) as url:
        yield url


@pytest.fixture(scope="module")
def page(browser: Any, server: str, folder: Path) -> Iterator[Any]:
    """The notebook with its tasks defined; the tests below follow one another, as a person would."""
    write(folder, "panel.ipynb", *CELLS)
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    page.set_default_timeout(60_000)
    open_notebook(page, server, "panel.ipynb")
    run_cells(page, last=RUN)
    yield page
    page.close()


@pytest.fixture(autouse=True)
def well(page: Any, server: str) -> Iterator[None]:
    watch = Watch(page, server)
    yield
    watch.check()


def write(folder: Path, name: str, *sources: str) -> None:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / name)


def panel(page: Any, cell: int = RUN) -> Any:
    return cell_output(page, cell).locator(".nbflow-seat .nbflow-panel")


def node(page: Any, id: str, state: str, cell: int = RUN) -> Any:
    return panel(page, cell).locator(f".nbflow-node[data-id='{id}'][data-state='{state}']")


def log(page: Any, cell: int = RUN) -> Any:
    return panel(page, cell).locator(".nbflow-log")


def summary(page: Any, cell: int = RUN) -> Any:
    return panel(page, cell).locator(".nbflow-summary")


def press(page: Any, name: str, cell: int = RUN) -> None:
    panel(page, cell).get_by_role("button", name=name, exact=True).first.click()


def fresh(folder: Path) -> None:
    for name in ("ready", "stop"):
        (folder / name).unlink(missing_ok=True)


def test_nodes_turn_and_the_log_of_the_chosen_task_comes_as_it_is_written(page: Any, folder: Path) -> None:
    fresh(folder)
    start_cell(page, RUN)
    node(page, "join", "failed").wait_for()
    node(page, "train", "running").click()
    log(page).get_by_text("train began").wait_for()
    expect(summary(page)).to_contain_text("Running")
    assert panel(page).bounding_box()["height"] <= 421


def test_a_failed_task_shows_its_traceback_and_is_retried_while_the_cell_runs(page: Any, folder: Path) -> None:
    node(page, "join", "failed").click()
    log(page).get_by_text("KeyError: 'temp_c'").wait_for()
    (folder / "ready").touch()
    press(page, "Retry failed")
    expect(panel(page).locator(".nbflow-question")).to_contain_text("Run join and 1 task after it again?")
    press(page, "Run 2 tasks")
    node(page, "join", "success").wait_for()
    log(page).get_by_text("joined", exact=True).wait_for()
    expect(node(page, "train", "running")).to_have_count(1)


def test_after_a_reload_the_panel_is_there_and_the_run_goes_on(page: Any, server: str, folder: Path) -> None:
    save(page)
    open_page = page.url
    page.goto(open_page)
    node(page, "train", "running").wait_for()
    (folder / "stop").touch()
    node(page, "publish", "success").wait_for()
    expect(summary(page)).to_contain_text("Succeeded")
    page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'")
    run_cells(page, first=AFTER, last=PANEL)
    cell_output(page, AFTER).get_by_text("back: (6, 3)").wait_for()


def test_a_retry_after_the_cell_has_ended_brings_its_values_back(page: Any) -> None:
    node(page, "extract", "success").click()
    press(page, "Retry from here")
    press(page, "Run 4 tasks")
    panel(page).locator(".nbflow-node[data-id='publish'][data-state='success']", has_text="2 attempts").wait_for()
    expect(summary(page)).to_contain_text("Succeeded")


def test_a_run_is_cancelled_by_its_panel_while_its_cell_runs(page: Any, folder: Path) -> None:
    fresh(folder)
    start_cell(page, RUN)
    node(page, "train", "running").wait_for()
    press(page, "Cancel")
    press(page, "Cancel the run")
    node(page, "train", "cancelled").wait_for()
    cell_output(page, RUN).get_by_text("was cancelled").first.wait_for()


def test_another_run_of_the_flow_is_chosen_and_looked_at(page: Any) -> None:
    runs = panel(page).get_by_role("combobox", name="Run")
    runs.locator("option", has_text="cancelled").first.wait_for(state="attached")
    runs.select_option(index=1)
    node(page, "publish", "success").wait_for()
    runs.select_option(index=0)
    node(page, "train", "cancelled").wait_for()


def test_a_kernel_that_ends_is_said_and_a_fresh_one_shows_how_its_run_ended(page: Any, folder: Path) -> None:
    fresh(folder)
    start_cell(page, RUN)
    node(page, "join", "failed").wait_for()
    node(page, "train", "running").wait_for()
    page.evaluate("async () => { await window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart(); }")
    panel(page).get_by_text("The kernel of this panel has ended.").wait_for()
    expect(panel(page).get_by_role("button", name="Cancel", exact=True)).to_have_count(0)
    run_cells(page, first=0, last=1)
    run_cells(page, first=PANEL)
    node(page, "train", "cancelled", PANEL).wait_for()
    # Jupyter interrupts a kernel before it ends it: on a slow machine the interrupt may have cancelled the run by then.
    expect(summary(page, PANEL)).to_contain_text(re.compile("that drove this run ended|The run was cancelled"), use_inner_text=True)
    expect(panel(page, PANEL).get_by_role("button", name="Retry failed", exact=True)).to_have_count(1)
    wait_for_states(page, PANEL, failed=1, running=0)  # the picture below it, too


def test_without_a_kernel_the_saved_notebook_shows_the_picture(browser: Any, page: Any, server: str, folder: Path) -> None:
    save(page)
    saved = nbformat.read(folder / "panel.ipynb", 4)
    assert "application/vnd.jupyter.widget-view+json" not in str(saved)
    shown = saved.cells[PANEL].outputs[0].data
    assert "<img" in shown["text/html"]
    assert "Run manual__" in shown["text/plain"]
    page.evaluate("async () => { await window.jupyterapp.shell.currentWidget.sessionContext.shutdown(); }")
    other = browser.new_page(viewport={"width": 1300, "height": 1000})
    other.set_default_timeout(60_000)
    watch = Watch(other, server)
    saved.metadata["kernelspec"] = {"name": "nothing", "display_name": "No kernel", "language": "python"}
    nbformat.write(saved, folder / "alone.ipynb")
    other.goto(f"{server}/lab/tree/alone.ipynb?token=test&reset")
    still = cell_output(other, PANEL).locator(".nbflow-still")
    still.locator(".nbflow-node[data-id='train'][data-state='cancelled']").wait_for()
    still.get_by_text("Run manual__").wait_for()
    assert other.get_by_text("Error displaying widget").count() == 0
    assert watch.outside == []
    other.close()
