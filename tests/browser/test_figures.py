# SPDX-License-Identifier: BSD-3-Clause
"""How quick the graph is in a real JupyterLab. The figures are printed; what is asserted is far from them, since machines differ and are shared."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.browser.lab import jupyter_lab, open_notebook, run_cells

pytestmark = pytest.mark.browser
SETUP = """
import time
from datetime import UTC, datetime
from IPython.display import display
from nbflow.core.ids import FlowName, RunId, TaskId, TaskKey
from nbflow.core.model import Edge, Flow, Task
from nbflow.core.records import RunRecord, TaskRecord
from nbflow.core.states import RunState, TaskState
from nbflow.views.bundles import graph_bundle

NOW = datetime(2026, 3, 14, 9, 13, tzinfo=UTC)

def flow_of(many, wide):
    ids = [TaskId(f"task_{number}") for number in range(many)]
    edges = [Edge(upstream=ids[n - wide], downstream=ids[n], names=("x",)) for n in range(wide, many)]
    edges += [Edge(upstream=ids[n - wide + 1], downstream=ids[n]) for n in range(wide, many) if n % 7 == 0]
    return Flow(name=FlowName("big"), tasks=tuple(Task(id=id) for id in ids), edges=tuple(edges))

def bundle(flow, done):
    states = [TaskState.SUCCESS if n < done else TaskState.RUNNING if n < done + 8 else TaskState.PENDING for n in range(len(flow.tasks))]
    records = {TaskKey(task.id): TaskRecord(key=TaskKey(task.id), state=state, started_at=NOW, ended_at=NOW)
               for task, state in zip(flow.tasks, states)}
    run = RunRecord(run_id=RunId("r"), flow=flow.name, state=RunState.RUNNING, created_at=NOW, started_at=NOW)
    return graph_bundle(flow, records, run, NOW)

thousand, many = flow_of(1000, 40), flow_of(5000, 70)
"""
SHOW = 'shown = display(bundle(thousand, 0), raw=True, display_id="thousand")'
PANEL = """
from nbflow.widgets import FlowPanel
panel = FlowPanel(bundle(thousand, 0)["application/vnd.nbflow.graph+json"], run={"run_id": "r", "state": "running"})
panel
"""
#: A change of state is committed where the clock is read.
CHANGE = """
sent = []
for done in range(1, 31):
    sent.append((done, time.time() * 1000))
    panel.update({f"task_{done - 1}": {"state": "success", "duration": 1.0}, f"task_{done + 7}": {"state": "running"}})
    time.sleep(0.1)
