# SPDX-License-Identifier: BSD-3-Clause
"""How a flow's functions and arguments travel to where its tasks run: by import, as definitions of the notebook, or by value."""

from __future__ import annotations

import inspect
import os
import sys
import sysconfig
import types
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, time, timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbflow.authoring.python_file import place_of
from nbflow.authoring.trace import Body, Callbacks, Traced
from nbflow.core.cache_key import is_cached
from nbflow.core.callbacks import EVENT, THE_FLOW, callback_name
from nbflow.core.calls import CALL, Applied, Call, Defined, Imported, Joined, Placeholder, Zipped
from nbflow.core.errors import UserError
from nbflow.core.ids import TaskId
from nbflow.core.job import Capture, CaptureKind, CaptureSet, ProcessState, ValueRef
from nbflow.core.model import CellRef, Flow
from nbflow.core.sources import part_of
from nbflow.python.ambient import Kernel, current_kernel

if TYPE_CHECKING:
    from nbflow.core.protocols import ArtifactStore


def captures_of(traced: Traced, artifacts: ArtifactStore, *, cwd: str = "") -> CaptureSet:
    """Everything the tasks are given besides each other's values. Raises UserError naming the task and what cannot travel."""
    kernel = current_kernel()
    encoder = _Encoder(artifacts, kernel)
    cached = {task.id for task in traced.flow.tasks if is_cached(task.options)}
    early: dict[str, dict[str, Capture]] = {id: encoder.captures(id, body, with_source=id in cached) for id, body in traced.bodies.items()}
    if traced.callbacks:
        early[THE_FLOW] = encoder.callbacks(THE_FLOW, traced.callbacks)
    if kernel is None:
        return CaptureSet(early=early, process=ProcessState(cwd=cwd or os.getcwd(), sys_path=_user_path()))  # noqa: PTH109
    names = kernel.capture(encoder.needed, artifacts) if encoder.needed else {}
    for name, capture in names.items():
        if capture.kind is CaptureKind.UNSENDABLE:
            raise UserError(f"`{name}` of the notebook cannot be sent to a worker: {capture.reason}")
    return CaptureSet(names=names, early=early, process=kernel.process())


def placed(flow: Flow, traced: Traced) -> Flow:
    """The flow with the notebook's cells that define its functions."""
    kernel = current_kernel()
    if kernel is None:
        return flow
    cells: dict[Any, CellRef] = {}
    for body in traced.bodies.values():
        function: Any = body.call.function
        if function not in cells:
            name = kernel.definition_of(function) if getattr(function, "__module__", "") == "__main__" else ""
            cells[function] = kernel.cell_of(name) if name else CellRef()
    return replace(flow, tasks=tuple(replace(task, cell=cells[traced.bodies[task.id].call.function]) for task in flow.tasks))


