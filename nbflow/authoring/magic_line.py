# SPDX-License-Identifier: BSD-3-Clause
"""The `%%task NAME [options]` line: read, explained and completed."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any, Final

from nbflow.authoring.options_reader import LATER_OPTIONS, default_of, field_of, read_value, spread
from nbflow.core.errors import UserError, nearest
from nbflow.core.ids import TaskId, task_id
from nbflow.core.options import OptionSpec, Takes, option_specs

MAGIC: Final = "%%task"
_USAGE: Final = "write %%task NAME [options]"
_WIDTH: Final = 100
#: Options whose words go on until the next option; said twice, both count.
_SEVERAL: Final = frozenset({Takes.NAMES, Takes.RESOURCES, Takes.PAIRS, Takes.ADDRESSES, Takes.SOME})


@dataclass
class TaskLine:
    """One line, as far as it could be read."""

    id: TaskId | None = None
    #: Fields of TaskOptions the line sets.
    overrides: dict[str, Any] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Flag:
    """A word such as `--retries`, `--no-timeout` or `-o`."""

    spec: OptionSpec
    #: It undoes a default and takes no value.
    undoes: bool = False

    @property
    def is_bare(self) -> bool:
        return self.undoes or self.spec.takes is Takes.FLAG


@cache
def _flags() -> Mapping[str, _Flag]:
    undoing = {f"--no-{spec.flag}": _Flag(spec, undoes=True) for spec in option_specs()}
    plain = {f"--{spec.flag}": _Flag(spec) for spec in option_specs()}
    short = {f"-{spec.short}": _Flag(spec) for spec in option_specs() if spec.short}
    return {**undoing, **plain, **short}  # --no-retry-on is an option of its own


def parse_task_line(line: str) -> tuple[TaskId, dict[str, Any]]:
    """The task's id and the fields of TaskOptions the line sets; `line` may begin with `%%task`. Raises UserError with every mistake."""
    read = read_task_line(line)
    if read.mistakes or read.id is None:
        raise UserError(" ".join(read.mistakes))
    return read.id, read.overrides


def read_task_line(line: str) -> TaskLine:
    """As `parse_task_line`, with the mistakes in the result."""
    read = TaskLine()
    try:
        words = shlex.split(_without_comment(line.strip().removeprefix(MAGIC)))
    except ValueError:
        read.mistakes.append(f"A quotation mark is missing in: {line.strip()}")
        return read
    names, groups = _grouped(words)
    _read_name(names, read)
    for flag, values in groups:
        _read_flag(flag, values, read)
    read.overrides = spread(read.overrides)
    return read


def _without_comment(line: str) -> str:
    """Without ` # ...`, unless it stands in quotation marks."""
    quote = ""
    for place, character in enumerate(line):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "#" and (place == 0 or line[place - 1].isspace()):
            return line[:place]
    return line


