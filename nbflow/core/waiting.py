# SPDX-License-Identifier: BSD-3-Clause
"""Tasks that wait without a worker: sensors between two looks, deferred attempts, approvals (semantics.md 2, 3, 11).

What such an instance needs to go on stands in its record's note, as JSON:

    since      the instant of the first look, kept over looks and attempts: a sensor's timeout counts from it
    looks      how many looks there were
    row        the token under which the attempt stands in the history: an attempt that goes on is one row
    trigger    what a deferred attempt waits for: {"kind": ..., ...}; "at" is an instant at which it fires by itself
    question   what a person is asked; `choices` are the answers
    resumed    what it goes on with: {"event": ...} of a trigger, {"answer": ..., "by": ...} of a person
    again      the next hand-over is the same attempt
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from nbflow.core import waiting_words
from nbflow.core.errors import UserError
from nbflow.core.graph import Graph
from nbflow.core.options import SENSOR_TIMEOUT, TaskOptions

#: What the next hand-over of the same attempt still knows.
OF_ATTEMPT: Final = frozenset({"since", "looks", "row", "resumed"})
#: What the next attempt still knows.
OF_TASK: Final = frozenset({"since", "looks"})
YES, NO = "yes", "no"
_LONGEST: Final = 10**9


def kept(note: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """The part of a note that goes on."""
    return {name: note[name] for name in note if name in names}


def deadline(options: TaskOptions, note: Mapping[str, Any], at: datetime) -> datetime:
    """When a sensor's whole wait is over; `at` is its first look, where there was none before."""
    since = datetime.fromisoformat(note["since"]) if "since" in note else at
    return since + (SENSOR_TIMEOUT if options.timeout is None else options.timeout)


def next_look(options: TaskOptions, looks: int, at: datetime, until: datetime, seed: str) -> datetime | None:
    """When a sensor looks again after look number `looks` at `at`; None when its time is up (semantics.md 3)."""
    if at >= until:
        return None
    wait = options.poke
    if options.exponential:
        base = max(1, int(min(_LONGEST, options.poke.total_seconds() * 2.0 ** min(looks - 2, 64))))
        wait = timedelta(seconds=min(_LONGEST, base + zlib.crc32(seed.encode()) % base))
    if options.max_wait is not None:
        wait = min(wait, options.max_wait)
    return min(at + wait, until)


def fires_at(trigger: Mapping[str, Any]) -> datetime | None:
    """The instant at which a trigger fires by itself."""
    return datetime.fromisoformat(trigger["at"]) if trigger.get("at") else None


# --- approvals ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Question:
    """What an approval asks. Without choices of its own the answers are yes and no, and no means: do not go on."""

    text: str
    choices: tuple[str, ...] = ()

    @property
    def answers(self) -> tuple[str, ...]:
        return self.choices or (YES, NO)


def read_question(decision: Any, *, task: str, doc: str = "", default: str = "") -> Question:
    """The question in an approval's last expression: a text, a list of answers, or {"question": ..., "choices": [...]}.

    Raises UserError for anything else, and for a default that is none of the answers.
    """
    given = {"question": decision} if isinstance(decision, str) else {"choices": decision} if isinstance(decision, list) else decision
    given = {} if given is None else given
    if not isinstance(given, Mapping) or not set(given) <= {"question", "choices"}:
        raise UserError(waiting_words.not_a_question(task, repr(decision)[:80]))
    text, choices = given.get("question") or doc.partition("\n")[0] or f"Go on with {task}?", given.get("choices") or []
    if not isinstance(text, str) or not isinstance(choices, list) or not all(isinstance(choice, str) and choice for choice in choices):
        raise UserError(waiting_words.not_a_question(task, repr(decision)[:80]))
    question = Question(text=text, choices=tuple(dict.fromkeys(choices)))
    if default and read_answer(default, question.answers) is None:
        raise UserError(waiting_words.not_an_answer(default, f"{task}, whose default it is", question.answers))
    return question


def read_answer(answer: str, choices: tuple[str, ...]) -> str | None:
    """The answer that is meant, whatever its capitals; None when it is not among the choices."""
    word = answer.strip().lower()
    word = {"y": YES, "n": NO, "true": YES, "false": NO}.get(word, word) if set(choices) == {YES, NO} else word
    return next((choice for choice in choices if choice.lower() == word), None)


def follows(choices: tuple[str, ...], graph: Graph) -> bool:
    """Whether the answers are what to follow: every one is a task or a group of the flow."""
    return bool(choices) and all(choice in graph or graph.group_roots(choice) for choice in choices)
