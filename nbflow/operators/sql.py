# SPDX-License-Identifier: BSD-3-Clause
"""The `sql` operator: the body is one statement, rendered as a sandboxed Jinja template, in the database of the task's connection.

    %%task orders -o sql --conn warehouse --out orders
    select * from orders where day = '{{ ds }}'

What it selects is a pandas DataFrame where there is pandas, else a list of dictionaries; of any other statement it is the number of rows changed,
and all of it is committed. As a sensor or a short circuit it asks whether the first value of the first row is neither empty, zero nor false.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

from nbflow.core.connections import Connection
from nbflow.core.context import ctx
from nbflow.core.errors import UserError
from nbflow.core.options import TaskKind
from nbflow.operators import reaching
from nbflow.operators.attempt import Attempt, Ending
from nbflow.operators.bash import render
from nbflow.operators.deciding import as_decision
from nbflow.operators.errors import ending_of

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/\S+")
#: Rows shown of what was selected.
_SHOWN: Final = 10


def run_sql(attempt: Attempt) -> Ending:
    """Execute the statement. Raises nothing: whatever a database says is the ending."""
    kind = attempt.job.decides
    try:
        connection, statement = _asked(render(attempt.job.source, attempt.namespace).strip(), ctx.conn if attempt.job.lent.conn else None)
        names, rows, changed = _executed(connection, statement)
    except Exception as error:  # noqa: BLE001 - templates run expressions over the user's values, and databases raise what they like
        return ending_of(_in_short(error))
    first = rows[0][0] if rows and names else None
    if kind in {TaskKind.SENSOR, TaskKind.SHORT_CIRCUIT}:
        is_there = bool(first) and str(first).strip().lower() not in {"0", "false", "f"}
        if is_there and attempt.job.out:
            attempt.namespace[attempt.job.out] = first
        return Ending(decision=is_there)
    value = _frame(names, rows) if names else changed
    if attempt.job.out:
        attempt.namespace[attempt.job.out] = value
    _show(attempt, names, rows, changed)
    return Ending(decision=None if kind is TaskKind.PLAIN else as_decision([row[0] for row in rows], kind))


def _asked(text: str, connection: Connection | None) -> tuple[Connection, str]:
    """Where, and the statement. Raises UserError."""
    if connection is not None:
        if not text:
            raise UserError("-o sql does not say what to ask: write the query below the line.")
        return connection, text
    url, _, statement = text.partition("\n")
    if not _URL.fullmatch(url.strip()) or not statement.strip():
        raise UserError(
            "-o sql takes the database's URL on the first line, such as sqlite:///sales.db, and the query below it; "
            "with --conn NAME it takes the query alone."
        )
    return Connection(name="", url=url.strip()), statement


def _executed(connection: Connection, statement: str) -> tuple[Sequence[str], list[Sequence[Any]], int]:
    """The names of the columns, the rows, and how many rows were changed; committed."""
    import sqlalchemy  # noqa: PLC0415 - only what asks a database needs it

    engine = reaching.engine(connection)
    try:
        with engine.begin() as session:
            result = session.execute(sqlalchemy.text(statement))
            if result.returns_rows:
                return tuple(result.keys()), [tuple(row) for row in result], 0
            return (), [], max(0, result.rowcount)
    finally:
        engine.dispose()


def _in_short(error: Exception) -> Exception:
    """What the database says, without SQLAlchemy's wrapping, which holds the whole statement."""
    original = getattr(error, "orig", None)
    return original if isinstance(original, Exception) else error


def _frame(names: Sequence[str], rows: list[Sequence[Any]]) -> Any:
    if importlib.util.find_spec("pandas") is None:
        return [dict(zip(names, row, strict=True)) for row in rows]
    import pandas as pd  # noqa: PLC0415 - slow to import, and optional

    return pd.DataFrame.from_records(rows, columns=list(names), coerce_float=True)


def _show(attempt: Attempt, names: Sequence[str], rows: list[Sequence[Any]], changed: int) -> None:
    if not names:
        attempt.outputs.stream("stdout", f"{_counted(changed, 'row')} changed\n")
        return
    shown = [[str(value) for value in row] for row in rows[:_SHOWN]]
    size = f"{_counted(len(rows), 'row')} x {_counted(len(names), 'column')}"
    text = "\n".join("\t".join(line) for line in ([*names], *shown))
    lines = "".join(f"<tr>{_cells(row, 'td')}</tr>" for row in shown)
    html = f"<table><thead><tr>{_cells(names, 'th')}</tr></thead><tbody>{lines}</tbody></table><p>{size}</p>"
    attempt.outputs.result({"text/plain": f"{text}\n\n{size}", "text/html": html}, {})


def _cells(values: Iterable[str], tag: str) -> str:
    return "".join(f"<{tag}>{escape(value)}</{tag}>" for value in values)


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


__all__ = ["run_sql"]
