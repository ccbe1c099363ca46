# SPDX-License-Identifier: BSD-3-Clause
"""The demo notebook in a real JupyterLab: outputs under their own cells, the graph, values back, interrupt, and what the saved file shows."""

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

from tests.browser.lab import cell_output, jupyter_lab, open_notebook, run_cells, save, start_cell, wait_for_end, wait_for_states

pytestmark = pytest.mark.browser
DEMO = Path(__file__).resolve().parents[2] / "notebooks" / "monitor_errors.ipynb"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def server(folder: Path, shared_home: Path) -> Iterator[str]:
    with jupyter_lab(folder, shared_home) as url:
        yield url


@pytest.fixture
def page(browser: Any, server: str) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(60_000)
    outside: list[str] = []
    page.on("request", lambda request: outside.append(request.url) if not request.url.startswith((server, "data:", "blob:")) else None)
    yield page
    page.close()
    assert outside == []  # nothing leaves the machine


def write(folder: Path, name: str, *sources: str) -> None:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / name)


def index_of(path: Path, start: str) -> int:
    return next(number for number, cell in enumerate(nbformat.read(path, 4).cells) if cell.source.startswith(start))


def test_the_demo_runs_live_and_the_saved_file_shows_it(page: Any, server: str, folder: Path) -> None:
    shutil.copy(DEMO, folder / "monitor_errors.ipynb")
    open_notebook(page, server, "monitor_errors.ipynb")
    run_cells(page)
    download = index_of(DEMO, "%%task download.mainApp")
    expect(cell_output(page, download)).to_contain_text("mainApp: 6000 lines")
    report = cell_output(page, index_of(DEMO, "%%task gen_reports"))
    expect(report.locator("img[src^='data:image/png']")).to_have_count(1)
    expect(report.locator("table")).to_have_count(1)
    run = index_of(DEMO, "%nbflow run")
    expect(cell_output(page, run)).to_contain_text("succeeded", use_inner_text=True)
    expect(cell_output(page, index_of(DEMO, "print(message)"))).to_contain_text("errors on 2026-03-13")
    wait_for_states(page, run, success=15, skipped=1)
    save(page)
    saved = nbformat.read(folder / "monitor_errors.ipynb", 4)
    nbformat.validate(saved)
    assert "6000 lines" in json.dumps(saved.cells[download].outputs)
    graph = next(output.data for output in saved.cells[run].outputs if "application/vnd.nbflow.graph+json" in output.get("data", {}))
    states = {task["id"]: task["state"] for task in graph["application/vnd.nbflow.graph+json"]["tasks"]}
    assert list(states.values()).count("success") == 15
    assert list(states.values()).count("skipped") == 1


def test_an_interrupt_cancels_the_run_and_says_so(page: Any, server: str, folder: Path) -> None:
    write(
        folder,
        "endless.ipynb",
        "%load_ext nbflow",
        "%%task endless\nimport time\nprint('began', flush=True)\nwhile True: time.sleep(0.1)",
        "%nbflow run",
    )
    open_notebook(page, server, "endless.ipynb")
    run_cells(page, last=2)
    start_cell(page, 2)
    cell_output(page, 1).get_by_text("began").wait_for()
    page.evaluate("async () => { await window.jupyterapp.commands.execute('notebook:interrupt-kernel'); }")
    cell_output(page, 2).get_by_text(re.compile("cancelled", re.IGNORECASE)).first.wait_for()
    wait_for_end(page, 2)
    assert "Traceback" not in cell_output(page, 2).inner_text()


def test_a_failure_shows_the_users_own_line_under_its_cell(page: Any, server: str, folder: Path) -> None:
    write(
        folder,
        "failing.ipynb",
        "%load_ext nbflow",
        "%%task good\nx = 1",
        "%%task bad\ny = x + 1\nz = {}['missing']",
        "%nbflow run",
        "print('not reached')",
    )
    open_notebook(page, server, "failing.ipynb")
    run_cells(page)
    expect(cell_output(page, 2)).to_contain_text("z = {}['missing']", use_inner_text=True)
    expect(cell_output(page, 2)).to_contain_text("KeyError: 'missing'", use_inner_text=True)
    assert "nbflow/" not in cell_output(page, 2).inner_text()
    expect(cell_output(page, 3)).to_contain_text("KeyError", use_inner_text=True)


def test_a_mistake_is_one_line(page: Any, server: str, folder: Path) -> None:
    write(folder, "mistake.ipynb", "%load_ext nbflow", "%%task a --retrys 3\nx = 1")
    open_notebook(page, server, "mistake.ipynb")
    run_cells(page)
    expect(cell_output(page, 1)).to_contain_text("--retries")
    assert len(cell_output(page, 1).inner_text().strip().splitlines()) == 1


def test_notebook_7_shows_the_same(browser: Any, tmp_path: Path, shared_home: Path) -> None:
    write(tmp_path, "seven.ipynb", "%load_ext nbflow", "%%task a\nx = 6 * 7\nprint('x is', x)", "%nbflow run", "print('back:', x)")
    with jupyter_lab(tmp_path, shared_home, application="notebook") as url:
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.goto(f"{url}/notebooks/seven.ipynb?token=test")
        page.locator(".jp-Notebook .jp-Cell").first.click()
        page.get_by_text("Idle").or_(page.locator("[data-status=idle]")).first.wait_for(state="attached")
        for _ in range(4):
            page.keyboard.press("Shift+Enter")
        cell_output(page, 3).get_by_text("back: 42").wait_for()
        expect(cell_output(page, 1)).to_contain_text("x is 42")
        cell_output(page, 2).locator("img, svg").first.wait_for(state="attached")
        page.close()
