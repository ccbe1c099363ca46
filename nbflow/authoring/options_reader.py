# SPDX-License-Identifier: BSD-3-Clause
"""Values of task options, read alike from a `%%task` line, the TOML header and `@task(...)`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from enum import Enum
from functools import cache
from typing import Any, Final, get_args, get_type_hints

from nbflow.core.addresses import is_name, is_url
from nbflow.core.assets import asset_name
from nbflow.core.deadlines import read_deadline
from nbflow.core.durations import parse_duration
from nbflow.core.errors import UserError, nearest
from nbflow.core.options import NOT_DEFAULTS, OptionSpec, Takes, TaskKind, TaskOptions, TriggerRule, option_specs


def _later(name: str, takes: Takes, *choices: str) -> OptionSpec:
    return OptionSpec(name=name, flag=name.replace("_", "-"), takes=takes, default=None, help="", metavar="", choices=choices, short="")


#: Options of the design whose behaviour comes later: known and validated, so that a header may already say them.
LATER_OPTIONS: Final = {
    spec.name: spec
    for spec in (
        _later("env", Takes.TEXT),
        _later("local", Takes.FLAG),
    )
}
#: What an option takes, as a sentence ends with it.
_TAKES: Final[Mapping[Takes, str]] = {
    Takes.FLAG: "it takes true or false",
    Takes.INTEGER: "it takes a whole number, 0 or more",
    Takes.COUNT: "it takes a whole number, 1 or more",
    Takes.SIGNED: "it takes a whole number",
    Takes.NUMBER: "it takes a number, 0 or more",
    Takes.DURATION: "it takes a duration such as 30s, 5m, 1h30m or a number of seconds",
    Takes.TEXT: "it takes text",
    Takes.NAMES: "it takes one or more names",
    Takes.PAIRS: "it takes pairs of names such as x=xs",
    Takes.RESOURCES: "it takes pairs such as GPU=1 MEM=4GB",
    Takes.ADDRESSES: "it takes URLs such as mailto://... or json://..., or names of connections",
    Takes.DEADLINE: "it takes a duration such as 45m, or a time of day such as 07:30",
}
#: Operators that look whether something is there, those of them that make a sensor of the task, and those that must be told to.
LOOKING: Final = frozenset({"file", "http", "sql", "time", "flow"})
SENSING: Final = frozenset({"file", "time", "flow"})
_ONLY_LOOKING: Final = frozenset({"http"})
#: Options that only a sensor has. Among defaults for many tasks they may stand: other tasks pass them over.
_OF_SENSORS: Final = ("soft_fail", "never_fail", "silent_fail", "exponential", "max_wait", "poke")
_WORD = re.compile(r"[^\s=]+")
#: The least that options of whole numbers take.
_WHOLE: Final[Mapping[Takes, int | None]] = {Takes.INTEGER: 0, Takes.COUNT: 1, Takes.SIGNED: None}


@cache
def specs_by_name() -> Mapping[str, OptionSpec]:
    """The options that do something, by the name TOML and Python use."""
    return {spec.name: spec for spec in option_specs()}


@cache
def _fields() -> Mapping[str, tuple[str, Any]]:
    """Option name -> its field in TaskOptions (`as` is `as_`) and the default there."""
    return {f.name.rstrip("_"): (f.name, f.default) for f in fields(TaskOptions)}


def field_of(spec: OptionSpec) -> str:
    """The option's field in TaskOptions."""
    return _fields()[spec.name][0]


def default_of(spec: OptionSpec) -> Any:
    """What the option is when nobody says anything."""
    return _fields()[spec.name][1]


def spread(chosen: dict[str, Any]) -> dict[str, Any]:
    """What one option says of another: without a cache there is none for a day either."""
    return {"cache_for": None, **chosen} if chosen.get("cache") is False else chosen


@cache
def _enums() -> Mapping[str, type[Enum]]:
    """Option name -> the enum its value is one of."""
    hints = get_type_hints(TaskOptions)
    found: dict[str, type[Enum]] = {}
    for name, hint in hints.items():
        for candidate in (hint, *get_args(hint)):
            if isinstance(candidate, type) and issubclass(candidate, Enum):
                found[name.rstrip("_")] = candidate
    return found


def read_option(spec: OptionSpec, value: Any) -> Any:
    """`value` as TaskOptions has it: durations are timedeltas, names are tuples. Raises UserError saying what the option takes.

    `value` may be text or words as typed on a line, or what TOML and Python have for it. The sentence names the option by `spec.name`.
    """
    return read_value(spec, value, called=spec.name)


def read_value(spec: OptionSpec, value: Any, *, called: str) -> Any:
    """As `read_option`; the sentence names the option as `called`: `--retries` on a line."""
    try:
        return _read(spec, value)
    except (ValueError, TypeError, UserError):
        shown = "..." if spec.takes is Takes.ADDRESSES else " ".join(map(str, value)) if isinstance(value, list | tuple) else value
        raise UserError(f'{called} cannot be "{shown}": {takes(spec)}.{_hint(spec, value)}') from None


