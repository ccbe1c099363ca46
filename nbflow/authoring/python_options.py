# SPDX-License-Identifier: BSD-3-Clause
"""The options of `@task(...)` and `@flow(...)`: those of `%%task` and `%%flow`, under the same names, with Python's own values."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Any, Final, TypedDict

from nbflow.authoring.header import Header, read_table
from nbflow.authoring.options_reader import LATER_OPTIONS, default_of, field_of, read_value, specs_by_name, spread
from nbflow.core.context import Context
from nbflow.core.errors import UserError, nearest
from nbflow.core.happenings import Kind

Duration = str | float | timedelta
Names = str | Iterable[Any]
#: A function that is called when something happens, or several.
Callback = Callable[..., Any] | Iterable[Callable[..., Any]]

#: Options of cells that a function says otherwise.
ELSEWHERE: Final[Mapping[str, str]] = {
    "reads": "pass what it reads as an argument",
    "writes": "return what it gives",
    "map": "call it as NAME.expand(x=...)",
    "zip": "call it as NAME.expand(pair=xs.zip(ys))",
    "out": "its result is what it returns",
    "run": "call run() of the flow",
}


class TaskKeywords(TypedDict, total=False):
    """What `@task(...)`, `.override(...)` and `group(...)` take: every option of `%%task` that is not an argument or a result in Python."""

    task_id: str
    multiple_outputs: bool
    after: Names
    retries: int
    retry_delay: Duration
    backoff: float
    max_retry_delay: Duration | None
    retry_on: Names | type[BaseException]
    no_retry_on: Names | type[BaseException]
    infra_retries: int
    timeout: Duration | None
    on_failure: str | Callback
    on_execute: Callback
    on_retry: Callback
    on_success: Callback
    on_skipped: Callback
    trigger_rule: str
    as_: str
    conn: str
    pool: str
    slots: int
    ignore_downstream_trigger_rules: bool
    on_failure_fail_run: bool
    poke: Duration
    exponential: bool
    max_wait: Duration | None
    soft_fail: bool
    never_fail: bool
    silent_fail: bool
    default: str
    priority: int
    weight_rule: str
    max_active: int | None
    max_active_per_run: int | None
    depends_on_past: bool | str | Callable[[Context], Any]
    wait_for_downstream: bool
    ignore_first_depends_on_past: bool
    wait_for_past_depends_before_skipping: bool
    cache: bool
    cache_for: Duration | None
    unless_exists: str
    outlets: Names
    inlets: Names
    resources: Mapping[str, Any] | str
    escalate: Mapping[str, Any] | str
    operator: str
    owner: str
    deadline: Duration
    notify: Names
    notify_on: Names
    doc: str


def split_callbacks(
    keywords: Mapping[str, Any], known: Mapping[str, Kind], called: str
) -> tuple[dict[str, Any], dict[str, tuple[Callable[..., Any], ...]]]:
    """The other keywords, and the functions that are called when something happens, by what. Raises UserError for what is no function."""
    rest = dict(keywords)
    found: dict[str, tuple[Callable[..., Any], ...]] = {}
    for keyword, kind in known.items():
        value = rest.get(keyword)
        if keyword not in rest or (keyword == "on_failure" and isinstance(value, str)):  # fail, skip or last-good
            continue
        del rest[keyword]
        several: tuple[Any, ...] = tuple(value) if isinstance(value, list | tuple) else () if value is None else (value,)
        for one in several:
            if not callable(one) or isinstance(one, type):
                raise UserError(
                    f"{called}: {keyword} cannot be {one!r:.60}: it takes a function, or a list of functions, such as {keyword}=tell."
                )
            _check_callback(one, keyword, called)
        if several:
            found[kind.value] = tuple(getattr(one, "function", one) for one in several)
    return rest, found


def names_of(callbacks: Mapping[str, tuple[Callable[..., Any], ...]]) -> dict[str, tuple[str, ...]]:
    """As a flow keeps them."""
    return {kind: tuple(getattr(one, "__name__", type(one).__name__) for one in functions) for kind, functions in callbacks.items()}


def _check_callback(function: Callable[..., Any], keyword: str, called: str) -> None:
    try:
        needed = [
            name
            for name, parameter in inspect.signature(function).parameters.items()
            if parameter.default is parameter.empty and parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
        ]
    except (TypeError, ValueError):  # of C
        return
    if len(needed) > 1:
        name = getattr(function, "__name__", "it")
        raise UserError(f"{called}: {keyword} calls {name} with one argument, what happened, but {name} needs {', '.join(needed)}.")


#: Those that are not options of `%%task`.
OWN: Final = frozenset({"task_id", "multiple_outputs"})


def read_task_options(given: Mapping[str, Any], called: str) -> dict[str, Any]:
    """Fields of TaskOptions. `called` names the task or the decorator in sentences. Raises UserError for the first that is wrong."""
    chosen: dict[str, Any] = {}
    known = specs_by_name()
    for keyword, value in given.items():
        name = keyword.rstrip("_")
        if name in ELSEWHERE:
            raise UserError(f"{called}: {keyword} is an option of cells; of a function, {ELSEWHERE[name]}.")
        if name not in known:
            if name in LATER_OPTIONS:
                raise UserError(f"{called}: {keyword} is not in this version of nbflow yet: leave it out.")
            raise UserError(f'{called}: there is no option "{keyword}".{nearest(name, task_keywords())}')
        spec = known[name]
        if value is None or (name == "as" and str(value) == ""):
            chosen[field_of(spec)] = default_of(spec)
            continue
        if name == "depends_on_past" and callable(value):
            chosen[name] = value  # asked once for each run
            continue
        try:
            chosen[field_of(spec)] = read_value(spec, _plain(value), called=keyword)
        except UserError as error:
            raise UserError(f"{called}: {error}") from None
    return spread(chosen)


def task_keywords() -> tuple[str, ...]:
    """Every keyword that `@task` takes."""
    return tuple(TaskKeywords.__annotations__)


def _plain(value: Any) -> Any:
    """What a person may write in Python, as TOML has it: exceptions, tasks and groups by name, sets as lists."""
    if isinstance(value, type) and issubclass(value, BaseException):
        return value.__name__ if value.__module__ == "__main__" else f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, Enum):
        return value.value
    name = getattr(value, "task_id", None) or (getattr(value, "name", None) if hasattr(value, "set_upstream") else None)
    if isinstance(name, str):
        return name
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value


def read_flow_options(given: Mapping[str, Any], called: str) -> Header:
    """As a `%%flow` header with these keys. Raises UserError for the first that is wrong."""
    document = {key: _toml(key, value) for key, value in given.items() if value is not None}
    zone = _zone(given.get("start_date"))
    if zone and "timezone" not in document:
        document["timezone"] = zone
    header = read_table(document)
    errors = [problem for problem in header.problems if problem.severity == "error"]
    if errors:
        raise UserError(f"{called}: {errors[0].message.replace('a %%flow header', '@flow(...)')}")
    return header


def _toml(key: str, value: Any) -> Any:
    """The value as TOML has it: durations in seconds, an interval as a schedule, sets and tuples as lists."""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        return f"every {seconds:g}s" if key == "schedule" else seconds
    if isinstance(value, datetime | date):
        return value.isoformat()
    if key == "timezone" and not isinstance(value, str):
        return _zone_name(value) or str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(name): _toml(str(name), inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_toml("", inner) for inner in value]
    return value


def _zone(start: Any) -> str:
    """The zone of an aware start date, when it has a name."""
    return _zone_name(start.tzinfo) if isinstance(start, datetime) and start.tzinfo is not None else ""


def _zone_name(zone: Any) -> str:
    name = getattr(zone, "key", None) or getattr(zone, "name", None) or getattr(zone, "zone", None)
    return name if isinstance(name, str) and ("/" in name or name == "UTC") else ""