class _Encoder:
    """Calls as captured values."""

    def __init__(self, artifacts: ArtifactStore, kernel: Kernel | None) -> None:
        from nbflow.operators.definitions import DefinitionTable  # noqa: PLC0415 - see the module's docstring

        self._artifacts, self._kernel = artifacts, kernel
        self._table = DefinitionTable.of_names(kernel.definitions() if kernel else ())
        self._routes: dict[Callable[..., Any], Imported | Defined | Callable[..., Any]] = {}
        #: Definitions of the notebook that the calls need.
        self.needed: set[str] = set()

    def captures(self, id: TaskId, body: Body, *, with_source: bool = False) -> dict[str, Capture]:
        """What this task takes: its call, and the literals it is mapped over.

        `with_source`: the call also says what its function is made of, and its hash is that of the arguments alone.
        """
        routed: list[Imported | Defined | Callable[..., Any]] = []
        kwargs = {name: self._routed(value, routed) for name, value in body.call.kwargs.items()}
        args = tuple(self._routed(value, routed) for value in body.call.args)
        spread = self._routed(body.call.spread, routed)
        call = replace(body.call, function=self._route(body.call.function), args=args, kwargs=kwargs, spread=spread)
        ref = self._call(id, call)
        needs = set(ref.needs)
        needs.update(one.name for one in (call.function, *routed) if isinstance(one, Defined))
        source = _source_of(call.function) if with_source else ""
        hash = self._call(id, replace(call, function=_nothing)).hash if source or isinstance(call.function, Defined) else ref.hash
        found = {CALL: Capture(name=CALL, kind=CaptureKind.VALUE, source=source, value=ref, needs=tuple(sorted(needs)), hash=hash)}
        for name, elements in body.elements.items():
            refs = tuple(self._store(id, f"{name}[{place}]", element) for place, element in enumerate(elements))
            needs |= {need for one in refs for need in one.needs}
            found[name] = Capture(name=name, kind=CaptureKind.VALUE, elements=refs, needs=tuple(sorted(needs)))
        self.needed |= needs
        return {**found, **self.callbacks(id, body.callbacks)}

    def callbacks(self, id: TaskId, callbacks: Callbacks) -> dict[str, Capture]:
        """The calls of the functions that are called when something happens."""
        found = {}
        for kind, functions in callbacks.items():
            for place, function in enumerate(functions):
                args = (Placeholder(name=EVENT),) if _takes_one(function) else ()
                call = Call(function=self._route(function), args=args, result="(called)")
                ref = self._call(id, call)
                needs = {*ref.needs, *([call.function.name] if isinstance(call.function, Defined) else [])}
                name = callback_name(kind, place)
                found[name] = Capture(name=name, kind=CaptureKind.VALUE, value=ref, needs=tuple(sorted(needs)), hash=ref.hash)
                self.needed |= needs
        return found

    def _routed(self, value: Any, found: list[Imported | Defined | Callable[..., Any]]) -> Any:
        """What stands for a mapped element, with the functions of `.map` as they travel; those are added to `found`."""
        if isinstance(value, Applied):
            function = self._route(value.function)
            found.append(function)
            return replace(value, function=function, part=self._routed(value.part, found))
        if isinstance(value, Zipped | Joined):
            return replace(value, parts=tuple(self._routed(part, found) for part in value.parts))
        return value

    def _route(self, function: Any) -> Imported | Defined | Callable[..., Any]:
        if function not in self._routes:
            self._routes[function] = _route(function, self._kernel)
        return self._routes[function]

    def _call(self, id: TaskId, call: Call) -> ValueRef:
        from nbflow.operators.values import UnstorableValue, store  # noqa: PLC0415 - as above

        try:
            return store(call, self._artifacts, definitions=self._table)
        except UnstorableValue as error:
            named = {str(place): value for place, value in enumerate(call.args, start=1)} | dict(call.kwargs)
            for name, value in named.items():
                self._store(id, name, value)
            raise UserError(f"Task {id} cannot be sent to a worker: it holds {error.what}. {error.remedy}.") from None

    def _store(self, id: TaskId, name: str, value: Any) -> ValueRef:
        from nbflow.operators.values import UnstorableValue, store  # noqa: PLC0415 - as above

        try:
            return store(value, self._artifacts, definitions=self._table)
        except UnstorableValue as error:
            raise UserError(f"Argument {name} of task {id} is {error.what}, which cannot be sent to a worker: {error.remedy}.") from None


def _route(function: Callable[..., Any], kernel: Kernel | None) -> Imported | Defined | Callable[..., Any]:
    """By import where the function stands in a file, as a definition of the notebook, else by value."""
    module, qualname = getattr(function, "__module__", "") or "", getattr(function, "__qualname__", "<object>")
    if "<" in qualname:
        return function
    if module == "__main__":
        if kernel is not None:
            name = kernel.definition_of(function)
            return Defined(name=name) if name else function
        script = _script()
        if script is None:
            return function
        place = place_of(script)
        sys.modules.setdefault(place.module, sys.modules["__main__"])  # values of its classes come back as what they are here
        return Imported(module=place.module, qualname=qualname, file=str(script))
    found = sys.modules.get(module)
    file = getattr(found, "__file__", None)
    if found is None or getattr(_attribute(found, qualname), "function", _attribute(found, qualname)) is not function:
        return function
    return Imported(module=module, qualname=qualname, file=os.path.realpath(file) if file else "")


def _takes_one(function: Callable[..., Any]) -> bool:
    """Whether it wants to be told what happened."""
    try:
        return bool(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # of C
        return True


def _nothing() -> None:
    """Stands for the function where only the arguments count."""


def _source_of(function: Imported | Defined | Callable[..., Any]) -> str:
    """Of a function of a file, the statements of the file that it is made of; "" where it travels with its source, or by value."""
    if not isinstance(function, Imported) or not function.file:
        return ""
    try:
        text = Path(function.file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    return part_of(text, frozenset({function.qualname.partition(".")[0]}))


def _attribute(module: types.ModuleType, qualname: str) -> Any:
    found: Any = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def _script() -> Path | None:
    """The file that is `__main__`; None for a prompt, `python -c` and the like."""
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    return Path(file).resolve() if file and str(file).endswith(".py") and Path(file).is_file() else None


def _user_path() -> tuple[str, ...]:
    """The entries of `sys.path` that are the person's own: what is installed, a worker has itself."""
    installed = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
    entries = [os.path.abspath(entry or ".") for entry in sys.path]  # noqa: PTH100 - texts, as sys.path holds
    folders = [entry for entry in entries if Path(entry).is_dir() and not entry.startswith(installed)]
    return tuple(dict.fromkeys(folders))


def plain_params(values: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as a run's record has them: JSON."""
    return {name: _json(value) for name, value in values.items()}


def _json(value: Any) -> Any:
    if isinstance(value, Enum):
        return _json(value.value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_json(inner) for inner in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
