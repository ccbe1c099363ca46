# SPDX-License-Identifier: BSD-3-Clause
"""The line under a task's cell, and the one under the flow's header: HTML that holds on light and dark pages, and plain text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from nbflow.core.model import Flow, Task
from nbflow.core.records import TaskRecord
from nbflow.views.glyphs import GREY, StateView, record_view
from nbflow.views.svg import FONT, escape, glyph_svg, svg_image
from nbflow.views.words import attempt_words, copies_in, copies_line, flow_sentence, gives_of, reads_of, times, took, understood

#: Names shown of what a task reads, and of what it gives.
CHIPS: Final = 2
_CODE: Final = "Menlo,Consolas,'DejaVu Sans Mono',monospace"
_LINE: Final = (
    "display:flex;align-items:center;box-sizing:border-box;max-width:880px;min-height:28px;padding:3px 8px;"
    f"border:1px solid {{border}};border-radius:4px;background:{{ground}};font-family:{FONT};font-size:13px;line-height:20px"
)
_NAME: Final = "font-weight:600;margin-left:8px;white-space:nowrap"
_SENTENCE: Final = "margin-left:8px;opacity:.8;min-width:0;overflow:hidden;text-overflow:ellipsis;white-space:nowrap"
_META: Final = "font-size:11px;opacity:.75;white-space:nowrap"
#: Gives way before the sentence does: what does not fit wraps to a second line, which is not seen.
_CHIPS_BOX: Final = "flex:0 1000000 auto;min-width:0;height:20px;overflow:hidden;white-space:normal"
_CHIP: Final = (
    f"font-family:{_CODE};font-size:11px;line-height:18px;margin-left:4px;padding:0 5px;border-radius:3px;"
    "background:rgba(128,128,128,.18);white-space:nowrap"
)
#: Three circles on two lines: a flow.
_FLOW_GLYPH: Final = (
    f'<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 16 16"><path d="M5 8h2.200c1.600 0 1.300-3.700 3.300-3.700'
    f'M7.200 8c1.600 0 1.300 3.700 3.300 3.700" fill="none" stroke="{GREY}" stroke-width="1.300"/><circle cx="3.400" cy="8" r="2.100" fill="{GREY}"/>'
    f'<circle cx="12.400" cy="4.300" r="2.100" fill="{GREY}"/><circle cx="12.400" cy="11.700" r="2.100" fill="{GREY}"/></svg>'
)


def card_html(flow: Flow, task: Task, record: TaskRecord | None, now: datetime, *, note: str = "") -> str:
    """One line: glyph, name, sentence, what it reads and gives, and at the right duration and attempts.

    Before any run the sentence says what was understood of the cell. `note` is one more sentence (a cell not saved yet, values left out).
    """
    view = record_view(record)
    sentence = " ".join(part for part in (card_sentence(flow, task, record), note) if part)
    right = "" if record is None else ", ".join(part for part in (took(record, now), attempt_words(task, record)) if part)
    parts = [
        svg_image(glyph_svg(view), alt=f"[{short_word(view)}]", width=16, height=16, style="flex:none;margin:0"),
        f'<span style="{_NAME}">{escape(_title(task, record))}</span> ',
        f'<span style="{_SENTENCE}" title="{escape(sentence)}">{escape(sentence)}</span> ',
    ]
    if record is not None:
        chips = _chips("reads", reads_of(task)) + _chips("gives", gives_of(task))
        parts.append(f'<span style="{_CHIPS_BOX}">{chips}</span>')
    parts.append(f'<span style="{_META};margin-left:auto;padding-left:12px">{escape(right)}</span>')
    return f'<div style="{_line_style(view)}">{"".join(parts)}</div>'


def card_text(flow: Flow, task: Task, record: TaskRecord | None, now: datetime, *, note: str = "") -> str:
    """`[failed] join_weather  0.9 s  attempt 3 of 3`; where there is no duration to tell, the sentence."""
    time = "" if record is None else took(record, now)
    attempts = "" if record is None else attempt_words(task, record)
    sentence = copies_line(record) if record is not None and copies_in(record) else "" if time else card_sentence(flow, task, record)
    head = f"[{short_word(record_view(record))}] {_title(task, record)}"
    return "  ".join(part for part in (head, time, attempts, sentence, note) if part)


def _title(task: Task, record: TaskRecord | None) -> str:
    """`score x 12` for a mapped task."""
    return " ".join(part for part in (task.id, times(record)) if part)


def card_sentence(flow: Flow, task: Task, record: TaskRecord | None) -> str:
    """The recorded reason as it is; before any run, what was understood."""
    if record is None:
        return understood(flow, task)
    word = record_view(record).word
    return record.reason or f"{word[:1].upper()}{word[1:]}."


def short_word(view: StateView) -> str:
    """`failed`, `not run`: the state's word without its reason."""
    return view.word.partition(",")[0]


def header_html(flow: Flow) -> str:
    """The line under the `%%flow` cell."""
    return (
        f'<div style="{_LINE.format(border="rgba(128,128,128,.5)", ground="transparent")}">'
        f"{svg_image(_FLOW_GLYPH, alt='flow', width=16, height=16, style='flex:none;margin:0')}"
        f'<span style="{_NAME}">{escape(flow.name)}</span> <span style="{_SENTENCE}">{escape(flow_sentence(flow))}</span></div>'
    )


def header_text(flow: Flow) -> str:
    """As `header_html`, in plain text."""
    return f"{flow.name}: {flow_sentence(flow)}"


def _line_style(view: StateView) -> str:
    if not view.tinted:
        return _LINE.format(border="rgba(128,128,128,.5)", ground="transparent")
    red, green, blue = (int(view.ink[place : place + 2], 16) for place in (1, 3, 5))
    return _LINE.format(border=f"rgba({red},{green},{blue},.6)", ground=f"rgba({red},{green},{blue},.1)")


def _chips(word: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    shown = "".join(f'<span style="{_CHIP}">{escape(name)}</span> ' for name in names[:CHIPS])
    more = (
        f'<span style="{_META};margin-left:4px" title="{escape(", ".join(names))}">+{len(names) - CHIPS}</span> '
        if len(names) > CHIPS
        else ""
    )
    return f'<span style="white-space:nowrap"><span style="{_META};margin-left:12px">{word}</span> {shown}{more}</span> '
