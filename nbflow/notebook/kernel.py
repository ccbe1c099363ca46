# SPDX-License-Identifier: BSD-3-Clause
"""The kernel's side of a run: what it hands over before, and what it takes back after. Knows the shell, so that `namespace` need not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from nbflow.core.errors import NbflowError, UserError
from nbflow.core.ids import TaskId
from nbflow.core.job import Capture, CaptureKind, CaptureSet, ProcessState, ValueRef
from nbflow.core.model import CellRef, Flow
from nbflow.core.protocols import ArtifactStore
from nbflow.notebook import namespace
from nbflow.notebook.process import Baseline, process_state
from nbflow.notebook.session import Executed, Session, map_of
from nbflow.notebook.travel import decode_each, encode_all, encode_elements


class Kernel:
    """Captures names of this kernel, and binds the values of a run in it."""

    def __init__(self, shell: Any, session: Session) -> None:
        self._shell, self._session = shell, session
        self._baseline = Baseline.now(fresh=shell.execution_count <= 1)
        #: Captured just before a plain cell below the task rewrites the name.
        self._early: dict[TaskId, dict[str, Mapping[str, Capture]]] = {}

    # --- before --------------------------------------------------------------------------------------------------------

    def hand_over(self, flow: Flow, tasks: Iterable[TaskId], artifacts: ArtifactStore) -> CaptureSet:
        """Everything these tasks take from here. Raises UserError for what cannot travel."""
        return namespace.capture_set(flow, self.capturer(artifacts), self._early, self.process(), tasks)

    def process(self) -> ProcessState:
        """What plain cells set in this process so far."""
        return process_state(self._baseline, str(Path(self._session.path).parent) if self._session.path else "")

    def keep_before(self, cell: Executed, artifacts: Callable[[], ArtifactStore]) -> None:
        """A plain cell is about to run: what it rewrites is captured for the tasks above it, which take it as it stood at their definition."""
        if cell.task or cell.source.lstrip().startswith("%%flow"):
            return
        rewritten = self._writes(cell.source) & set(self._shell.user_ns)
        if not rewritten:
            return
        for task in self._session.defined_above(cell):
            mapped_over = {name for _, name in map_of(task.source)}
            names = (rewritten & (mapped_over | self._reads(_body(task.source)))) - set(self._early.get(TaskId(task.task), {}))
            for name in names:
                self._early.setdefault(TaskId(task.task), {})[name] = self._capture_early(name, task, mapped_over, artifacts())

    def _capture_early(self, name: str, task: Executed, mapped_over: Collection[str], artifacts: ArtifactStore) -> Mapping[str, Capture]:
        capturer = self.capturer(artifacts)
        whole = capturer.capture([name]) if name not in mapped_over or name in self._reads(_body(task.source)) else {}
        if name not in mapped_over:
            return whole
        try:
            return namespace.with_elements(whole, capturer.capture_elements(name, task.task))
        except UserError as error:  # a plain cell must not fail for a task that may never run
            return whole or {name: Capture(name=name, kind=CaptureKind.UNSENDABLE, reason=str(error))}

    def redefined(self, task: str) -> None:
        """The task was defined anew: it takes names as they stand from now on."""
        self._early.pop(TaskId(task), None)

    def capturer(self, artifacts: ArtifactStore) -> namespace.Capturer:
        """Makes captures of what the plain cells executed so far have bound."""
        plain = ((CellRef(number=self._session.number_of(cell.key), id=cell.key), self._python(cell.source)) for cell in self._plain())
        statements = namespace.Statements(by_name=namespace.statements_of(plain), reads=self._reads)
        definitions = [name for name in statements.by_name if namespace.is_definition(self._shell.user_ns.get(name))]
        return namespace.Capturer(
            namespace=self._shell.user_ns,
            statements=statements,
            encode=lambda values: encode_all(values, definitions, artifacts),
            encode_elements=lambda name, value, task: encode_elements(name, value, task, definitions, artifacts),
            hidden=self._shell.user_ns_hidden,
        )

    def _plain(self) -> list[Executed]:
        return [cell for cell in self._session.executed() if not cell.task and not cell.source.lstrip().startswith("%%")]

    def _python(self, source: str) -> str:
        """The cell as plain Python; a cell that is none binds nothing we could send as source."""
        try:
            return str(self._shell.transform_cell(source))
        except SyntaxError:
            return ""

    def _reads(self, source: str) -> set[str]:
        names = _names(source)
        return set(names.reads) | {name for name in names.builtin_reads if name in self._shell.user_ns} if names else set()

    def _writes(self, source: str) -> set[str]:
        names = _names(source)
        return {*names.writes, *names.mutates, *names.deletes} if names else set()

    # --- after -----------------------------------------------------------------------------------------------------------

    def take_back(self, values: Mapping[str, ValueRef], artifacts: ArtifactStore) -> list[str]:
        """Bind these values here. Returns a sentence for each that cannot be."""
        troubles = []
        for name, value in decode_each(values, artifacts, self._shell.user_ns):
            if isinstance(value, NbflowError):
                troubles.append(f"`{name}` could not be brought back: {value}")
            else:
                self._shell.user_ns[name] = value
        return troubles

    def decode(self, values: Mapping[str, ValueRef], artifacts: ArtifactStore) -> dict[str, Any]:
        """The values, without binding them. Raises UserError or SetupError for one that cannot be had here."""
        decoded = {}
        for name, value in decode_each(values, artifacts, self._shell.user_ns):
            if isinstance(value, NbflowError):
                raise value
            decoded[name] = value
        return decoded


def _body(source: str) -> str:
    """A `%%task` cell without its first line."""
    return source.lstrip().partition("\n")[2]


def _names(source: str) -> Any:
    """What the cell reads and writes; None for a cell that is not Python, which Python itself will say when it is executed."""
    from nbflow.authoring.cells import analyse  # noqa: PLC0415 - loading the extension stays quick

    try:
        return analyse(source)
    except SyntaxError:
        return None
