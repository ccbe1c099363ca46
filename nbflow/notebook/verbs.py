# SPDX-License-Identifier: BSD-3-Clause
"""The words after `%nbflow`: verbs and their options, read as the command line reads them."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from nbflow.core.errors import UserError, nearest

#: Verb -> what it does, in the order of the help text.
VERBS: Final[Mapping[str, str]] = {
    "graph": "the graph, as understood now (also without a verb)",
    "run": "run the tasks above this cell: [-p NAME VALUE] [--task T] [--background]",
    "status": "the last run: every task's state and why",
    "logs": "what a task showed in the last run: logs TASK [--attempt N]",
    "result": "what a task gave in the last run: result TASK [NAME]",
    "runs": "the newest runs of this flow: [-n N]",
    "check": "everything that would go wrong, without running anything",
    "cancel": "cancel the run that is going on, or tasks of it: cancel [TASK ...]",
    "forget": "forget the definition of a task: forget TASK",
}


@dataclass(frozen=True)
class Asked:
    """One line, understood."""

    verb: str
    #: By the option's long name.
    options: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.options[name]


class _Parser(argparse.ArgumentParser):
    """Says a mistake as a sentence instead of ending the kernel."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"%nbflow {self.prog}: {message}. Type %nbflow -h to see its options.")


def help_text() -> str:
    """What `%nbflow -h` shows."""
    width = max(map(len, VERBS))
    lines = [f"  %nbflow {verb:<{width}}  {meaning}" for verb, meaning in VERBS.items()]
    return "\n".join(["Run the tasks of this notebook, and see what happened.", "", *lines, "", "Options of a task: %%task -h"])


def parse(line: str) -> Asked:
    """The verb and options of a line; a line without a verb asks for the graph. Raises UserError."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError as error:
        raise UserError(f"%nbflow {line}: a quotation mark is missing ({error}).") from None
    if any(word in {"-h", "--help"} for word in words):
        return Asked("help", {})
    verb, *rest = words or ["graph"]
    if verb not in VERBS:
        raise UserError(f'There is no "%nbflow {verb}".{nearest(verb, VERBS) or " Type %nbflow -h to see what there is."}')
    return Asked(verb, vars(_parser(verb).parse_args(rest)))


def option_words(verb: str) -> tuple[str, ...]:
    """The options of a verb, for completion."""
    return tuple(word for action in _parser(verb)._actions for word in action.option_strings if word.startswith("--"))  # noqa: SLF001 - no public list


def takes_tasks(verb: str) -> bool:
    """Whether words after the verb are names of tasks."""
    return verb in {"logs", "result", "cancel", "forget"}


def read_params(given: list[list[str]]) -> dict[str, Any]:
    """`-p name value` pairs; numbers, true, null and lists are read as such, as in the shell. Raises UserError."""
    import yaml  # noqa: PLC0415 - loading the extension stays quick

    values: dict[str, Any] = {}
    for name, text in given:
        if not name.isidentifier():
            raise UserError(f'"{name}" cannot be a parameter: its name must be one of Python, such as day or threshold_2.')
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            value = text
        values[name] = value if isinstance(value, bool | int | float | str | list | dict | None) else text  # a date stays as typed
    return values


def _parser(verb: str) -> argparse.ArgumentParser:
    parser = _Parser(prog=verb, add_help=False, allow_abbrev=False)
    if verb == "run":
        parser.add_argument("-p", "--param", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
        parser.add_argument("--task", action="append", default=[], metavar="TASK")
        parser.add_argument("--background", action="store_true")
    elif verb == "logs":
        parser.add_argument("task", metavar="TASK")
        parser.add_argument("--attempt", type=int, default=None, metavar="N")
    elif verb == "result":
        parser.add_argument("task", metavar="TASK")
        parser.add_argument("name", metavar="NAME", nargs="?", default="")
    elif verb == "runs":
        parser.add_argument("-n", "--limit", type=int, default=10, metavar="N")
    elif verb == "cancel":
        parser.add_argument("task", metavar="TASK", nargs="*")
    elif verb == "forget":
        parser.add_argument("task", metavar="TASK")
    return parser