def _grouped(words: list[str]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """The words that belong to no flag, and each flag with its words."""
    names: list[str] = []
    groups: list[tuple[str, list[str]]] = []
    open_flag = False
    for word in words:
        if _is_flag(word):
            flag, equals, value = word.partition("=")
            groups.append((flag, [value] if equals else []))
            open_flag = not equals
        elif open_flag and _takes_another(groups[-1], word):
            groups[-1][1].append(word)
        else:
            names.append(word)
    return names, groups


def _is_flag(word: str) -> bool:
    return word.startswith("-") and not word.lstrip("-")[:1].isdigit() and word.strip("-") != ""


def _takes_another(group: tuple[str, list[str]], word: str) -> bool:
    flag, values = group
    found = _flags().get(flag)
    if found is None:
        return True  # an unknown option swallows its words, so that they make no second mistake
    if found.is_bare:
        return False
    if found.spec.takes is Takes.CHECK:
        return word in found.spec.choices and not values
    return found.spec.takes in _SEVERAL or not values


def _read_name(names: list[str], read: TaskLine) -> None:
    if not names:
        read.mistakes.append(f"The task has no name: {_USAGE}.")
        return
    try:
        read.id = task_id(names[0])
    except UserError as error:
        read.mistakes.append(str(error))
    if len(names) > 1:
        read.mistakes.append(f'"{names[1]}" belongs to no option: {_USAGE}.')


def _read_flag(word: str, values: list[str], read: TaskLine) -> None:
    flag = _flags().get(word)
    if flag is None:
        read.mistakes.append(_unknown(word))
        return
    name = field_of(flag.spec)
    if flag.undoes:
        read.overrides[name] = _undone(flag.spec)
        if values:
            read.mistakes.append(f"{word} takes no value.")
        return
    if flag.spec.takes is Takes.FLAG or flag.spec.takes is Takes.CHECK:
        _read(flag.spec, word, values[0] if values else True, read)
    elif not values:
        read.mistakes.append(f"{word} needs a value: {word} {flag.spec.metavar}.")
    elif flag.spec.takes in _SEVERAL:
        before = read.overrides.get(name)
        if before and flag.spec.takes is Takes.PAIRS:
            values = [*("=".join(pair) for pair in before), *values]  # read together, so that a name bound twice is seen
        _read(flag.spec, word, values, read)
        if before:  # said twice: both count
            now = read.overrides[name]
            read.overrides[name] = {**before, **now} if isinstance(now, dict) else tuple(dict.fromkeys([*before, *now]))
    else:
        _read(flag.spec, word, values[0], read)


def _undone(spec: OptionSpec) -> Any:
    """What `--no-` says: false, or as if nobody had said anything."""
    if spec.takes is Takes.FLAG:
        return False
    return dict(default_of(spec)) if spec.takes is Takes.RESOURCES else default_of(spec)


def _read(spec: OptionSpec, word: str, value: Any, read: TaskLine) -> None:
    try:
        read.overrides[field_of(spec)] = read_value(spec, value, called=word)
    except UserError as error:
        read.mistakes.append(str(error))


def _unknown(word: str) -> str:
    name = word.lstrip("-").replace("-", "_")
    if name in LATER_OPTIONS or name.removeprefix("no_") in LATER_OPTIONS:
        return f"{word} is not in this version of nbflow yet: leave it out."
    known = [flag for flag in _flags() if flag.startswith("--")]
    hint = nearest("--" + name.replace("_", "-"), known) or " Type %%task -h to see all options."
    return f'There is no option "{word}".{hint}'


# --- help and completion ------------------------------------------------------------------------------------------------


def help_text() -> str:
    """What `%%task?` and `%%task -h` show."""
    rows = [(_written(spec), _meaning(spec)) for spec in option_specs()]
    width = max(len(left) for left, _ in rows)
    lines = ["%%task NAME [options]: this cell is a task of the flow.", ""]
    lines += ["A dot in the name is a group: download.main. What the task waits for is found from its variables.", ""]
    for left, right in rows:
        lines += textwrap.wrap(right, _WIDTH, initial_indent=f"  {left:<{width}}  ", subsequent_indent=" " * (width + 4))
    lines += ["", "Each option has a --no- form that undoes a default: --no-timeout.", "Durations: 30s, 5m, 1h30m, PT5M or seconds."]
    return "\n".join(lines)


def _written(spec: OptionSpec) -> str:
    several = "..." if spec.takes in _SEVERAL else ""
    short = f"-{spec.short}, " if spec.short else ""
    return f"{short}--{spec.flag} {spec.metavar}{several}".rstrip()


def _meaning(spec: OptionSpec) -> str:
    return f"{spec.help} ({', '.join(spec.choices)})" if spec.choices else spec.help


def complete(
    line: str,
    tasks: Iterable[str] = (),
    *,
    named: Mapping[str, Callable[[], Iterable[str]]] = MappingProxyType({}),
    cursor: int | None = None,
) -> list[str]:
    """Words that may stand at the cursor (default: the end of the line): options, their choices, `tasks` after `--after`.

    `named` gives the names there are of what an option names: `pool`, `conn`.
    """
    text = line[: len(line) if cursor is None else cursor]
    words = text.removeprefix(MAGIC).split()
    typed = words.pop() if words and not text[-1:].isspace() else ""
    last = next((word for word in reversed(words) if _is_flag(word)), "")
    flag = _flags().get(last)
    pending = flag is not None and not flag.is_bare and (words[-1] == last or flag.spec.takes is Takes.NAMES)
    if flag is not None and pending and not typed.startswith("-"):
        names = {"after": lambda: tasks, **named}.get(flag.spec.name, lambda: flag.spec.choices)
        candidates = list(names())
    elif not words and not typed.startswith("-"):
        candidates = []  # the name is the person's own
    else:
        candidates = [word for word in _flags() if word.startswith("--") and (typed.startswith("--no") or not word.startswith("--no-"))]
        candidates += [f"--{spec.flag}" for spec in option_specs() if spec.flag.startswith("no-") and f"--{spec.flag}" not in candidates]
    return sorted(word for word in candidates if word.startswith(typed))