def takes(spec: OptionSpec) -> str:
    """`it takes a whole number, 0 or more`"""
    if spec.takes is Takes.CHOICE:
        return f"it takes one of {', '.join(spec.choices)}"
    if spec.takes is Takes.CHECK:
        return f"it takes {', '.join(spec.choices)}, true or false"
    if spec.takes is Takes.SOME:
        return f"it takes one or more of {', '.join(spec.choices)}"
    return _TAKES[spec.takes]


def _hint(spec: OptionSpec, value: Any) -> str:
    return nearest(str(value), spec.choices) if spec.takes in {Takes.CHOICE, Takes.SOME} else ""


def _read(spec: OptionSpec, value: Any) -> Any:
    if spec.takes in _READERS:
        return _READERS[spec.takes](value)
    if spec.takes is Takes.CHOICE:
        return _choice(spec, value)
    if spec.takes is Takes.CHECK:
        return _check(spec, value)
    if spec.takes is Takes.SOME:
        return tuple(dict.fromkeys(_choice(spec, name) for name in _names(value)))
    if spec.takes in _WHOLE:
        return _whole(value, least=_WHOLE[spec.takes])
    return _number(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    return value


def _names(value: Any) -> tuple[str, ...]:
    words = [value] if isinstance(value, str) else list(value)
    if isinstance(value, Mapping) or not all(isinstance(word, str) for word in words):
        raise TypeError
    names = [name for word in words for name in re.split(r"[,\s]+", word) if name]
    if not names:
        raise ValueError
    return tuple(dict.fromkeys(names))


def _addresses(value: Any) -> tuple[str, ...]:
    words = value.split() if isinstance(value, str) else [word.strip() for word in value]
    if not words or not all(is_url(word) or is_name(word) for word in words):
        raise ValueError
    return tuple(dict.fromkeys(words))


def _deadline(value: Any) -> str:
    text = value if isinstance(value, str) else f"{parse_duration(value).total_seconds():g}s"
    read_deadline(text)
    return text


def _resources(value: Any) -> dict[str, str]:
    if isinstance(value, Mapping):
        pairs = [(str(name), str(amount)) for name, amount in value.items()]
    else:
        words = value.split() if isinstance(value, str) else list(value)
        pairs = [(name, amount) for name, _, amount in (word.partition("=") for word in words)]
    if not pairs or not all(_WORD.fullmatch(name) and _WORD.fullmatch(amount) for name, amount in pairs):
        raise ValueError
    return dict(pairs)


def _pairs(value: Any) -> tuple[tuple[str, str], ...]:
    if isinstance(value, Mapping):
        pairs = [(str(name), str(source)) for name, source in value.items()]
    else:
        words = re.split(r"[,\s]+", value.strip()) if isinstance(value, str) else list(value)
        pairs = [word.partition("=")[::2] if isinstance(word, str) else (str(word[0]), str(word[1])) for word in words]
    names = [name for name, _ in pairs]
    if not pairs or len(set(names)) < len(names) or not all(word.isidentifier() for pair in pairs for word in pair):
        raise ValueError
    return tuple(pairs)


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "false", "yes", "no"}:
        return value.lower() in {"true", "yes"}
    raise ValueError


def _check(spec: OptionSpec, value: Any) -> Any:
    try:
        return _enums()[spec.name](spec.choices[0]) if _flag(value) else default_of(spec)
    except ValueError:
        return _choice(spec, value)


def _choice(spec: OptionSpec, value: Any) -> Any:
    text = str(value.value if isinstance(value, Enum) else value)
    text = text.lower() if isinstance(value, bool) else text
    text = text.replace("_", "-") if text not in spec.choices else text  # Python writes short_circuit
    if text not in spec.choices:
        raise ValueError
    enum = _enums().get(spec.name)
    return enum(text) if enum is not None else text


def _whole(value: Any, *, least: int | None) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError
    if isinstance(value, str) and not re.fullmatch(r"[+-]?\d+", value.strip()):
        raise ValueError
    number = int(value)
    if least is not None and number < least:
        raise ValueError
    return number


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    number = float(value)
    if not 0 <= number < float("inf"):
        raise ValueError
    return number


def make_options(inherited: Mapping[str, Any], own: Mapping[str, Any]) -> TaskOptions:
    """The options of one task: its own before those it inherits. A teardown keeps its own rule unless it says another one itself."""
    chosen = {**inherited, **own}
    if chosen.get("operator") in SENSING and "as_" not in own:
        chosen["as_"] = TaskKind.SENSOR
    if chosen.get("as_") is TaskKind.TEARDOWN and "trigger_rule" not in own:
        chosen["trigger_rule"] = TriggerRule.ALL_DONE_SETUP_SUCCESS
    return TaskOptions(**chosen)


