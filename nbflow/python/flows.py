# SPDX-License-Identifier: BSD-3-Clause
"""`@flow` and `nbflow.load`: flows that can be run, submitted and looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypedDict, Unpack, overload

from nbflow.authoring.decorators import FlowFunction, P, R
from nbflow.authoring.python_file import Target, flows_of, import_file, pick, read_target
from nbflow.authoring.python_options import Duration, Names
from nbflow.core.calls import IMPORTING
from nbflow.core.errors import UserError
from nbflow.python.ambient import current_workspace, installation
from nbflow.python.asking import ask_past
from nbflow.python.run import Run
from nbflow.python.travel import captures_of, placed, plain_params

if TYPE_CHECKING:
    from networkx import DiGraph

    from nbflow.app import RunHandle, Workspace
    from nbflow.authoring.trace import Traced
    from nbflow.core.model import Flow
    from nbflow.core.protocols import RunObserver


class FlowKeywords(TypedDict, total=False):
    """What `@flow(...)` takes: the keys of a `%%flow` header."""

    name: str
    description: str
    schedule: Any
    schedule_kind: str
    timezone: Any
    start_date: Any
    end_date: Any
    catchup: str | int
    max_active_runs: int
    on_overlap: str
    run_timeout: Duration
    deadline: Duration
    late_start: Duration
    tags: Names
    owner: str
    doc: str
    fail_fast: bool
    fail_on: str
    max_active_tasks: int
    max_active_tasks_per_run: int
    max_consecutive_failed_runs: int
    on: Names
    assets: str
    cluster: Mapping[str, Any]
    defaults: Mapping[str, Any]
    groups: Mapping[str, Mapping[str, Any]]
    notify: Mapping[str, Any]
    params: Mapping[str, Mapping[str, Any]]


class PythonFlow(FlowFunction[P, R], Generic[P, R]):
    """A flow written as a function: `sales.run(day="2026-02-01")`."""

    def run(self, *args: P.args, **kwargs: P.kwargs) -> Run:
        """Run it now and wait for its end; an interrupt cancels it. Raises UserError and SetupError when it cannot be run at all."""
        return self.submit(*args, **kwargs).block()

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Run:
        """Start it and return at once; the run ends with this process. Raises as `run` does."""
        values = self.parameters.values(self.parameters.named(args, kwargs))
        _refuse_while_importing(self.name)
        workspace = current_workspace()
        traced = self.traced(values, installation=workspace.settings.task_defaults)
        handle = start(workspace, traced, values, trigger="python")
        return Run(workspace, handle.run_id, handle)

    __call__ = run

    @property
    def graph(self) -> DiGraph[str]:
        """Its tasks and edges, with the parameters' defaults: nodes have `options`, `doc` and `group`, edges have `names`."""
        return graph_of(self.traced(installation=installation()).flow)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """In a notebook: its graph."""
        from nbflow.app import SystemClock  # noqa: PLC0415 - `import nbflow` stays quick
        from nbflow.views import bundles  # noqa: PLC0415 - as above

        return dict(bundles.graph_bundle(self.traced(installation=installation()).flow, {}, None, SystemClock().now()))


