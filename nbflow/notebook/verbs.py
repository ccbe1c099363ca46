# SPDX-License-Identifier: BSD-3-Clause
"""The words after `%nbflow`: verbs and their options, read as the command line reads them."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, NoReturn

from nbflow.core.errors import UserError, nearest


@dataclass(frozen=True)
class Asked:
    """One line, understood."""

    verb: str
    #: By the option's long name.
    options: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.options[name]


@dataclass(frozen=True, kw_only=True)
class Verb:
    """All there is to say about one verb: a new one is an entry of `VERBS` and a method, named like it, of the class that answers it."""

    #: What it does, and its options, as the help text says it.
    meaning: str
    #: `module:class` below `nbflow.notebook`, loaded when the verb is typed and made with the shell's `NbflowMagics`.
    answered_by: str
    #: Declares its options.
    options: Callable[[argparse.ArgumentParser], object] = lambda _: None
    #: Whether the words after it are names of tasks, for completion.
    takes_tasks: bool = False

    def answer(self, magics: Any, asked: Asked) -> Any:
        """Do what was asked. Raises UserError."""
        module, name = self.answered_by.split(":")
        answers = getattr(import_module(f"nbflow.notebook.{module}"), name)(magics)
        return getattr(answers, asked.verb)(asked)


def _run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-p", "--param", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    parser.add_argument("--task", action="append", default=[], metavar="TASK")
    parser.add_argument("--from", dest="from_task", metavar="TASK", default="")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--code", choices=("now", "run", "latest"), default="")
    parser.add_argument("--background", action="store_true")


def _retry_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", metavar="TASK", nargs="*")
    parser.add_argument("--run", default="", metavar="RUN")
    parser.add_argument("--code", choices=("now", "run", "latest"), default="")
    parser.add_argument("--upstream", action="store_true")
    parser.add_argument("--dry-run", action="store_true")


def _selecting(parser: argparse.ArgumentParser) -> None:
    """The options that say which instances are meant."""
    parser.add_argument("task", metavar="TASK", nargs="*")
    parser.add_argument("--run", default="", metavar="RUN")
    for flag in ("--upstream", "--downstream", "--past", "--future", "--dry-run"):
        parser.add_argument(flag, action="store_true")


def _clear_options(parser: argparse.ArgumentParser) -> None:
    _selecting(parser)
    for flag in ("--all", "--only-running", "--prevent-running"):
        parser.add_argument(flag, action="store_true")


def _mark_options(parser: argparse.ArgumentParser) -> None:
    _selecting(parser)
    parser.add_argument("--state", required=True, metavar="success|failed|skipped")


def _logs_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", metavar="TASK")
    parser.add_argument("--run", default="", metavar="RUN")
    parser.add_argument("--attempt", type=int, default=None, metavar="N")


def _answer_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", metavar="TASK")
    parser.add_argument("answer", metavar="ANSWER")


def _result_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", metavar="TASK")
    parser.add_argument("name", metavar="NAME", nargs="?", default="")
    parser.add_argument("--inputs", action="store_true")
    parser.add_argument("--run", default="", metavar="RUN")
    parser.add_argument("--attempt", type=int, default=None, metavar="N")


def _diff_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="A")
    parser.add_argument("b", metavar="B", nargs="?", default="")


def _debug_options(parser: argparse.ArgumentParser) -> None:
    _logs_options(parser)
    parser.add_argument("--no-pdb", action="store_true")


def _deploy_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", default="", metavar="NAME")
    parser.add_argument("-p", "--param", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    parser.add_argument("--schedule", action="append", default=[], metavar="SCHEDULE")
    parser.add_argument("--timezone", default=None, metavar="TZ")
    parser.add_argument("--replace", action="store_true")


def _backfill_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dates", metavar="DATE", nargs="*")
    parser.add_argument("--flow", default="", metavar="NAME")
    parser.add_argument("--reprocess", default="none", metavar="none|failed|completed")
    parser.add_argument("--max-active", type=int, default=10, metavar="N")
    parser.add_argument("-p", "--param", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    for flag in ("--reverse", "--ignore-depends-on-past", "--dry-run"):
        parser.add_argument(flag, action="store_true")


def _schedule_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("schedule", metavar="SCHEDULE", nargs="+")
    parser.add_argument("--timezone", default=None, metavar="TZ")


#: In the order of the help text.
VERBS: Final[Mapping[str, Verb]] = {
    "graph": Verb(meaning="the graph, as understood now (also without a verb)", answered_by="here:Here"),
    "run": Verb(
        meaning="run the tasks above this cell: [-p NAME VALUE] [--task T] [--from T] [--fresh] [--background]",
        answered_by="here:Here",
        options=_run_options,
    ),
    "retry": Verb(
        meaning="run tasks again, and what depends on them; without any, what failed: retry [TASK ...] [--code now|run|latest] [--upstream] [--dry-run]",
        answered_by="here:Here",
        options=_retry_options,
        takes_tasks=True,
    ),
    "clear": Verb(
        meaning="put tasks of a run back to not started: clear [TASK ...] [--all] [--upstream] [--downstream] [--past] [--future] [--dry-run]",
        answered_by="changing:Changing",
        options=_clear_options,
        takes_tasks=True,
    ),
    "mark": Verb(
        meaning="give tasks of a run another state: mark TASK ... --state success|failed|skipped [--downstream] [--dry-run]",
        answered_by="changing:Changing",
        options=_mark_options,
        takes_tasks=True,
    ),
    "panel": Verb(
        meaning="the live panel: graph, states, logs, runs to choose from, buttons: panel [RUN]",
        answered_by="panels:Panels",
        options=lambda parser: parser.add_argument("run", metavar="RUN", nargs="?", default=""),
    ),
    "status": Verb(meaning="the last run: every task's state and why", answered_by="history:History"),
    "logs": Verb(
        meaning="what a task showed: logs TASK [--run RUN] [--attempt N]",
        answered_by="history:History",
        options=_logs_options,
        takes_tasks=True,
    ),
    "result": Verb(
        meaning="what a task gave, or was given: result TASK [NAME] [--inputs] [--run RUN] [--attempt N]",
        answered_by="history:History",
        options=_result_options,
        takes_tasks=True,
    ),
    "debug": Verb(
        meaning="the failed task's inputs and frames in this kernel, and the debugger: debug TASK [--run RUN] [--attempt N] [--no-pdb]",
        answered_by="debugging:Debugging",
        options=_debug_options,
        takes_tasks=True,
    ),
    "diff": Verb(
        meaning="which task differed first between two runs, and by what: diff A [B]",
        answered_by="history:History",
        options=_diff_options,
    ),
    "runs": Verb(
        meaning="the newest runs of this flow: [-n N]",
        answered_by="history:History",
        options=lambda parser: parser.add_argument("-n", "--limit", type=int, default=10, metavar="N"),
    ),
    "deploy": Verb(
        meaning="store the saved notebook as a version and schedule it: [--name N] [-p NAME VALUE] [--schedule S] [--timezone TZ] [--replace]",
        answered_by="scheduling:Scheduling",
        options=_deploy_options,
    ),
    "schedule": Verb(
        meaning='deploy the saved notebook to run by itself: schedule "0 2 * * *" [--timezone TZ]',
        answered_by="scheduling:Scheduling",
        options=_schedule_options,
    ),
    "unschedule": Verb(meaning="it runs no more by itself; it stays deployed", answered_by="scheduling:Scheduling"),
    "backfill": Verb(
        meaning="runs for past dates, or without dates how they stand: backfill [FROM TO] [--reprocess failed|completed] [--max-active N] [--dry-run]",
        answered_by="backfilling:Backfilling",
        options=_backfill_options,
    ),
    "assets": Verb(meaning="the assets that tasks update and flows wait for", answered_by="named:Named"),
    "connections": Verb(meaning="the connections that tasks may use, without their secrets", answered_by="named:Named"),
    "variables": Verb(meaning="the variables that tasks may use", answered_by="named:Named"),
    "notifications": Verb(meaning="what people were told of runs, and what could not be sent", answered_by="named:Named"),
    "check": Verb(meaning="everything that would go wrong, without running anything", answered_by="here:Here"),
    "cancel": Verb(
        meaning="cancel the run that is going on, or tasks of it: cancel [TASK ...]",
        answered_by="history:History",
        options=lambda parser: parser.add_argument("task", metavar="TASK", nargs="*"),
        takes_tasks=True,
    ),
    "answer": Verb(
        meaning="answer a task that waits for a person: answer TASK yes, no or one of its choices",
        answered_by="history:History",
        options=_answer_options,
        takes_tasks=True,
    ),
    "forget": Verb(
        meaning="forget the definition of a task: forget TASK",
        answered_by="here:Here",
        options=lambda parser: parser.add_argument("task", metavar="TASK"),
        takes_tasks=True,
    ),
}


class _Parser(argparse.ArgumentParser):
    """Says a mistake as a sentence instead of ending the kernel."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"%nbflow {self.prog}: {message}. Type %nbflow -h to see its options.")


def help_text() -> str:
    """What `%nbflow -h` shows."""
    width = max(map(len, VERBS))
    lines = [f"  %nbflow {verb:<{width}}  {known.meaning}" for verb, known in VERBS.items()]
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
    return VERBS[verb].takes_tasks


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
    VERBS[verb].options(parser)
    return parser
