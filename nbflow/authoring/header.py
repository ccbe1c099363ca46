# SPDX-License-Identifier: BSD-3-Clause
"""The `%%flow NAME` header: TOML that says what holds for the flow and for many tasks. Every key is known; a wrong one names its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from nbflow.authoring import header_values as values
from nbflow.authoring.options_reader import OF_GROUPS, default_names, read_defaults
from nbflow.authoring.toml_lines import lines_of
from nbflow.core.errors import Problem, UserError, nearest
from nbflow.core.ids import FlowName, flow_name
from nbflow.core.model import FlowOptions
from nbflow.core.notices import KEYS

_FIRST = re.compile(r"\A\s*%%flow\b[ \t]*(?P<name>[^\n]*)(?:\n|\Z)")
_AT_LINE = re.compile(r"\s*\(at line (\d+), column \d+\)|\s*\(at end of document\)")
_CODE: Final = "header"

#: Keys of the flow itself: field of FlowOptions, reader.
_FLOW_KEYS: Final[Mapping[str, values.Reader]] = {
    "description": values.text,
    "run_timeout": values.duration,
    "fail_fast": values.flag,
    "fail_on": values.one_of("leaf", "any"),
    "max_active_tasks": values.count,
    "max_active_tasks_per_run": values.count,
    "tags": values.names,
    "owner": values.text,
    "doc": values.text,
    "cluster": values.cluster,
}
#: Keys of its schedule, kept in FlowOptions.schedule.
_SCHEDULE_KEYS: Final[Mapping[str, values.Reader]] = {
    "schedule": values.schedule,
    "schedule_kind": values.one_of("tick", "interval"),
    "timezone": values.timezone,
    "start_date": values.instant,
    "end_date": values.instant,
    "catchup": values.catchup,
    "max_active_runs": values.count,
    "on_overlap": values.one_of("queue", "skip", "cancel_previous"),
    "deadline": values.deadline,
    "late_start": values.duration_text,
    "on": values.names,
    "assets": values.text,
    "max_consecutive_failed_runs": values.count,
}
_NOTIFY_KEYS: Final[Mapping[str, values.Reader]] = {
    **dict.fromkeys(KEYS, values.addresses),
    "skips_over": values.skips,
    "escalate": values.escalation,
}
_PARAM_KEYS: Final[Mapping[str, values.Reader]] = {
    "type": values.text,
    "help": values.text,
    "minimum": values.number,
    "maximum": values.number,
    "choices": values.choices,
}
#: Options whose value is a table, not a group.
_VALUES: Final = frozenset({"resources", "escalate", "map"})
_TABLES: Final = ("defaults", "groups", "notify", "params")


@dataclass
class Header:
    """A header, as far as it could be read."""

    name: FlowName | None = None
    options: FlowOptions = field(default_factory=FlowOptions)
    #: Fields of TaskOptions for every task of every flow, which the installation says.
    installation: dict[str, Any] = field(default_factory=dict)
    #: Fields of TaskOptions for every task.
    defaults: dict[str, Any] = field(default_factory=dict)
    #: Group -> fields of TaskOptions for its tasks.
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Parameter -> type, help, minimum, maximum, choices.
    params: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    #: Line of the cell where each group or parameter is declared.
    lines: dict[tuple[str, ...], int] = field(default_factory=dict)

    def mapped_group(self, task: str) -> str:
        """The group mapped as a whole that this task stands in; "" when there is none."""
        return next((group for group, options in self.groups.items() if "map" in options and task.startswith(group + ".")), "")

    def for_task(self, task: str) -> dict[str, Any]:
        """What holds for this task unless it says otherwise: the installation's, the header's defaults, its groups from the outside in."""
        chosen = self.installation | self.defaults
        parts = task.split(".")[:-1]
        for depth in range(1, len(parts) + 1):
            chosen |= self.groups.get(".".join(parts[:depth]), {})
        return chosen

    def under(self, installation: Mapping[str, Any]) -> Header:
        """The header in an installation that has these options for every task, as `[defaults]` of `nbflow.toml` writes them."""
        if not installation:
            return self
        options = replace(self.options, installation=dict(installation))
        return replace(self, installation=read_defaults(installation, where="[defaults]")[0], options=options)


def place_of_key(sources: Sequence[str], key: str) -> tuple[int, int]:
    """The cell of the header and its line where this key stands, both from 1; zeros where there is no header."""
    for number, source in enumerate(sources, start=1):
        if _FIRST.match(source):
            return number, read_header(source).lines.get((key,), 0)
    return 0, 0


def read_header(source: str, cell: int = 0) -> Header:
    """The header of a `%%flow` cell (the whole cell as typed). What is wrong stands in its `problems`, with the line of the cell."""
    header = Header()
    reader = _Reader(header, cell)
    found = _FIRST.match(source)
    name, body = (found["name"].strip(), source[found.end() :]) if found else ("", source)
    offset = source[: found.end()].count("\n") if found else 0
    if found and name:
        try:
            header.name = flow_name(name)
        except UserError as error:
            reader.wrong(str(error), line=max(offset, 1))
    try:
        document = tomllib.loads(body)
    except tomllib.TOMLDecodeError as error:
        reader.wrong(_toml_sentence(error), line=_toml_line(error, body) + offset)
        return header
    header.lines = {path: line + offset for path, line in lines_of(body).items()}
    reader.read(document)
    return header


def read_table(document: Mapping[str, Any]) -> Header:
    """The header that this table says, as `@flow(...)` gives it; what is wrong stands in its `problems`."""
    header = Header()
    _Reader(header, cell=0).read(document)
    return header


def read_schedule_table(document: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a schedule, checked and as JSON gives them back. Raises UserError for the first that is wrong."""
    unknown = next((key for key in document if key not in _SCHEDULE_KEYS), None)
    if unknown is not None:
        hint = nearest(unknown, _SCHEDULE_KEYS) or f" It knows {', '.join(_SCHEDULE_KEYS)}."
        raise UserError(f'There is no key "{unknown}" of a schedule.{hint}')
    header = read_table(document)
    for problem in header.problems:
        raise UserError(problem.message)
    return dict(header.options.schedule)