@overload
def flow(function: Callable[P, R], /) -> PythonFlow[P, R]: ...
@overload
def flow(**options: Unpack[FlowKeywords]) -> Callable[[Callable[P, R]], PythonFlow[P, R]]: ...
def flow(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """This function writes a flow: `@flow`, or `@flow(schedule="@daily")` with the keys of a `%%flow` header under the same names.

    `name` names it (default: the function's name). Raises UserError for a key that there is not, or a value that it cannot have.
    """
    if function is not None:
        return PythonFlow(function, options)
    return lambda decorated: PythonFlow(decorated, options)


def start(
    workspace: Workspace,
    traced: Traced,
    values: Mapping[str, Any],
    *,
    trigger: str,
    observers: Sequence[RunObserver] = (),
) -> RunHandle:
    """Start a run of a flow function's graph. Raises UserError and SetupError: then there is no run."""
    captures, params, date = captures_of(traced, workspace.artifacts), plain_params(values), workspace.clock.now()
    return workspace.start_run(
        placed(traced.flow, traced),
        captures,
        params=params,
        logical_date=date,
        past=ask_past(traced, params, date),
        trigger=trigger,
        observers=observers,
    )


def graph_of(flow: Flow) -> DiGraph[str]:
    """A flow as a networkx graph."""
    import networkx as nx  # noqa: PLC0415 - only those who ask for it

    graph: DiGraph[str] = nx.DiGraph(name=flow.name)
    for task in flow.tasks:
        graph.add_node(str(task.id), options=task.options, doc=task.doc, group=task.group)
    for edge in flow.edges:
        graph.add_edge(str(edge.upstream), str(edge.downstream), names=edge.names)
    return graph


def _refuse_while_importing(name: str) -> None:
    module = IMPORTING.get()
    if module:
        raise UserError(
            f"{name} is run at the top level of module {module}, which every worker imports to find its tasks: "
            'put that line under if __name__ == "__main__".'
        )


class NotebookFlow:
    """A notebook as a flow: `nbflow.load("sales.ipynb").run(params={"day": "2026-02-01"})`."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def run(self, params: Mapping[str, Any] | None = None, *, output: str | Path | None = None) -> Run:
        """Run it headlessly and wait for its end. Raises UserError and SetupError when it cannot be run at all."""
        from nbflow.headless import run_notebook  # noqa: PLC0415 - `import nbflow` stays quick

        workspace = current_workspace()
        outcome = run_notebook(workspace, self.path, params=params, output=output)
        return Run(workspace, outcome.run_id)

    @property
    def flow(self) -> Flow:
        """The flow as written. Raises FlowError with every problem."""
        return current_workspace().load_flow(self.path)

    @property
    def name(self) -> str:
        """The flow's name."""
        return self.flow.name

    @property
    def graph(self) -> DiGraph[str]:
        """Its tasks and edges: nodes have `options`, `doc` and `group`, edges have `names`. Raises FlowError with every problem."""
        return graph_of(self.flow)

    def __repr__(self) -> str:
        return f"<flow of {self.path}>"


class FileFlow:
    """A flow of a `.py` file that was loaded by its path."""

    def __init__(self, flow: FlowFunction[Any, Any]) -> None:
        assert isinstance(flow, PythonFlow)
        self._flow: PythonFlow[..., Any] = flow
        self.name, self.path = flow.name, flow.path

    def run(self, params: Mapping[str, Any] | None = None, **more: Any) -> Run:
        """Run it now and wait for its end, with parameters as a dict or by name."""
        return self._flow.run(**self._given(params, more))

    def submit(self, params: Mapping[str, Any] | None = None, **more: Any) -> Run:
        """Start it and return at once."""
        return self._flow.submit(**self._given(params, more))

    @property
    def graph(self) -> DiGraph[str]:
        """See `PythonFlow.graph`."""
        return self._flow.graph

    def _given(self, params: Mapping[str, Any] | None, more: Mapping[str, Any]) -> dict[str, Any]:
        known = [one.name for one in self._flow.parameters.described()]
        if "params" in known:  # the flow's own parameter has the name
            return {**more, "params": params} if params is not None else dict(more)
        return {**(params or {}), **more}

    def __repr__(self) -> str:
        return repr(self._flow)


def load(path: str | Path) -> NotebookFlow | FileFlow:
    """The flow of a notebook (`"sales.ipynb"`) or of a file (`"sales.py:daily"`). A file is imported here. Raises UserError."""
    target = read_target(path)
    if target is None:
        if not Path(path).is_file():
            raise UserError(f"There is no notebook {path}.")
        return NotebookFlow(Path(path))
    return FileFlow(pick(flows_of(import_file(target.path)), target))


__all__ = ["FileFlow", "NotebookFlow", "PythonFlow", "Target", "flow", "graph_of", "load", "start"]
