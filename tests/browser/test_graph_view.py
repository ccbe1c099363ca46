# SPDX-License-Identifier: BSD-3-Clause
"""The graph, the cards and the panel in a real JupyterLab with nbflow's extension: nodes, edges, keys, states in place, nothing executed."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import expect

from tests.browser.lab import cell_output, jupyter_lab, open_notebook, run_cells, set_theme

pytestmark = pytest.mark.browser
EXTENSION = Path(sys.prefix) / "share" / "jupyter" / "labextensions" / "@nbflow" / "lab" / "package.json"
#: A task's name and reason are written by others.
EVIL = "<img src=x onerror=window.evil=1>"

FLOW = f"""
import json
from datetime import UTC, datetime, timedelta
from IPython.display import display
from nbflow.core.ids import FlowName, RunId, TaskId, TaskKey
from nbflow.core.model import Edge, Flow, Task
from nbflow.core.options import TaskOptions
from nbflow.core.records import RunRecord, TaskRecord
from nbflow.core.states import RunState, TaskState
from nbflow.views.bundles import graph_bundle, task_bundle

NOW = datetime(2026, 3, 14, 9, 13, tzinfo=UTC)
WORDS = {{"failed": "Failed: {EVIL} in join, line 4.", "pending": "Waiting for clean."}}

def edge(a, b, *names):
    return Edge(upstream=TaskId(a), downstream=TaskId(b), names=names)

ids = ["get.one", "get.two", "clean", "join", "report"]
flow = Flow(
    name=FlowName("demo"),
    tasks=tuple(Task(id=TaskId(id), options=TaskOptions(retries=2)) for id in ids),
    edges=(edge("get.one", "clean", "x"), edge("get.two", "clean", "y"), edge("clean", "join", "z"), edge("get.two", "join", "y"),
           edge("join", "report")),
)

def record(id, state):
    began = NOW - timedelta(seconds=24)
    ended = None if state == "running" else NOW
    times = {{}} if state in ("pending", "queued") else {{"started_at": began, "ended_at": ended, "attempt": 1}}
    return TaskRecord(key=TaskKey(TaskId(id)), state=TaskState(state), reason=WORDS.get(state, ""), **times)

def bundle(*states):
    records = {{TaskKey(TaskId(id)): record(id, state) for id, state in zip(ids, states)}}
    run = RunRecord(run_id=RunId("r"), flow=flow.name, state=RunState.RUNNING, created_at=NOW, started_at=NOW - timedelta(seconds=30))
    return graph_bundle(flow, records, run, NOW)
"""
GRAPH = 'shown = display(bundle("success", "success", "running", "pending", "pending"), raw=True, display_id="g")'
LATER = 'shown.update(bundle("success", "success", "success", "failed", "pending"), raw=True)'
CARD = 'display(task_bundle(flow, flow.task("join"), record("join", "failed"), NOW), raw=True)'
PANEL = """
from nbflow.widgets import FlowPanel
payload = bundle("success", "success", "running", "pending", "pending")["application/vnd.nbflow.graph+json"]
panel = FlowPanel(payload, run={"run_id": "r", "state": "running", "elapsed": 31.0})
asked = []
panel.on_request(lambda kind, tasks: asked.append((kind, tasks)))
panel
"""
MOVE = """
panel.update({"clean": {"state": "success"}, "join": {"state": "failed", "reason": "Failed: no.", "duration": 0.9}})
panel.update_run(elapsed=32.0)
"""
#: What the page asks comes in a subshell of the kernel, beside the cells.
ASKED = """
import time
while len(asked) < 2 or panel.selected != "clean":
    time.sleep(0.05)
