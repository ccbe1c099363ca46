# SPDX-License-Identifier: BSD-3-Clause
"""The live panel of a flow: its graph, what happens now, and the log of the chosen task, in any front end that shows ipywidgets."""

from __future__ import annotations

import functools
import logging
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeGuard

import anywidget
import traitlets

from nbflow.core.errors import SetupError

if TYPE_CHECKING:
    from nbflow.app import Workspace
    from nbflow.widgets.following import Follower

__all__ = ["FlowPanel", "Request"]

Request = Literal["run", "cancel", "retry"]

_log = logging.getLogger("nbflow.widgets")
_STATIC: Final = Path(__file__).parent / "static"
_REQUESTS: Final = frozenset({"run", "cancel", "retry"})
#: Lines of a log that a page loaded later is given.
_LINES_KEPT: Final = 500


@functools.cache
def _built(name: str) -> str:
    path = _STATIC / name
    if not path.exists():
        raise SetupError(f"The panel's {name} was not built: type `pip install -e .` in nbflow's source folder, then restart the kernel.")
    return path.read_text(encoding="utf-8")


class FlowPanel(anywidget.AnyWidget):  # type: ignore[misc] # mypy does not follow anywidget's own types
    """A flow's graph, kept up to date, with buttons that ask for things.

    By itself (in a dashboard) it follows a flow or a run. Else state comes in as a whole payload (`graph`, as in
    `application/vnd.nbflow.graph+json`), then as deltas (`update`). What a person wants goes out to the callbacks of `on_request` and `on_show`.
    All methods may be called from any thread.
    """

    _esm: ClassVar[str] = ""  # read when a panel is made, so that nbflow can be imported before it is built
    _css: ClassVar[str] = ""
    #: What keeps it at a run, where something does.
    follower: Follower | None = None

    #: The id of this model: a saved graph names it, and where such a graph is drawn the panel sits down while it lives.
    panel = traitlets.Unicode().tag(sync=True)
    #: The payload of the graph. Deltas are folded into it, so that a page loaded later sees the present.
    graph = traitlets.Dict().tag(sync=True)
    #: The newest delta: task id -> what changed of the task's status.
    states = traitlets.Dict().tag(sync=True)
    #: The chosen task.
    selected = traitlets.Unicode(None, allow_none=True).tag(sync=True)
    #: What the chosen task showed: lines `{"time": "09:13:02.118", "level": "W", "text": "..."}` and pictures `{"image": "data:...", "text": "..."}`.
    log = traitlets.List().tag(sync=True)
    #: Beside the task's name: `log, attempt 1, worker w-2`.
    log_title = traitlets.Unicode("log").tag(sync=True)
    #: The run that is shown: `{"run_id", "state", "sentence", "elapsed"}`, elapsed in seconds.
    run = traitlets.Dict().tag(sync=True)
    #: The runs one may choose from: `{"run_id": ..., "label": "This run, 09:12"}`.
    runs = traitlets.List().tag(sync=True)
    #: One sentence, when something is in the way.
    notice = traitlets.Unicode().tag(sync=True)
    #: What may be asked for.
    can = traitlets.List(["run", "cancel", "retry"]).tag(sync=True)

    def __init__(
        self,
        graph: Mapping[str, Any] | None = None,
        *,
        flow: str = "",
        run: str | Mapping[str, Any] | None = None,
        workspace: Workspace | None = None,
        picture: Callable[[], Mapping[str, Any]] | None = None,
        **traits: Any,
    ) -> None:
        """`FlowPanel(flow="sales")` follows the newest run of a flow, `FlowPanel(run="manual__...")` that run, of this process or any other.

        Its buttons then cancel and retry that run; `workspace` is where it is recorded, by default that of the settings in force.
        Without `flow` or the id of a run it shows `graph` and what `update` tells it.
        `picture` makes the MIME bundle that the saved notebook shows where no kernel is. Raises SetupError when the page's half is not built.
        """
        FlowPanel._esm, FlowPanel._css = _built("widget.js"), _built("widget.css")
        if isinstance(run, Mapping):
            traits["run"] = dict(run)
        own = uuid.uuid4().hex  # the page needs it with the first message
        super().__init__(model_id=own, panel=own, graph=_copied(graph or {}), **traits)
        self._picture = picture
        self._asked: list[Callable[[Request, tuple[str, ...]], None]] = []
        self._shown: list[Callable[[str], None]] = []
        self.on_msg(self._receive)
        if flow or isinstance(run, str):
            self._follow(workspace, flow, run if isinstance(run, str) else "latest")

    def _follow(self, workspace: Workspace | None, flow: str, run_id: str) -> None:
        from nbflow.widgets.dashboard import follow  # noqa: PLC0415 - the rooms are loaded when a run is followed

        follow(self, workspace, flow=flow, run_id=run_id)

    def close(self) -> None:
        """Stop following, and take it out of every page."""
        if self.follower is not None:
            self.follower.close()
        super().close()

    # --- state in ----------------------------------------------------------------------------------------------------

    def update(self, states: Mapping[str, Mapping[str, Any]]) -> None:
        """What changed: task id -> the changed keys of its status (`state`, `reason`, `duration`, `attempt`, `progress`, ...)."""
        if not states:
            return
        for task in self.graph.get("tasks", ()):  # in place: nothing is sent twice, and a page loaded later gets it
            if (change := states.get(task["id"])) is not None:
                task.update(change)
        self.states = {task: dict(change) for task, change in states.items()}

    def update_run(self, **changes: Any) -> None:
        """Some keys of `run`; the payload of the graph follows."""
        self.run = {**self.run, **changes}
        for key in ("run_id", "state", "sentence"):
            if key in changes:
                self.graph[key] = changes[key]

    def append_log(self, lines: Iterable[Mapping[str, str]], instead_of: int = 0) -> None:
        """More lines of the chosen task's log, in the place of its last `instead_of`. To show another task's log, set `log`."""
        new = [dict(line) for line in lines]
        if new or instead_of:
            del self.log[len(self.log) - instead_of :]
            self.log.extend(new)
            del self.log[:-_LINES_KEPT]
            self.send({"kind": "log", "lines": new, "instead_of": instead_of})

    # --- requests out ------------------------------------------------------------------------------------------------

    def on_request(self, callback: Callable[[Request, tuple[str, ...]], None]) -> None:
        """Call `callback(kind, tasks)` when a person asks to run, cancel or retry; no tasks means the whole run."""
        self._asked.append(callback)

    def on_show(self, callback: Callable[[str], None]) -> None:
        """Call `callback(run_id)` when a person chooses another run."""
        self._shown.append(callback)

    def _receive(self, _widget: Any, content: Any, _buffers: Any) -> None:
        """A message from the page. Pages are written to by others: what does not fit is dropped."""
        if not isinstance(content, Mapping):
            return
        kind, tasks, run_id = content.get("kind"), content.get("tasks"), content.get("run_id")
        if kind in _REQUESTS and _is_names(tasks):
            for asked in self._asked:
                asked(kind, tuple(tasks))
        elif kind == "select" and isinstance(content.get("task"), str | None):
            self.selected = content.get("task")
        elif kind == "show" and isinstance(run_id, str):
            for shown in self._shown:
                shown(run_id)
        else:
            _log.warning("A message of the panel was not understood: %r.", kind)

    # --- the saved file ----------------------------------------------------------------------------------------------

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The widget, and the picture for readers that have no widgets."""
        bundle: tuple[dict[str, Any], dict[str, Any]] | None = super()._repr_mimebundle_(**options)
        if bundle is None or self._picture is None:
            return bundle
        data, metadata = bundle
        return {**data, **self._picture(), **{key: data[key] for key in data if key != "text/plain"}}, metadata


def _is_names(value: Any) -> TypeGuard[Sequence[str]]:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(name, str) for name in value)


def _copied(payload: Mapping[str, Any]) -> dict[str, Any]:
    """A payload whose tasks may be changed in place."""
    return {**payload, "tasks": [dict(task) for task in payload.get("tasks", ())]}
