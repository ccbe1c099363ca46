# SPDX-License-Identifier: BSD-3-Clause
"""The panel in a kernel, short of a page: what is shown and saved, and what its buttons do."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from nbflow.notebook import extension
from nbflow.widgets import panel as widget
from nbflow.widgets.entries import plain
from tests.unit.notebook.recording import RecordingChannel
from tests.unit.widgets.seen import Seen

GRAPH = "application/vnd.nbflow.graph+json"
FLAKY = "%%task load\nimport os\nif not os.path.exists(ready): raise ValueError('not ready')\nloaded = rows + [4]\nprint('loaded')"


class Watched(RecordingChannel):
    """A front end with somebody in front of it."""

    def parent(self):
        return {**super().parent(), "content": {"allow_stdin": True}}


@pytest.fixture
def channel():
    return Watched()


@pytest.fixture
def execute(shell, channel, tmp_path, monkeypatch):
    monkeypatch.setenv("NBFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NBFLOW_DASK", "inline")
    (tmp_path / "widget.js").write_text("export default { render() {} };")
    (tmp_path / "widget.css").write_text("")
    monkeypatch.setattr(widget, "_STATIC", tmp_path)
    widget._built.cache_clear()
    extension.load(shell, channel)

    def execute(source, cell="none"):
        channel.current = cell
        return shell.execute(source, cell)

    yield execute
    extension.unload(shell)
    widget._built.cache_clear()


def panel_of(shell: Any, cell: str) -> Any:
    return extension.load(shell).magics.panels[cell]._view


def picture(channel: Any, cell: str) -> Any:
    return next(output["data"] for output in channel.cells[cell] if GRAPH in output.get("data", {}))


def test_a_run_that_failed_is_retried_from_its_panel_and_its_values_come_back(execute, channel, shell, tmp_path):
    execute(f"ready = {str(tmp_path / 'ready')!r}", "plain")
    execute("%%task extract\nrows = [1, 2, 3]\nprint('extracted')", "a")
    execute(FLAKY, "b")
    execute("%nbflow run", "run")
    panel = panel_of(shell, "run")
    seen = Seen(panel)
    seen.until_state(extract="success", load="failed")
    assert picture(channel, "run")[GRAPH]["panel"] == panel.model_id
    assert "application/vnd.jupyter.widget-view+json" not in picture(channel, "run")
    seen.until(lambda panel: panel.selected == "load" and panel.log)
    assert plain(panel.log)[-1] == "ValueError: not ready"
    (tmp_path / "ready").touch()
    panel._handle_custom_msg({"kind": "retry", "tasks": ["load"]}, [])
    seen.until_state(extract="success", load="success")
    seen.until(lambda panel: panel.run["state"] == "success")
    for thread in threading.enumerate():
        if thread.name == "nbflow-asked":
            thread.join(60)
    assert (shell.user_ns["loaded"], shell.user_ns["rows"]) == ([1, 2, 3, 4], [1, 2, 3])
    assert channel.texts("a")[1:] == ["extracted\n"]
    assert channel.texts("b")[1:] == ["loaded\n"]


def test_the_saved_picture_tells_the_run_and_the_last_lines(execute, channel, shell):
    execute("%%task talk\nfor number in range(30): print('line', number)\n{}['x']", "a")
    execute("%nbflow run", "run")
    Seen(panel_of(shell, "run")).until(lambda panel: panel.selected == "talk" and panel.log)
    panel = extension.load(shell).magics.panels["run"]
    panel._draw_again()
    shown = picture(channel, "run")
    run_id = shown[GRAPH]["run_id"]
    assert f"Run {run_id}, failed, " in shown["text/plain"]
    assert "log of talk:" in shown["text/html"]
    assert len(shown[GRAPH]["log"]["lines"]) == 20
    assert shown["text/plain"].endswith("KeyError: 'x'")
    assert "\x1b" not in shown["text/plain"]


def test_the_verb_shows_the_flow_before_it_ran_then_its_last_run_or_the_one_that_is_named(execute, channel, shell):
    execute("%%task one\nx = 1", "a")
    execute("%nbflow panel", "panel")
    assert picture(channel, "panel")[GRAPH]["run_id"] is None
    panel = panel_of(shell, "panel")
    seen = Seen(panel)
    panel._handle_custom_msg({"kind": "run", "tasks": []}, [])
    seen.until_state(one="success")
    seen.until(lambda panel: panel.run["state"] == "success")
    execute("%nbflow panel", "other")
    assert panel_of(shell, "other").run["run_id"] == panel.run["run_id"]
    wrong = execute("%nbflow panel manual__nothing", "wrong")
    assert "manual__nothing" in str(wrong.error_in_exec)
    execute("%nbflow panel", "panel")
    assert panel.comm is None or panel_of(shell, "panel") is not panel


def test_a_request_that_cannot_be_met_is_one_sentence_in_the_panel(execute, channel, shell):
    execute("%%task one\nx = 1", "a")
    execute("%nbflow run", "run")
    panel = panel_of(shell, "run")
    seen = Seen(panel)
    seen.until(lambda panel: panel.run["state"] == "success")
    panel._handle_custom_msg({"kind": "cancel", "tasks": []}, [])
    seen.until(lambda panel: panel.notice.endswith("has ended already: success."))
    panel._handle_custom_msg({"kind": "retry", "tasks": ["two"]}, [])
    seen.until(lambda panel: 'has no task "two"' in panel.notice)


def test_a_notebook_that_a_program_executes_has_no_panel(execute, channel, shell, monkeypatch):
    monkeypatch.setattr(Watched, "parent", RecordingChannel.parent)
    execute("%%task one\nx = 1", "a")
    execute("%nbflow run", "run")
    assert extension.load(shell).magics.panels == {}
    assert "panel" not in picture(channel, "run")[GRAPH]


@pytest.mark.parametrize("name", ["__vsc_ipynb_file__"])
def test_a_front_end_without_our_extension_is_given_the_widgets_own_view(execute, channel, shell, name):
    shell.user_ns[name] = ""
    execute("%%task one\nx = 1", "a")
    execute("%nbflow panel", "panel")
    view = picture(channel, "panel")["application/vnd.jupyter.widget-view+json"]
    assert view["model_id"] == panel_of(shell, "panel").model_id