print("asked", json.dumps(asked), panel.selected)
"""
CELLS = (FLOW, GRAPH, LATER, CARD, PANEL, MOVE, ASKED)


@pytest.fixture(scope="module")
def page(browser: Any, tmp_path_factory: pytest.TempPathFactory, shared_home: Path) -> Iterator[Any]:
    """A notebook with all of it, opened and executed up to the first graph; at the end: no error in the console, nothing left the machine."""
    if not EXTENSION.exists():
        if os.environ.get("NBFLOW_REQUIRE_BROWSER"):
            pytest.fail("nbflow's JupyterLab extension is not installed in this environment: type `pip install .`.")
        pytest.skip("nbflow's JupyterLab extension is not installed here")
    folder = tmp_path_factory.mktemp("graph")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / "graph.ipynb")
    with jupyter_lab(folder, shared_home) as url:
        page = browser.new_page(viewport={"width": 1300, "height": 2000})
        page.set_default_timeout(60_000)
        outside: list[str] = []
        errors: list[str] = []
        page.on("request", lambda request: outside.append(request.url) if not request.url.startswith((url, "data:", "blob:")) else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        open_notebook(page, url, "graph.ipynb")
        run_cells(page, last=2)
        yield page
        page.close()
    assert outside == []
    assert errors == []


def graph(page: Any) -> Any:
    return cell_output(page, 1).locator(".nbflow-graph")


def node(page: Any, id: str) -> Any:
    return graph(page).locator(f".nbflow-node[data-id='{id}']")


def test_the_extension_draws_the_graph_before_the_picture_and_the_text(page: Any) -> None:
    expect(graph(page).locator(".nbflow-node")).to_have_count(5)
    assert cell_output(page, 1).locator("img").count() == 0
    expect(graph(page).locator(".nbflow-edges .nbflow-mod-data")).not_to_have_count(0)
    expect(graph(page).locator(".nbflow-edges .nbflow-mod-order")).not_to_have_count(0)
    expect(node(page, "clean")).to_have_attribute("aria-label", "clean, 24.0 s, running")
    expect(node(page, "clean")).to_contain_text("24.0 s")
    expect(graph(page).locator("[role=application]")).to_have_attribute("aria-label", "Graph of demo")


def test_arrow_keys_follow_the_edges_and_leave_the_notebook_alone(page: Any) -> None:
    node(page, "get.one").focus()
    active = page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCellIndex")
    page.keyboard.press("ArrowRight")
    expect(node(page, "clean")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(node(page, "join")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(node(page, "join")).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCellIndex") == active
    assert page.evaluate("() => window.jupyterapp.shell.currentWidget.content.mode") == "command"


def test_hovering_says_why(page: Any) -> None:
    node(page, "join").hover()
    why = graph(page).locator(".nbflow-why")
    why.wait_for(state="visible")
    expect(why).to_contain_text("Waiting for clean.")
    page.mouse.move(2, 2)
    why.wait_for(state="hidden")


def test_a_group_folds_and_opens(page: Any) -> None:
    graph(page).locator(".nbflow-frame-name").click()
    expect(node(page, "get")).to_have_attribute("aria-expanded", "false")
    node(page, "get").focus()
    page.keyboard.press("Space")
    expect(node(page, "get.two")).to_have_count(1)


def until_it_turns(page: Any, turns: bool) -> None:  # noqa: FBT001 - what is waited for
    """Until something moves in the graph, or nothing does."""
    moves = "turns => document.querySelector('.nbflow-graph').getAnimations({subtree: true}).length > 0 === turns"
    page.wait_for_function(moves, arg=turns)


def test_who_wants_no_motion_sees_none(page: Any) -> None:
    page.emulate_media(reduced_motion="no-preference")
    until_it_turns(page, turns=True)
    page.emulate_media(reduced_motion="reduce")
    until_it_turns(page, turns=False)
    page.emulate_media(reduced_motion="no-preference")


def test_forced_colours_keep_the_shapes_and_the_systems_ink(page: Any) -> None:
    page.emulate_media(forced_colors="active")
    page.wait_for_function("() => matchMedia('(forced-colors: active)').matches")
    inks = page.evaluate(
        """() => { const of = (selector, key) => getComputedStyle(document.querySelector(`.nbflow-graph ${selector}`))[key];
        const probe = document.createElement('i'); probe.style.color = 'CanvasText'; document.body.append(probe);
        return [getComputedStyle(probe).color, of('[data-state=running] .nbflow-fill', 'fill'), of('[data-state=success] .nbflow-fill', 'fill'),
          of('.nbflow-box', 'stroke'), of('.nbflow-name', 'fill')]; }"""
    )
    page.emulate_media(forced_colors="none")
    assert len(set(inks)) == 1


def test_all_of_it_can_be_done_without_a_mouse(page: Any) -> None:
    page.evaluate("() => document.querySelector('.nbflow-graph .nbflow-node').focus()")
    page.keyboard.press("+")
    level = cell_output(page, 1).locator(".nbflow-zoom-level")
    before = level.inner_text()
    page.keyboard.press("0")
    expect(level).not_to_have_text(before)
    page.keyboard.press("w")
    graph(page).locator(".nbflow-why").wait_for(state="visible")
    page.keyboard.press("Escape")
    graph(page).locator(".nbflow-why").wait_for(state="hidden")
    page.keyboard.press("Tab")  # from the nodes, which are one stop, to the group's name or the buttons
    page.get_by_role("button", name="Critical path").first.focus()
    page.keyboard.press("Enter")
    expect(graph(page).locator(".nbflow-critical .nbflow-edge")).not_to_have_count(0)
    page.keyboard.press("Enter")
    expect(graph(page).locator(".nbflow-critical .nbflow-edge")).to_have_count(0)


def test_an_update_changes_the_states_in_place(page: Any) -> None:
    page.evaluate("() => { document.querySelector('.nbflow-node[data-id=\"join\"]').mark = 'kept'; }")
    run_cells(page, first=2, last=3)
    graph(page).locator(".nbflow-node[data-id='join'][data-state='failed']").wait_for()
    assert page.evaluate("() => document.querySelector('.nbflow-node[data-id=\"join\"]').mark") == "kept"
    expect(cell_output(page, 1).locator(".nbflow-now-line").first).to_have_text(re.compile(r"^\s*join"))  # drawn four times a second


def test_the_card_shows_the_sentence_as_text(page: Any) -> None:
    run_cells(page, first=3, last=4)
    card = cell_output(page, 3).locator(".nbflow-card")
    card.wait_for()
    expect(card).to_contain_text(EVIL)
    expect(card).to_have_attribute("data-state", "failed")


def test_the_panel_moves_and_asks(page: Any) -> None:
    run_cells(page, first=4, last=6)
    panel = cell_output(page, 4)
    panel.locator(".nbflow-node[data-id='join'][data-state='failed']").wait_for()
    expect(panel.locator(".nbflow-summary")).to_contain_text("Running, 32 s")
    panel.get_by_role("button", name="Retry from here: join").click()
    panel.get_by_role("button", name="Run 2 tasks").click()
    panel.locator(".nbflow-node[data-id='clean']").click()
    panel.get_by_role("button", name="Cancel", exact=True).click()
    panel.get_by_role("button", name="Cancel the run").click()
    run_cells(page, first=6)
    cell_output(page, 6).get_by_text('asked [["retry", ["join"]], ["cancel", []]] clean').wait_for()


def test_every_theme_tells_the_states_apart(page: Any) -> None:
    inks = set()
    for theme in ("JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast"):
        set_theme(page, theme)
        inks.add(page.evaluate("() => getComputedStyle(document.querySelector('[data-state=failed] .nbflow-fill')).fill"))
    assert len(inks) >= 2
    assert "none" not in inks


def test_nothing_that_others_wrote_was_executed(page: Any) -> None:
    assert page.locator("[onerror]").count() == 0  # it would run a little later
    assert page.evaluate("() => window.evil") is None
