# SPDX-License-Identifier: BSD-3-Clause
"""`%nbflow debug TASK`: the failed attempt, here. Its inputs are bound, its frames can be looked at, and the debugger opens on them.

Nothing is executed again: the frames are made anew from what the attempt left, so that `%debug`, `pdb.pm()` and `%nbflow debug` see the same.
"""

from __future__ import annotations

import builtins
import linecache
import sys
import types
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbflow.core.errors import NbflowError
from nbflow.core.job import CaptureKind, ErrorInfo
from nbflow.notebook.history import History

if TYPE_CHECKING:
    from nbflow.notebook.magics import NbflowMagics
    from nbflow.notebook.verbs import Asked
    from nbflow.operators.postmortem import KeptFrame

_MODULE = "<module>"


class NotKept:
    """Stands for a value that the attempt could not leave, or that cannot be read here."""

    def __init__(self, told: str) -> None:
        self._told = told

    def __repr__(self) -> str:
        return f"<not kept: {self._told}>"


class Frame:
    """One frame of the failed attempt."""

    def __init__(self, kept: KeptFrame, names: dict[str, Any]) -> None:
        self.function, self.filename, self.line, self.locals = kept.function, kept.filename, kept.line, names
        self._source = kept.source.splitlines()

    @property
    def text(self) -> str:
        """The line it stands at."""
        return self._source[self.line - 1].strip() if 0 < self.line <= len(self._source) else ""

    def __repr__(self) -> str:
        where = f"{self.filename}, line {self.line}" + ("" if self.function == _MODULE else f", in {self.function}")
        names = "\n".join(f"    {name} = {_short(value)}" for name, value in self.locals.items())
        return "\n".join(part for part in (where, f"  > {self.text}" if self.text else "", names) if part)


class PostMortem:
    """A failed attempt: `.error`, `.inputs` by name, and `.frames`, the outermost first, each with its `.locals`."""

    def __init__(self, title: str, error: BaseException, inputs: Mapping[str, Any], frames: Sequence[Frame]) -> None:
        self.title, self.error, self.inputs, self.frames = title, error, dict(inputs), tuple(frames)

    def __repr__(self) -> str:
        return "\n\n".join([self.title, *map(repr, self.frames)])


class Debugging:
    """The verb `debug`."""

    def __init__(self, magics: NbflowMagics) -> None:
        self._history, self._magics = History(magics), magics
        self._shell, self._channel, self._kernel = magics.shell, magics.channel, magics.launcher.kernel

    def debug(self, asked: Asked) -> PostMortem:
        """Bind the failed attempt's inputs here and open the debugger on its frames. Raises UserError when no attempt failed."""
        from nbflow.app.inspecting import inputs_of  # noqa: PLC0415 - loading the extension stays quick
        from nbflow.operators.postmortem import load_frames  # noqa: PLC0415 - as above

        workspace, task = self._history.workspace, asked["task"]
        run = self._history.chosen(asked["run"], task)
        given = inputs_of(workspace, run.run_id, task, asked["attempt"], failed=True)
        attempt, error = given.attempt, given.attempt.error or ErrorInfo(ename="RuntimeError", evalue=given.attempt.reason)
        self._define({name: one for name, one in given.captures.items() if one.kind is CaptureKind.DEFINITION}, workspace.artifacts)
        inputs = self._decoded(given.shown(), workspace.artifacts)
        self._shell.user_ns.update(inputs)
        try:
            kept = load_frames(error.frames, workspace.artifacts)
        except NbflowError as gone:
            self._channel.write(f"{gone}\n")
            kept = ()
        frames = [Frame(one, self._locals(one, workspace.artifacts)) for one in kept]
        exception = rebuilt(error, kept, frames, self._shell.user_ns)
        title = f"Attempt {attempt.attempt} of {attempt.key} in run {run.run_id}: {error.sentence}"
        self._channel.write(f"{title}\nBound here: {', '.join(inputs) or 'nothing'}.\n")
        if not frames:
            self._channel.write("The attempt left no frames: it ended without an exception of its code, or before nbflow kept them.\n")
        _remember(exception)
        if frames and not asked["no_pdb"]:
            self._open()
        return PostMortem(title, exception, inputs, frames)

    def _open(self) -> None:
        if not _can_ask(self._shell):
            self._channel.write("Nobody can be asked here; where somebody can, %debug opens the debugger on these frames.\n")
            return
        self._shell.InteractiveTB.tb = sys.last_traceback
        self._shell.debugger(force=True)

    def _define(self, definitions: Mapping[str, Any], artifacts: Any) -> None:
        """Functions and classes of the notebook that values are made of, where this kernel does not have them."""
        from nbflow.operators.values import install_captures  # noqa: PLC0415 - as above

        missing = {name: one for name, one in definitions.items() if name not in self._shell.user_ns}
        try:
            install_captures(missing, self._shell.user_ns, artifacts)
        except Exception as error:  # noqa: BLE001 - definitions are the user's code; what needs them says so
            self._channel.write(f"Not all definitions could be made here: {type(error).__name__}: {error}\n")

    def _decoded(self, refs: Mapping[str, Any], artifacts: Any) -> dict[str, Any]:
        from nbflow.notebook.travel import decode_each  # noqa: PLC0415 - as above

        found = {}
        for name, value in decode_each(refs, artifacts, self._shell.user_ns):
            found[name] = NotKept(str(value)) if isinstance(value, NbflowError) else value
        return found

    def _locals(self, kept: KeptFrame, artifacts: Any) -> dict[str, Any]:
        return {**self._decoded(kept.values, artifacts), **{name: NotKept(told) for name, told in kept.told.items()}}


