# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import traitlets

from nbflow.core.errors import SetupError
from nbflow.widgets import FlowPanel, panel

PAYLOAD = {
    "flow": "demo",
    "tasks": [{"id": "a", "state": None}, {"id": "b", "state": None}],
    "edges": [{"from": "a", "to": "b", "names": ["x"]}],
}


@pytest.fixture
def made(built: None) -> Iterator[FlowPanel]:
    one = FlowPanel(PAYLOAD)
    yield one
    one.close()


def test_a_delta_is_sent_as_it_is_and_kept_for_pages_that_come_later(made: FlowPanel) -> None:
    seen: list[Any] = []
    made.observe(lambda change: seen.append((change["name"], change["new"])))
    made.update({"a": {"state": "running", "duration": 1.5}})
    assert seen == [("states", {"a": {"state": "running", "duration": 1.5}})]
    assert made.get_state()["graph"]["tasks"][0] == {"id": "a", "state": "running", "duration": 1.5}


def test_the_callers_payload_stays_as_it_was(made: FlowPanel) -> None:
    made.update({"a": {"state": "failed"}})
    assert PAYLOAD["tasks"][0] == {"id": "a", "state": None}


def test_tasks_of_another_version_of_the_flow_are_passed_over(made: FlowPanel) -> None:
    made.update({"gone": {"state": "failed"}})
    assert [task["state"] for task in made.graph["tasks"]] == [None, None]


def test_a_button_reaches_the_callback(made: FlowPanel) -> None:
    asked: list[Any] = []
    made.on_request(lambda kind, tasks: asked.append((kind, tasks)))
    made._handle_custom_msg({"kind": "retry", "tasks": ["a"]}, [])
    made._handle_custom_msg({"kind": "cancel", "tasks": []}, [])
    assert asked == [("retry", ("a",)), ("cancel", ())]


def test_choosing_a_run_reaches_its_callback(made: FlowPanel) -> None:
    shown: list[str] = []
    made.on_show(shown.append)
    made._handle_custom_msg({"kind": "show", "run_id": "r1"}, [])
    assert shown == ["r1"]


def test_choosing_a_task_is_kept_for_every_page(made: FlowPanel) -> None:
    made._handle_custom_msg({"kind": "select", "task": "b"}, [])
    assert made.selected == "b"
    made._handle_custom_msg({"kind": "select", "task": None}, [])
    assert made.selected is None


def test_a_page_knows_the_panel_by_the_id_that_saved_graphs_have(made: FlowPanel) -> None:
    assert made.get_state()["panel"] == made.model_id == made.comm.comm_id


@pytest.mark.parametrize(
    "message",
    [
        {"kind": "select", "task": 3},
        {"kind": "delete", "tasks": []},
        {"kind": "run", "tasks": "all"},
        {"kind": "run", "tasks": [1]},
        {"kind": "show"},
        "run",
    ],
)
def test_a_message_that_does_not_fit_asks_for_nothing(made: FlowPanel, message: Any) -> None:
    asked: list[Any] = []
    made.on_request(lambda kind, tasks: asked.append((kind, tasks)))
    made.on_show(asked.append)
    made._handle_custom_msg(message, [])
    assert asked == []


def test_the_newest_lines_of_a_log_are_kept(made: FlowPanel) -> None:
    made.append_log({"text": str(number)} for number in range(700))
    assert [len(made.log), made.log[0]["text"], made.log[-1]["text"]] == [500, "200", "699"]


def test_a_change_of_the_run_keeps_what_did_not_change(made: FlowPanel) -> None:
    made.update_run(run_id="r", state="running", elapsed=1.0)
    made.update_run(elapsed=2.0)
    assert made.run == {"run_id": "r", "state": "running", "elapsed": 2.0}
    assert made.graph["state"] == "running"


def test_the_saved_file_keeps_the_picture_beside_the_widget(built: None) -> None:
    one = FlowPanel(PAYLOAD, picture=lambda: {"text/html": "<img/>", "text/plain": "a -> b"})
    data, _ = one._repr_mimebundle_() or ({}, {})
    one.close()
    assert data["text/html"] == "<img/>"
    assert data["text/plain"] == "a -> b"
    assert "application/vnd.jupyter.widget-view+json" in data


def test_a_wrong_kind_of_trait_is_refused(made: FlowPanel) -> None:
    with pytest.raises(traitlets.TraitError):
        made.selected = 3


def test_a_panel_that_was_not_built_says_what_to_type(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panel, "_STATIC", tmp_path / "nothing")
    panel._built.cache_clear()
    with pytest.raises(SetupError, match="pip install -e"):
        FlowPanel(PAYLOAD)
    panel._built.cache_clear()