def kind_mistakes(options: TaskOptions, own: Mapping[str, Any], *, fail_fast: bool) -> Iterator[str]:
    """Options of one task that do not go together, a sentence each; `own` are those it says itself."""
    kind, rule = options.as_, options.trigger_rule
    yield from _notify_mistakes(options, own)
    if fail_fast and rule is not TriggerRule.ALL_SUCCESS and kind is not TaskKind.TEARDOWN:
        yield f"This flow has fail_fast, under which every task but a teardown needs the trigger rule all_success, not {rule}."
    yield from _operator_mistakes(options, kind)
    if options.zip and len(options.map) < 2:
        yield "--zip pairs the elements of several --map: write --map x=xs --map y=ys --zip."
    if options.soft_fail and options.never_fail:
        yield "--soft-fail and --never-fail exclude each other: --never-fail skips after any error, --soft-fail when the time is up."
    of_sensors = [name for name in _OF_SENSORS if own.get(name)]
    if of_sensors and kind is not TaskKind.SENSOR and not (of_sensors == ["soft_fail"] and kind is TaskKind.APPROVAL):
        yield f"--{of_sensors[0].replace('_', '-')} is for sensors: add --as sensor."
    if options.default and kind is not TaskKind.APPROVAL:
        yield "--default is the answer of an approval: add --as approval."
    if options.default and options.timeout is None:
        yield "--default needs a --timeout: how long a person has to answer."
    if options.on_failure_fail_run and kind is not TaskKind.TEARDOWN:
        yield "--on-failure-fail-run is for teardowns: any other task fails its run anyway."
    yield from _asset_mistakes(options)


def _asset_mistakes(options: TaskOptions) -> Iterator[str]:
    for flag, names in (("--outlets", options.outlets), ("--inlets", options.inlets)):
        for name in names:
            try:
                asset_name(name)
            except UserError as error:
                yield f"{flag}: {error}"


def _notify_mistakes(options: TaskOptions, own: Mapping[str, Any]) -> Iterator[str]:
    if own.get("notify_on") and not options.notify:
        yield "--notify-on says what the addresses of --notify are told of: add --notify URL."


def _operator_mistakes(options: TaskOptions, kind: TaskKind) -> Iterator[str]:
    if options.operator in _ONLY_LOOKING and kind is not TaskKind.SENSOR:
        yield f"-o {options.operator} looks whether something is there: add --as sensor."
    if options.operator in SENSING and kind is not TaskKind.SENSOR:
        yield f"-o {options.operator} is a sensor, so it cannot be --as {kind.value}."
    if options.operator == "email" and not options.conn:
        yield "-o email needs a mail server: add --conn NAME, and set that with nbflow connections set NAME smtp://LOGIN:PASSWORD@HOST:587."


#: What needs no more than the value.
_READERS: Final[Mapping[Takes, Callable[[Any], Any]]] = {
    Takes.NAMES: _names,
    Takes.RESOURCES: _resources,
    Takes.PAIRS: _pairs,
    Takes.DURATION: parse_duration,
    Takes.FLAG: _flag,
    Takes.TEXT: _text,
    Takes.ADDRESSES: _addresses,
    Takes.DEADLINE: _deadline,
}


#: Options that belong to one task, or to a group as a whole.
OF_GROUPS: Final = frozenset({"map", "zip"})


def read_defaults(
    table: Mapping[str, Any], *, where: str, also: frozenset[str] = frozenset()
) -> tuple[dict[str, Any], list[tuple[str, str, bool]]]:
    """Options for many tasks, as fields of TaskOptions, and what is wrong: (key, sentence, is only a warning).

    `where` names the table in sentences: `[defaults]`. `also`: fields that may stand there although they are no defaults.
    """
    chosen: dict[str, Any] = {}
    wrong: list[tuple[str, str, bool]] = []
    known = specs_by_name()
    for key, value in table.items():
        name = key.replace("-", "_")
        spec = known.get(name) or LATER_OPTIONS.get(name)
        if spec is None:
            wrong.append((key, f'"{key}" is not an option of a task.{nearest(name, default_names())}', False))
            continue
        if name in known and field_of(spec) in NOT_DEFAULTS - also:
            wrong.append(
                (key, f'"{key}" belongs to one task, so it cannot stand in {where}: write --{spec.flag} on its %%task line.', False)
            )
            continue
        try:
            read = read_option(spec, value)
        except UserError as error:
            wrong.append((key, str(error), False))
            continue
        if name in known:
            chosen[field_of(spec)] = read
        else:
            wrong.append((key, f'"{key}" has no effect in this version of nbflow.', True))
    return spread(chosen), wrong


def default_names() -> Iterable[str]:
    """The options that may be a default for many tasks."""
    return [name for name, spec in specs_by_name().items() if field_of(spec) not in NOT_DEFAULTS] + list(LATER_OPTIONS)
