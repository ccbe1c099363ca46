# SPDX-License-Identifier: BSD-3-Clause
"""The `bash` operator: the body is a script, rendered as a sandboxed Jinja template, and the last line it prints is its result.

The URL of the task's connection stands in `$NBFLOW_CONN`: command lines of programs can be read by everybody on the machine.
"""

from __future__ import annotations

import codecs
import os
import subprocess
import threading
from collections.abc import Callable
from typing import IO, Any, Final

from nbflow.core.context import ctx
from nbflow.core.errors import UserError
from nbflow.core.job import ErrorInfo, Outcome
from nbflow.core.options import TaskKind
from nbflow.operators.attempt import Attempt, Ending
from nbflow.operators.outputs import Outputs

_CHUNK: Final = 64 * 1024
#: Characters of a stream's end that are looked at for its last line.
_TAIL: Final = 64 * 1024


def run_bash(attempt: Attempt) -> Ending:
    """Run the script with the inputs rendered into it; any exit code but 0 fails the attempt; to a sensor or a short circuit it says no."""
    try:
        script = render(attempt.job.source, attempt.namespace)
    except Exception as error:  # noqa: BLE001  templates run expressions over the user's values
        return _failed("TemplateError", f"the template cannot be rendered: {error}", line=_template_line(attempt, error))
    ctx_variables = {"NBFLOW_FLOW": ctx.flow, "NBFLOW_RUN_ID": ctx.run_id, "NBFLOW_TASK": ctx.task, "NBFLOW_ATTEMPT": str(ctx.attempt)}
    if attempt.job.lent.conn:
        ctx_variables["NBFLOW_CONN"] = ctx.conn.url
    with subprocess.Popen(  # noqa: S603  running the user's script is the purpose
        ["bash", "-c", script],  # noqa: S607  whichever bash the worker has
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **ctx_variables},
    ) as process:
        followers = [_Follower(process.stdout, "stdout", attempt.outputs), _Follower(process.stderr, "stderr", attempt.outputs)]
        code = process.wait()
        for follower in followers:
            follower.join()
    printed, complained = (follower.last_line for follower in followers)
    truth = attempt.job.decides in {TaskKind.SENSOR, TaskKind.SHORT_CIRCUIT}
    if code > 0 and truth:
        return Ending(decision=False)
    if code != 0:
        how = f"exit code {code}" if code > 0 else f"killed by signal {-code}"
        return _failed("CommandFailed", f"bash ended with {how}" + (f": {complained or printed}" if complained or printed else ""))
    if attempt.job.out:
        attempt.namespace[attempt.job.out] = printed
    return Ending(decision=True if truth else None if attempt.job.decides is TaskKind.PLAIN else printed)


def render(text: str, names: dict[str, Any]) -> str:
    """The text with `{{ name }}` replaced; text without Jinja's marks is left alone. Raises jinja2.TemplateError."""
    if "{{" not in text and "{%" not in text:
        return text
    from jinja2 import StrictUndefined  # noqa: PLC0415  only templates need it
    from jinja2.sandbox import SandboxedEnvironment  # noqa: PLC0415

    environment = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    known = {name: value for name, value in names.items() if not name.startswith("__")}
    own = {"ctx": ctx, "ds": ctx.ds, "ts": ctx.ts, "params": ctx.params, "var": _ByName(ctx.var), "conn": _ByName(ctx.connection)}
    return environment.from_string(text).render({**dict(ctx.params), **known, **own})


class _ByName:
    """`{{ var.region }}`, `{{ conn["a-b"].host }}`; one that is missing is undefined, so that `| default("eu")` may say what else."""

    def __init__(self, find: Callable[[str], Any]) -> None:
        self._find = find

    def __getattr__(self, name: str) -> Any:
        try:
            return self._find(name)
        except UserError as error:
            raise AttributeError(str(error)) from None

    def __getitem__(self, name: str) -> Any:
        try:
            return self._find(name)
        except UserError as error:
            raise KeyError(str(error)) from None


class _Follower(threading.Thread):
    """Passes one pipe on, and remembers its last line."""

    def __init__(self, pipe: IO[bytes] | None, name: str, outputs: Outputs) -> None:
        super().__init__(name=f"nbflow-bash-{name}", daemon=True)
        assert pipe is not None
        self._pipe = pipe
        self._stream = name
        self._outputs = outputs
        self._tail = ""
        self.start()

    def run(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while data := os.read(self._pipe.fileno(), _CHUNK):
            self._pass_on(decoder.decode(data))
        self._pass_on(decoder.decode(b"", final=True))

    def _pass_on(self, text: str) -> None:
        self._outputs.stream(self._stream, text)
        self._tail = (self._tail + text)[-_TAIL:]

    @property
    def last_line(self) -> str:
        lines = self._tail.rstrip().splitlines()
        return lines[-1] if lines else ""


def _template_line(attempt: Attempt, error: Exception) -> int:
    line = getattr(error, "lineno", 0)
    return line + attempt.job.cell.offset if isinstance(line, int) and line else 0


def _failed(ename: str, evalue: str, line: int = 0) -> Ending:
    error = ErrorInfo(ename=ename, evalue=evalue, line=line, traceback=(f"{ename}: {evalue}",), classes=(ename, "Exception"))
    return Ending(outcome=Outcome.FAILED, reason=evalue, error=error)