"""
SENT = "import json; print('sent', json.dumps(sent))"
MANY = "display(bundle(many, 2500), raw=True)"
CELLS = (SETUP, SHOW, PANEL, CHANGE, SENT, MANY)

#: Notes when a renderer of a graph was asked for, and when it had painted.
WATCH = """() => {
  const mime = 'application/vnd.nbflow.graph+json', notebook = window.jupyterapp.shell.currentWidget.content;
  const frame = () => new Promise(requestAnimationFrame);
  window.figures = {paint: [], seen: {}};
  const make = notebook.rendermime.createRenderer.bind(notebook.rendermime);
  notebook.rendermime.createRenderer = type => {
    const renderer = make(type);
    if (type === mime) {
      const began = performance.now();
      const painted = async () => {
        while (!renderer.node.querySelector('canvas')?.width) { await frame(); }
        await frame(); await frame();
        window.figures.paint.push(performance.now() - began);
      };
      void painted();
    }
    return renderer;
  };
}"""
#: Notes when each count of finished tasks stands on the screen.
COUNT = """cell => {
  const summary = window.jupyterapp.shell.currentWidget.content.widgets[cell].node.querySelector('.nbflow-summary');
  const look = () => {
    const done = /(\\d+) of \\d+ finished/.exec(summary.textContent)?.[1];
    if (done) { requestAnimationFrame(() => { window.figures.seen[done] ??= Date.now(); }); }
  };
  new MutationObserver(look).observe(summary, {subtree: true, childList: true, characterData: true});
}"""
#: Drags the graph about for so long, a few pixels with each frame; frames a second.
DRAG = """async ([cell, milliseconds]) => {
  const output = window.jupyterapp.shell.currentWidget.content.widgets[cell].node;
  const canvas = output.querySelector('.nbflow-canvas'), box = canvas.getBoundingClientRect();
  const frame = () => new Promise(requestAnimationFrame);
  const send = (target, type, x, y) => target.dispatchEvent(
    new PointerEvent(type, {clientX: x, clientY: y, button: 0, buttons: 1, bubbles: true}));
  let x = box.left + box.width / 2, y = box.top + box.height / 2, frames = 0;
  send(canvas, 'pointerdown', x, y);
  const began = performance.now();
  while (performance.now() - began < milliseconds) {
    const forth = frames++ % 80 < 40 ? -1 : 1;
    send(window, 'pointermove', x += 8 * forth, y += 4 * forth);
    await frame();
  }
  const seconds = (performance.now() - began) / 1000;
  send(window, 'pointermove', box.left + box.width / 2, box.top + box.height / 2); // back to where it was: it is dragged again, and zoomed
  send(window, 'pointerup', x, y);
  return frames / seconds;
}"""
#: Zooms until about so many nodes are in view, in the middle of the drawing.
ZOOM = """async ([cell, nodes]) => {
  const output = window.jupyterapp.shell.currentWidget.content.widgets[cell].node;
  const canvas = output.querySelector('.nbflow-canvas'), box = canvas.getBoundingClientRect();
  const scale = () => Number(/scale\\(([\\d.]+)\\)/.exec(output.querySelector('.nbflow-world').getAttribute('transform'))[1]);
  const wanted = Math.sqrt(box.width * box.height / (nodes * 176 * 53));
  for (let step = 0; step < 200 && scale() < wanted; step++) {
    canvas.dispatchEvent(new WheelEvent('wheel', {deltaY: -10, ctrlKey: true, clientX: box.left + box.width / 2,
      clientY: box.top + box.height / 2, bubbles: true, cancelable: true}));
  }
  const frame = () => new Promise(requestAnimationFrame);
  for (let turn = 0; turn < 600 && output.querySelectorAll('.nbflow-node').length < 50; turn++) { await frame(); }
  return output.querySelectorAll('.nbflow-node').length;
}"""


@pytest.fixture(scope="module")
def page(browser: Any, tmp_path_factory: pytest.TempPathFactory, shared_home: Path) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("figures")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / "figures.ipynb")
    with jupyter_lab(folder, shared_home) as url:
        page = browser.new_page(viewport={"width": 1700, "height": 1000})
        page.set_default_timeout(60_000)
        open_notebook(page, url, "figures.ipynb")
        page.evaluate("async () => { await window.jupyterapp.commands.execute('application:toggle-left-area'); }")
        run_cells(page, last=1)
        page.evaluate(WATCH)
        yield page
        page.close()


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    def aloud(figure: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n  {figure}")

    return aloud


def test_a_thousand_tasks_stand_there_at_once_and_change_quickly(page: Any, say: Callable[[str], None]) -> None:
    run_cells(page, first=1, last=2)
    page.wait_for_function("() => window.figures.paint.length > 0")
    paint = page.evaluate("() => window.figures.paint[0]")
    say(f"1,000 tasks, first paint: {paint:.0f} ms (wanted: under 1,000)")
    run_cells(page, first=2, last=3)
    page.locator(".nbflow-panel .nbflow-summary").wait_for()
    page.evaluate(COUNT, 2)
    run_cells(page, first=3, last=5)
    page.wait_for_function("() => '30' in window.figures.seen")
    # Of the notebook itself: Lab draws long texts when it finds the time.
    output = page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.content.widgets[4].model.outputs.toJSON().map(one => one.text).flat().join('')"
    )
    sent = {str(done): at for done, at in json.loads(output.split("sent", 1)[1])}
    seen = page.evaluate("() => window.figures.seen")
    took = sorted(seen[done] - sent[done] for done in seen if done in sent)
    assert took  # a slow page draws a few of the thirty states, the last one surely
    say(f"1,000 tasks, a change on screen: {took[len(took) // 2]:.0f} ms at the median, {took[-1]:.0f} ms at most (wanted: 250)")
    assert paint < 10_000
    assert took[len(took) // 2] < 5_000


def dragged(page: Any, wanted: int) -> float:
    """Frames a second; the best of three looks, since others may use the machine during one of them."""
    best = 0.0
    for _ in range(3):
        best = max(best, page.evaluate(DRAG, [5, 2000]))
        if best >= wanted:
            break
    return best


def memory(page: Any) -> float:
    """Megabytes in use after a collection."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    used: float = session.send("Runtime.getHeapUsage")["usedSize"] / 1e6
    session.detach()
    return used


def test_five_thousand_tasks_move_smoothly(page: Any, say: Callable[[str], None]) -> None:
    run_cells(page, first=5, last=6)
    page.wait_for_function("() => window.figures.paint.length > 1")
    page.evaluate("() => window.jupyterapp.shell.currentWidget.content.widgets[5].node.scrollIntoView({block: 'start'})")
    say(f"5,000 tasks, first paint: {page.evaluate('() => window.figures.paint.at(-1)'):.0f} ms")
    at_fit = dragged(page, 30)
    say(f"5,000 tasks, dragged at fit: {at_fit:.0f} frames a second (wanted: 30)")
    seen = page.evaluate(ZOOM, [5, 500])
    near = dragged(page, 50)
    say(f"5,000 tasks, dragged with {seen} of them in view: {near:.0f} frames a second (wanted: 50)")
    assert at_fit > 5
    assert near > 5


def test_memory_stays_flat_over_a_thousand_updates(page: Any, say: Callable[[str], None]) -> None:
    """The same output displayed again a thousand times, as a run of some minutes does it."""
    update = """async many => { const notebook = window.jupyterapp.shell.currentWidget.content;
        const output = notebook.widgets[1].model.outputs.get(0), mime = 'application/vnd.nbflow.graph+json';
        const payload = output.data[mime];
        for (let turn = 0; turn < many; turn++) {
          const tasks = payload.tasks.map((task, place) => place % 50 === turn % 50 ? {...task, state: turn % 2 ? 'running' : 'success'} : task);
          output.setData({data: {...output.data, [mime]: {...payload, tasks}}});
          if (turn % 10 === 0) { await new Promise(requestAnimationFrame); } } }"""
    page.evaluate(update, 100)
    before = memory(page)
    page.evaluate(update, 1000)
    after = memory(page)
    say(f"1,000 tasks, heap before and after 1,000 updates: {before:.1f} and {after:.1f} MB")
    assert after < before * 1.5 + 20