def rebuilt(error: ErrorInfo, kept: Sequence[KeptFrame], frames: Sequence[Frame], namespace: Mapping[str, Any]) -> BaseException:
    """The exception with a traceback whose frames have the locals that were kept."""
    exception = _exception(error)
    trace: types.TracebackType | None = None
    modules: list[dict[str, Any]] = []
    around: dict[str, Any] = dict(namespace)
    for one, frame in zip(kept, frames, strict=True):
        around = {**around, **frame.locals} if one.is_module else around
        modules.append(around)
    for one, frame, names in zip(reversed(kept), reversed(frames), reversed(modules), strict=True):
        if one.source:
            linecache.cache[one.filename] = (len(one.source), None, one.source.splitlines(keepends=True), one.filename)
        real = _frame_like(one, names, frame.locals)
        trace = types.TracebackType(trace, real, real.f_lasti, one.line)
    return exception.with_traceback(trace)


def _frame_like(kept: KeptFrame, names: dict[str, Any], own: dict[str, Any]) -> types.FrameType:
    """A frame that stands at that line of that file, with these globals and locals."""
    caught: list[types.FrameType] = []
    code = compile("\n" * (max(1, kept.line) - 1) + "__nbflow_here__()", kept.filename, "exec")
    function = kept.function.rpartition(".")[2]
    code = code.replace(co_name=function, co_qualname=kept.function)
    hidden = {"__nbflow_here__": lambda: caught.append(sys._getframe(1))}  # noqa: SLF001 - the public names (inspect.currentframe) are this
    if kept.is_module:
        exec(code, {**names, **own, **hidden})  # noqa: S102 - code of our own, which only marks the place
    else:
        exec(code, {**names, **hidden}, dict(own))  # noqa: S102 - as above
    frame = caught[0]
    frame.f_globals.pop("__nbflow_here__", None)
    return frame


def _exception(error: ErrorInfo) -> BaseException:
    """As near to what was raised as its name allows."""
    known = getattr(builtins, error.ename, None)
    kind: type[Exception] = type(error.ename, (Exception,), {})
    if isinstance(known, type) and issubclass(known, Exception):
        kind = known
    exception = kind.__new__(kind)  # some have arguments of their own to be made with
    exception.args = (error.evalue,)
    return exception


def _remember(exception: BaseException) -> None:
    """Where `%debug` and `pdb.pm()` look."""
    sys.last_type, sys.last_value, sys.last_traceback = type(exception), exception, exception.__traceback__
    sys.last_exc = exception  # type: ignore[attr-defined,unused-ignore] # of Python 3.12


def _can_ask(shell: Any) -> bool:
    kernel = getattr(shell, "kernel", None)
    if kernel is not None:
        return bool(getattr(kernel, "_allow_stdin", False))
    return bool(sys.stdin is not None and sys.stdin.isatty())


def _short(value: Any) -> str:
    from nbflow.operators.describe import describe  # noqa: PLC0415 - as above

    return repr(value) if isinstance(value, NotKept) else describe(value)
