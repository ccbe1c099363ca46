# SPDX-License-Identifier: BSD-3-Clause
"""Tab completion on `%%task` lines (options, their choices, task names) and `%nbflow` lines (verbs, options, task names)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from nbflow.notebook import verbs
from nbflow.notebook.session import Session


class Completer:
    """Answers IPython's `complete_command` hook."""

    def __init__(self, session: Session, named: Mapping[str, Callable[[], Iterable[str]]] = MappingProxyType({})) -> None:
        """`named` gives the names there are of what an option names: `pool`, `conn`."""
        self._session, self._named = session, named

    def task_line(self, shell: Any, event: Any) -> list[str]:  # noqa: ARG002 - the hook's signature
        """Words that may follow on a `%%task` line."""
        from nbflow.authoring.magic_line import complete  # noqa: PLC0415 - loading the extension stays quick

        return list(complete(_before_cursor(event), self._tasks(), named=self._named))

    def nbflow_line(self, shell: Any, event: Any) -> list[str]:  # noqa: ARG002 - as above
        """Words that may follow on a `%nbflow` line."""
        words = _before_cursor(event).split()[1:]
        typed = event.symbol
        done = words[:-1] if typed and words and words[-1] == typed else words
        if not done:
            return list(verbs.VERBS)
        verb = done[0]
        if verb not in verbs.VERBS:
            return []
        if done[-1] in {"--task", "--from"} or (verbs.takes_tasks(verb) and not typed.startswith("-")):
            return list(self._tasks())
        return list(verbs.option_words(verb))

    def _tasks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self._session.task_names(), *self._session.saved_task_names()]))


def _before_cursor(event: Any) -> str:
    """The line up to the cursor."""
    return str(event.text_until_cursor)


def install(shell: Any, completer: Completer) -> None:
    """Ask the completer about these lines from now on."""
    shell.set_hook("complete_command", completer.task_line, str_key="%%task")
    for start in ("%nbflow", "nbflow"):
        shell.set_hook("complete_command", completer.nbflow_line, str_key=start)