def split_defaults(document: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """`[defaults]` of an installation: keys of a schedule, checked, and options of tasks as they are written. Raises UserError for the first mistake."""
    schedule = {key: value for key, value in document.items() if key in _SCHEDULE_KEYS}
    tasks = {key: value for key, value in document.items() if key not in _SCHEDULE_KEYS}
    _, wrong = read_defaults(tasks, where="[defaults]")
    for key, sentence, _ in wrong:
        if "is not an option of a task" in sentence:
            hint = nearest(key, [*_SCHEDULE_KEYS, *default_names()]) or f" Keys of a schedule are {', '.join(_SCHEDULE_KEYS)}."
            raise UserError(f'"{key}" is neither a key of a schedule nor an option of a task.{hint}')
        raise UserError(sentence)
    return read_schedule_table(schedule), tasks


def read_notify_table(document: Mapping[str, Any]) -> dict[str, Any]:
    """A table [notify], checked and as JSON gives it back. Raises UserError for the first that is wrong."""
    header = read_table({"notify": dict(document)})
    for problem in header.problems:
        raise UserError(problem.message)
    return dict(header.options.schedule.get("notify", {}))


def _toml_sentence(error: tomllib.TOMLDecodeError) -> str:
    told = _AT_LINE.sub("", str(error))
    return f'The header is not TOML: {told[:1].lower()}{told[1:]}. Text stands in quotation marks: owner = "me".'


def _toml_line(error: tomllib.TOMLDecodeError, body: str) -> int:
    found = re.search(r"at line (\d+)", str(error))
    return int(found[1]) if found else len(body.rstrip().splitlines())


class _Reader:
    """Fills a Header from a TOML document, noting every mistake."""

    def __init__(self, header: Header, cell: int) -> None:
        self._header, self._cell = header, cell

    def wrong(self, message: str, *, line: int = 0, warning: bool = False) -> None:
        severity = "warning" if warning else "error"
        self._header.problems.append(Problem(cell=self._cell, line=line, message=message, code=_CODE, severity=severity))

    def read(self, document: Mapping[str, Any]) -> None:
        own: dict[str, Any] = {}
        schedule: dict[str, Any] = {}
        for key, value in document.items():
            if key in _FLOW_KEYS:
                self._value((key,), value, _FLOW_KEYS[key], own)
            elif key in _SCHEDULE_KEYS:
                self._value((key,), value, _SCHEDULE_KEYS[key], schedule)
            elif key in _TABLES:
                self._table(key, value, schedule)
            else:
                self.wrong(f'There is no key "{key}" in a %%flow header.{_near_key(key)}', line=self._line(key))
        self._check_dates(schedule)
        kept = {key: list(value) if isinstance(value, tuple) else value for key, value in schedule.items()}  # as JSON gives it back
        self._header.options = FlowOptions(**own, schedule=kept)

    def _line(self, *path: str) -> int:
        return self._header.lines.get(path, 0)

    def _value(self, path: tuple[str, ...], value: Any, read: values.Reader, into: dict[str, Any]) -> None:
        try:
            into[path[-1]] = read(value)
        except UserError as error:
            self.wrong(f"{'.'.join(path)} {error}", line=self._line(*path))

    def _check_dates(self, schedule: Mapping[str, Any]) -> None:
        if not schedule:
            return
        from nbflow.authoring.schedules import read_schedule  # noqa: PLC0415 - only headers with a schedule need croniter

        try:
            read_schedule(schedule)
        except UserError as error:
            key = str(error).partition(" ")[0]
            self.wrong(str(error), line=self._line(key))

    def _table(self, key: str, table: Any, schedule: dict[str, Any]) -> None:
        if not isinstance(table, dict):
            self.wrong(f"{key} is a table: write [{key}] on a line of its own.", line=self._line(key))
        elif key == "defaults":
            self._header.defaults = self._options(("defaults",), table)
        elif key == "groups":
            self._groups(table)
        elif key == "params":
            self._params(table)
        else:
            self._notify(table, schedule)

    def _options(self, path: tuple[str, ...], table: Mapping[str, Any], also: frozenset[str] = frozenset()) -> dict[str, Any]:
        chosen, wrong = read_defaults(table, where=f"[{'.'.join(path)}]", also=also)
        for key, sentence, is_warning in wrong:
            self.wrong(sentence, line=self._line(*path, key), warning=is_warning)
        return chosen

    def _groups(self, table: Mapping[str, Any], path: tuple[str, ...] = ()) -> None:
        """`[groups.etl]`, `[groups.etl.load]` and `[groups."etl.load"]`: a table inside a group is a group inside it, unless it is a value."""
        for name, inner in table.items():
            here = (*path, name)
            if not isinstance(inner, dict):
                self.wrong(f"groups.{'.'.join(here)} is a table: write [groups.{'.'.join(here)}].", line=self._line("groups", *here))
                continue
            inside = {key: value for key, value in inner.items() if isinstance(value, dict) and key not in _VALUES}
            own = {key: value for key, value in inner.items() if key not in inside}
            group = ".".join(here)
            self._header.groups[group] = self._header.groups.get(group, {}) | self._options(("groups", *here), own, also=OF_GROUPS)
            self._check_mapped(group, here)
            self._groups(inside, here)

    def _check_mapped(self, group: str, path: tuple[str, ...]) -> None:
        mapped = [other for other in self._header.groups if "map" in self._header.groups[other]]
        outer = [other for other in mapped if group.startswith(other + ".") and group in mapped]
        if outer:
            self.wrong(
                f"Group {group} stands in group {outer[0]}, and both are mapped: map one of them.", line=self._line("groups", *path, "map")
            )
        options = self._header.groups[group]
        if options.get("zip") and len(options.get("map", ())) < 2:
            self.wrong('zip pairs the elements of several: write map = {x = "xs", y = "ys"}.', line=self._line("groups", *path, "zip"))

    def _params(self, table: Mapping[str, Any]) -> None:
        for name, declared in table.items():
            if not isinstance(declared, dict):
                self.wrong(f"params.{name} is a table: write [params.{name}].", line=self._line("params", name))
                continue
            read = self._header.params[name] = dict[str, Any]()
            self._known("params." + name, ("params", name), declared, _PARAM_KEYS, read)
            if read.get("minimum", 0) > read.get("maximum", float("inf")) and {"minimum", "maximum"} <= set(read):
                self.wrong(f"params.{name}: minimum is greater than maximum.", line=self._line("params", name, "minimum"))

    def _notify(self, table: Mapping[str, Any], schedule: dict[str, Any]) -> None:
        read: dict[str, Any] = {}
        self._known("notify", ("notify",), table, _NOTIFY_KEYS, read)
        if read:
            schedule["notify"] = {key: list(value) if isinstance(value, tuple) else value for key, value in read.items()}

    def _known(
        self, table: str, path: tuple[str, ...], given: Mapping[str, Any], known: Mapping[str, values.Reader], into: dict[str, Any]
    ) -> None:
        for key, value in given.items():
            if key in known:
                self._value((*path, key), value, known[key], into)
            else:
                hint = nearest(key, known) or f" It knows {', '.join(known)}."
                self.wrong(f'There is no key "{key}" in [{table}].{hint}', line=self._line(*path, key))


def _near_key(key: str) -> str:
    hint = nearest(key, [*_FLOW_KEYS, *_SCHEDULE_KEYS, *_TABLES])
    if hint:
        return hint
    _, wrong = read_defaults({key: ""}, where="")
    is_option = not any("is not an option" in sentence for _, sentence, _ in wrong)
    return " It is an option of tasks: put it under [defaults]." if is_option else ""
