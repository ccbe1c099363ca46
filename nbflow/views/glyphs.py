# SPDX-License-Identifier: BSD-3-Clause
"""What each state looks like: silhouette, word and ink for pictures, one character and a colour for terminals.

Saved pictures stand on pages of unknown colour, so each ink is a mid-tone: at least 3:1 on white and on #111. Shape says it, colour repeats it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from nbflow.core.options import TaskKind
from nbflow.core.records import TaskRecord
from nbflow.core.states import RunState, TaskState

#: What is not a state: edges, frames, names of groups.
GREY: Final = "#808080"
GREEN: Final = "#43a047"
RED: Final = "#e53935"
BLUE: Final = "#1e88e5"
AMBER: Final = "#c07a00"


@dataclass(frozen=True)
class Shape:
    """One path on the 16 px grid. `width` 0 is a filled shape, else a stroke of that width; `cut` is drawn in the colour of paper."""

    d: str
    width: float = 0.0
    cut: bool = False
    dash: str = ""
    opacity: float = 1.0


@dataclass(frozen=True, kw_only=True)
class StateView:
    """How one state is shown."""

    name: str
    #: Lower case, as it stands in a list: "succeeded".
    word: str
    ink: str
    shapes: tuple[Shape, ...]
    #: One character, one column wide.
    glyph: str
    #: A colour name of rich.
    colour: str
    #: Its node carries a tint of its ink: something runs, waits for a person or broke.
    tinted: bool = False
    #: Its node has a dashed border: nothing has happened in it.
    dashed: bool = False


def _circle(radius: float) -> str:
    return f"M{8 - radius:g} 8a{radius:g} {radius:g} 0 1 0 {2 * radius:g} 0a{radius:g} {radius:g} 0 1 0 {-2 * radius:g} 0z"


_RING: Final = _circle(6.1)
_OCTAGON: Final = "M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1z"
_BUBBLE: Final = "M2.5 1.5h11A1.5 1.5 0 0 1 15 3v7a1.5 1.5 0 0 1-1.5 1.5H9L5.5 15v-3.5h-3A1.5 1.5 0 0 1 1 10V3a1.5 1.5 0 0 1 1.5-1.5z"
_SQUARE_RING: Final = "M4 2h8a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2H4a2 2 0 0 1-2-2V4a2 2 0 0 1 2-2zM5.6 5.6v4.8h4.8V5.6z"
_TRIANGLE: Final = "M13.2 2.1a.9.9 0 0 1 1.3.8v10.2a.9.9 0 0 1-1.3.8L1.9 8.8a.9.9 0 0 1 0-1.6z"
_DASHES: Final = "2.4 2.39"

_VIEWS: Final = (
    StateView(
        name="pending",
        word="not started",
        ink=GREY,
        glyph="◌",
        colour="bright_black",
        dashed=True,
        shapes=(Shape(_RING, 1.5, dash=_DASHES),),
    ),
    StateView(
        name="scheduled",
        word="may run",
        ink=GREY,
        glyph="◎",
        colour="bright_black",
        shapes=(Shape(_RING, 1.5), Shape(_circle(2.2))),
    ),
    StateView(
        name="queued",
        word="queued",
        ink=GREY,
        glyph="≡",
        colour="bright_black",
        shapes=(Shape("M2.5 4h11M2.5 8h11M2.5 12h6.5", 1.9),),
    ),
    StateView(
        name="running",
        word="running",
        ink=BLUE,
        glyph="►",
        colour="blue",
        tinted=True,
        shapes=(Shape(_RING, 1.7, opacity=0.28), Shape("M8 1.9a6.1 6.1 0 1 1-6.1 6.1", 1.7), Shape("M6.5 5.2v5.6L11 8z")),
    ),
    StateView(
        name="success",
        word="succeeded",
        ink=GREEN,
        glyph="✓",
        colour="green",
        shapes=(Shape(_circle(7)), Shape("M4.7 8.3l2.3 2.3 4.4-4.8", 1.9, cut=True)),
    ),
    StateView(
        name="cached",
        word="from cache",
        ink=GREEN,
        glyph="⊙",
        colour="green",
        shapes=(Shape(_RING, 1.6), Shape("M5 8.2l2.1 2.1L11 6", 1.7)),
    ),
    StateView(
        name="failed",
        word="failed",
        ink=RED,
        glyph="✗",
        colour="red",
        tinted=True,
        shapes=(Shape(_OCTAGON), Shape("M5.5 5.5l5 5m0-5l-5 5", 1.9, cut=True)),
    ),
    StateView(
        name="cancelled",
        word="cancelled",
        ink="#757575",
        glyph="■",
        colour="white",
        shapes=(Shape(_SQUARE_RING),),
    ),
    StateView(
        name="skipped",
        word="skipped",
        ink="#2e8cba",
        glyph="»",
        colour="cyan",
        shapes=(Shape("M3 3.8l4.2 4.2L3 12.2M8.6 3.8l4.2 4.2-4.2 4.2", 1.9),),
    ),
    StateView(
        name="upstream_failed",
        word="not run, upstream failed",
        ink=AMBER,
        glyph="◄",
        colour="dark_orange",
        tinted=True,
        shapes=(Shape(_TRIANGLE), Shape("M10.3 5.5v2.9M10.3 10.7v.01", 1.8, cut=True)),
    ),
    StateView(
        name="up_for_retry",
        word="waits to be retried",
        ink="#a08000",
        glyph="↻",
        colour="yellow",
        tinted=True,
        shapes=(Shape("M13.3 9.1A5.5 5.5 0 1 1 11.7 4", 1.9), Shape("M14.2.9v5.3H8.9z")),
    ),
    StateView(
        name="up_for_reschedule",
        word="waits to look again",
        ink="#00897b",
        glyph="◷",
        colour="cyan",
        shapes=(Shape(_RING, 1.6), Shape("M8 4.4V8l2.5 1.6", 1.6)),
    ),
    StateView(
        name="deferred",
        word="asleep until its trigger",
        ink="#8560c9",
        glyph="☾",
        colour="magenta",
        shapes=(Shape("M14 10.3A6.6 6.6 0 1 1 6.3 1.9 5.3 5.3 0 0 0 14 10.3z"),),
    ),
    StateView(
        name="awaiting_input",
        word="waits for an answer",
        ink="#d81b60",
        glyph="?",
        colour="bright_magenta",
        tinted=True,
        shapes=(
            Shape(_BUBBLE),
            Shape("M6.3 5.4a1.75 1.75 0 1 1 2.6 1.5c-.6.35-.9.6-.9 1.1M8 9.9v.01", 1.5, cut=True),
        ),
    ),
    StateView(
        name="removed",
        word="no longer in the flow",
        ink=GREY,
        glyph="−",  # noqa: RUF001 - a minus sign
        colour="bright_black",
        dashed=True,
        shapes=(Shape(_RING, 1.5, dash=_DASHES), Shape("M5.5 8h5", 1.6)),
    ),
)

#: All fifteen by name; "cached" is a success that did not have to run.
STATE_VIEWS: Final[Mapping[str, StateView]] = MappingProxyType({view.name: view for view in _VIEWS})


_WRENCH: Final = "M7.2 4.8L2 10m4.4-6.4a2.4 2.4 0 0 1 3-1.3L8 3.7l.4.4 1.4-1.4a2.4 2.4 0 0 1-3.2 3"
#: What a task is besides work, on a 12 px grid; strokes of 1.1 px.
KIND_MARKS: Final[Mapping[TaskKind, str]] = MappingProxyType(
    {
        TaskKind.BRANCH: "M1 6h3c2 0 2-3.5 4-3.5h2M4 6c2 0 2 3.5 4 3.5h2M8.5 1l1.7 1.5L8.5 4M8.5 8l1.7 1.5L8.5 11",
        TaskKind.SHORT_CIRCUIT: "M6.8 1L2.6 6.8h3L5.2 11l4.2-5.8h-3z",
        TaskKind.LATEST_ONLY: "M6.8 1L2.6 6.8h3L5.2 11l4.2-5.8h-3z",
        TaskKind.SENSOR: "M1 6c2.6-4 7.4-4 10 0-2.6 4-7.4 4-10 0zM4.6 6a1.4 1.4 0 1 0 2.8 0 1.4 1.4 0 1 0-2.8 0z",
        TaskKind.APPROVAL: "M3 6.5V3.4m2 2.6V2m2 4V2.4m2 3.8V3.6M9 6v2a3 3 0 0 1-6 .2L1.6 6.4",
        TaskKind.SETUP: _WRENCH,
        TaskKind.TEARDOWN: _WRENCH,
    }
)
#: What somebody must look at comes first: what a folded group as a whole is, and the order of a mapped task's copies in a list.
LOUDEST: Final = ("failed", "upstream_failed", "awaiting_input", "up_for_retry", "running", "queued", "scheduled", "deferred", "cancelled")


def urgency(state: TaskState) -> int:
    """The less, the sooner somebody must look at it."""
    return LOUDEST.index(state.value) if state.value in LOUDEST else len(LOUDEST)


def state_view(state: TaskState | RunState, *, cached: bool = False) -> StateView:
    """How a state of a task instance or of a run is shown."""
    return STATE_VIEWS["cached" if cached and state.value == "success" else state.value]


def record_view(record: TaskRecord | None) -> StateView:
    """How a task instance is shown; before any run it is pending."""
    return STATE_VIEWS["pending"] if record is None else state_view(record.state, cached=is_cached(record))


def is_cached(record: TaskRecord) -> bool:
    """It succeeded without running, with a value that was made before."""
    return bool(record.note.get("from_cache"))


def glyph_paths(view: StateView, *, paper: str = "#fff") -> str:
    """The silhouette as SVG elements on the 16 px grid, without ids, so that it can stand anywhere any number of times."""
    return "".join(_element(shape, view.ink, paper) for shape in view.shapes)


def _element(shape: Shape, ink: str, paper: str) -> str:
    colour = paper if shape.cut else ink
    opacity = f' opacity="{shape.opacity:g}"' if shape.opacity < 1 else ""
    if not shape.width:
        return f'<path d="{shape.d}" fill="{colour}" fill-rule="evenodd"{opacity}/>'
    dash = f' stroke-dasharray="{shape.dash}"' if shape.dash else ' stroke-linecap="round" stroke-linejoin="round"'
    return f'<path d="{shape.d}" fill="none" stroke="{colour}" stroke-width="{shape.width:g}"{dash}{opacity}/>'
