# SPDX-License-Identifier: BSD-3-Clause
"""What the values of a `%%flow` header may be. Each reader returns the value or raises UserError with the rest of a sentence ("must be ...")."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

from nbflow.core.adapting import read_bounds
from nbflow.core.addresses import is_name, is_url
from nbflow.core.deadlines import read_deadline
from nbflow.core.durations import parse_duration
from nbflow.core.errors import UserError, nearest
from nbflow.core.notices import read_skips

Reader = Callable[[Any], Any]


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise UserError(f"must be text in quotation marks, not {_shown(value)}.")
    return value


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise UserError(f"must be true or false, not {_shown(value)}.")
    return value


def count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"must be a whole number, 1 or more, not {_shown(value)}.")
    return value


def number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise UserError(f"must be a number, not {_shown(value)}.")
    return value


def duration(value: Any) -> timedelta:
    """Raises UserError for a duration of nothing as well."""
    try:
        found = parse_duration(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else timedelta()
    except UserError:
        found = timedelta()
    if not found:
        raise UserError(f'must be a duration such as "45m", "2h" or a number of seconds, not {_shown(value)}.')
    return found


def duration_text(value: Any) -> str:
    """As `duration`, kept as written."""
    duration(value)
    return str(value)


def deadline(value: Any) -> str:
    """So long after a run was due, or a time of day; kept as written."""
    text = value if isinstance(value, str) else f"{value:g}s" if isinstance(value, int | float) and not isinstance(value, bool) else ""
    try:
        read_deadline(text)
    except UserError:
        raise UserError(f'must be a duration such as "45m", or a time of day such as "07:30", not {_shown(value)}.') from None
    return text


def addresses(value: Any) -> tuple[str, ...]:
    """A list of URLs and names of connections, or one. What is wrong is not repeated: it may be a secret."""
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise UserError('must be a list of addresses such as ["ops-mail", "mailto://..."].')
    for place, word in enumerate(words, 1):
        if not is_url(word) and not is_name(word):
            which = f"address {place}" if len(words) > 1 else "the address"
            raise UserError(f'must hold URLs such as "mailto://..." and names of connections: {which} is neither.')
    return tuple(words)


def skips(value: Any) -> str:
    read_skips(text(value))
    return str(value)


def escalation(value: Any) -> dict[str, Any]:
    """`{after = "30m", to = [...]}`"""
    if not isinstance(value, dict) or set(value) != {"after", "to"}:
        raise UserError('must be a table such as {after = "30m", to = ["mailto://..."]}.')
    try:
        after, to = duration_text(value["after"]), addresses(value["to"])
    except UserError as error:
        raise UserError(f'must be a table such as {{after = "30m", to = ["mailto://..."]}}: in this one, something {error}') from None
    return {"after": after, "to": list(to)}


def names(value: Any) -> tuple[str, ...]:
    """A list of texts, or one."""
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise UserError(f'must be a list of texts such as ["a", "b"], not {_shown(value)}.')
    return tuple(words)


def cluster(value: Any) -> dict[str, Any]:
    """A Dask cluster class with its arguments."""
    if not isinstance(value, dict):
        raise UserError('is a table: write [cluster] and below it cluster = "dask.distributed.LocalCluster".')
    known = ("cluster", "arguments", "adapt")
    unknown = next((key for key in value if key not in known), None)
    if unknown is not None:
        raise UserError(f'has no key "{unknown}".{nearest(unknown, known) or f" It knows {_or(known)}."}')
    name = value.get("cluster")
    if not isinstance(name, str) or "." not in name:
        raise UserError('needs a Dask cluster class, such as cluster = "dask.distributed.LocalCluster".')
    if not isinstance(value.get("arguments", {}), dict):
        raise UserError(f"must have a table as its arguments, such as {{n_workers = 2}}, not {_shown(value['arguments'])}.")
    if "adapt" not in value:
        return dict(value)
    try:
        bounds = [one.written() for one in read_bounds(value["adapt"])]
    except ValueError as error:
        raise UserError(f"cannot be so: {error}.") from None
    return {**value, "adapt": bounds if len(bounds) > 1 else bounds[0]}


def choices(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list) or not value:
        raise UserError(f"must be a list of the values allowed, not {_shown(value)}.")
    return tuple(value)


def one_of(*words: str) -> Reader:
    """A reader that takes one of these words."""

    def read(value: Any) -> str:
        if value not in words:
            raise UserError(f"must be {_or(words)}, not {_shown(value)}.{nearest(str(value), words)}")
        return str(value)

    return read


def catchup(value: Any) -> str | int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    words = ("latest", "all", "none")
    if value not in words:
        raise UserError(f"must be {_or(words)} or a number of runs, not {_shown(value)}.{nearest(str(value), words)}")
    return str(value)


def timezone(value: Any) -> str:
    from zoneinfo import ZoneInfo, available_timezones  # noqa: PLC0415 - only headers with a time zone need it

    try:
        ZoneInfo(text(value))
    except (OSError, ValueError, LookupError):
        hint = nearest(str(value), available_timezones())
        raise UserError(f"must be a time zone such as Europe/Zurich or UTC, not {_shown(value)}.{hint}") from None
    return str(value)


def instant(value: Any) -> str:
    """A date or an instant, as ISO text: what TOML knows as a date, or text of that form."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    if not isinstance(found, date):
        raise UserError(f"must be a date such as 2026-01-01 or 2026-01-01T03:00:00, not {_shown(value)}.")
    return value if isinstance(value, str) else found.isoformat()


def schedule(value: Any) -> str | tuple[str, ...]:
    """One schedule, or a list of crons."""
    from nbflow.authoring.schedules import check_schedule  # noqa: PLC0415 - only headers with a schedule need croniter

    return check_schedule(value)


def _or(words: tuple[str, ...]) -> str:
    quoted = [f'"{word}"' for word in words]
    return " or ".join([", ".join(quoted[:-1]), quoted[-1]])


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
