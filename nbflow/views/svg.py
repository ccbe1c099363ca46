# SPDX-License-Identifier: BSD-3-Clause
"""The graph as one SVG that stands alone: no script, no stylesheet, no outside reference, readable on any page."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from nbflow.core import messages
from nbflow.core.graph import Graph
from nbflow.core.ids import TaskId, TaskKey
from nbflow.core.mapping import is_mapped, summary
from nbflow.core.model import Flow, Task
from nbflow.core.options import TaskKind
from nbflow.core.records import RunRecord, TaskRecord
from nbflow.core.states import TaskState
from nbflow.views.glyphs import GREY, KIND_MARKS, LOUDEST, STATE_VIEWS, StateView, glyph_paths, record_view
from nbflow.views.layout import NAME_LEFT, NAME_RIGHT, Frame, Layout, Node, Tip, text_width, usual_layout
from nbflow.views.words import copies_in, graph_sentence, node_line, times

FONT: Final = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"
NAME_INK: Final = "#212121"
WORDS_INK: Final = "#616161"
#: Around the drawing, for borders and shadows of strokes.
MARGIN: Final = 2
#: By how much each sheet behind a mapped task stands out.
SHEET: Final = 3
#: The bar of a folded group, in this fixed order.
_BAR: Final = (
    "success", "running", "up_for_retry", "queued", "scheduled", "deferred", "up_for_reschedule", "awaiting_input",
    "failed", "upstream_failed", "cancelled", "skipped",
)  # fmt: skip


def graph_svg(flow: Flow, records: Mapping[TaskKey, TaskRecord], run: RunRecord | None, now: datetime) -> str:
    """The flow's graph with the states of a run; `records` empty: before any run. Raises CycleError."""
    return _Picture(flow, records, run, now).draw()


def svg_image(svg: str, *, alt: str, width: float, height: float, style: str = "") -> str:
    """An SVG as an HTML image that carries it inside: also where inline SVG is filtered out of a page."""
    data = base64.b64encode(svg.encode()).decode("ascii")
    styled = f' style="{escape(style)}"' if style else ""
    return f'<img src="data:image/svg+xml;base64,{data}" alt="{escape(alt)}" width="{width:g}" height="{height:g}"{styled}/>'


def glyph_svg(view: StateView, size: int = 16) -> str:
    """One glyph by itself."""
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{size}" height="{size}" viewBox="0 0 16 16">{glyph_paths(view)}</svg>'


def plain(text: str) -> str:
    """`text` without the characters XML cannot hold."""
    return "".join(character for character in text if character in "\t\n" or (character >= " " and character not in "\ufffe\uffff\x7f"))


def escape(text: str) -> str:
    """`text` as XML content."""
    return plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;").replace("'", "&#39;")


def size_of(svg: str) -> tuple[float, float]:
    """Width and height as the SVG says them."""
    head = svg.partition(">")[0]
    return tuple(float(head.partition(f' {name}="')[2].partition('"')[0]) for name in ("width", "height"))  # type: ignore[return-value] # two


class _Picture:
    def __init__(self, flow: Flow, records: Mapping[TaskKey, TaskRecord], run: RunRecord | None, now: datetime) -> None:
        self._flow, self._records, self._run, self._now = flow, records, run, now
        self._whole_tasks = {task.id: summary(records, task.id) for task in flow.tasks}
        self._tasks: dict[str, Task] = {task.id: task for task in flow.tasks}
        self._layout: Layout = usual_layout(flow)
        self._not_taken = {id for id in self._tasks if self._state(id) is TaskState.SKIPPED}

    def _record(self, id: str) -> TaskRecord | None:
        return self._whole_tasks.get(TaskId(id))

    def _state(self, id: str) -> TaskState | None:
        record = self._record(id)
        return None if record is None else record.state

    def draw(self) -> str:
        drawn = self._layout
        width, height = max(drawn.width, 1) + 2 * MARGIN, max(drawn.height, 1) + 2 * MARGIN
        if any(is_mapped(task) for task in self._flow.tasks):
            width, height = width + 2 * SHEET, height + 2 * SHEET
        box = f'width="{width:g}" height="{height:g}" viewBox="{-MARGIN} {-MARGIN} {width:g} {height:g}"'
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {box} font-family="{FONT}" font-size="13">',
            f"<title>{escape('Graph of ' + self._flow.name)}</title>",
            f"<desc>{escape(self._description())}</desc>",
            *(self._frame(frame) for frame in drawn.frames),
            *self._edges(),
            *(self._node(node) for node in drawn.nodes),
            "</svg>",
        ]
        return "".join(parts)

    def _description(self) -> str:
        lines = [graph_sentence(self._flow, self._records, self._run, self._now)]
        graph = Graph.of(self._flow)
        for task in self._flow.tasks:
            record = self._record(task.id)
            above = graph.upstream(task.id)
            state = f": {record_view(record).word}" if record else ""
            why = f" ({record.reason})" if record and record.reason and record.state is not TaskState.SUCCESS else ""
            lines.append(f"{task.id}{state}{why}{', after ' + messages.name_list(above) if above else ''}")
        return "\n".join(lines)

    # --- frames ------------------------------------------------------------------------------------------------------

    def _frame(self, frame: Frame) -> str:
        inside = [id for id in self._tasks if id.startswith(frame.group + ".")]
        return (
            f'<rect x="{frame.x + 0.5:g}" y="{frame.y + 0.5:g}" width="{frame.width - 1:g}" height="{frame.height - 1:g}" rx="4" '
            f'fill="{GREY}" fill-opacity=".07" stroke="{GREY}" stroke-opacity=".5"/>'
            f'<text x="{frame.x + 12:g}" y="{frame.y + 20:g}" font-weight="500" fill="{GREY}">{escape(frame.label)}</text>'
            f'<text x="{frame.x + frame.width - 12:g}" y="{frame.y + 20:g}" font-size="11" text-anchor="end" fill="{GREY}">'
            f"{escape(self._counts(inside))}</text>"
        )

    def _counts(self, ids: Sequence[str]) -> str:
        """`9 tasks` before a run and when all went well, `4 of 9` on the way, `1 failed` as soon as it is so."""
        states = Counter(state for id in ids if (state := self._state(id)) is not None)
        if failed := states[TaskState.FAILED]:
            return f"{failed} of {len(ids)} failed"
        done = sum(count for state, count in states.items() if state.is_finished)
        return f"{done} of {len(ids)}" if states and done < len(ids) else messages.plural(len(ids), "task")

    # --- edges -------------------------------------------------------------------------------------------------------

    def _edges(self) -> Iterable[str]:
        styles: dict[str, list[str]] = {}
        for stroke in self._layout.strokes:
            styles.setdefault(self._style(stroke.edges, data=stroke.data), []).append(stroke.path)
        for style, paths in sorted(styles.items()):
            yield f'<path d="{"".join(paths)}" fill="none" stroke="{GREY}" stroke-width="1.25"{style}/>'
        for tip in self._layout.tips:
            yield self._tip(tip)

    def _style(self, edges: Collection[tuple[str, str]], *, data: bool) -> str:
        """Solid carries data, dashed only orders, faint leads to what was skipped, dotted from a setup to its teardown."""
        if self._is_dim(edges):
            return ' stroke-dasharray="4 3" stroke-opacity=".7"'
        if edges and all(self._kind(a) is TaskKind.SETUP and self._kind(b) is TaskKind.TEARDOWN for a, b in edges):
            return ' stroke-dasharray="1 3" stroke-linecap="round"'
        return "" if data else ' stroke-dasharray="4 3"'

    def _kind(self, id: str) -> TaskKind | None:
        task = self._tasks.get(id)
        return task.options.as_ if task else None

    def _is_dim(self, edges: Iterable[tuple[str, str]]) -> bool:
        """All of it leads to tasks that were skipped: the way not taken."""
        targets = {edge[1] for edge in edges}
        return bool(targets) and targets <= self._not_taken

    def _tip(self, tip: Tip) -> str:
        x, y = tip.x - 0.5, tip.y
        if self._is_dim(tip.edges):
            return f'<path d="M{x - 5:g} {y - 5:g}v10" stroke="{GREY}" stroke-width="1.5" stroke-opacity=".7"/>'
        if tip.data:
            return f'<path d="M{x - 6:g} {y - 3.5:g}L{x:g} {y:g}L{x - 6:g} {y + 3.5:g}z" fill="{GREY}"/>'
        return f'<path d="M{x - 6:g} {y - 3.5:g}L{x:g} {y:g}L{x - 6:g} {y + 3.5:g}" fill="none" stroke="{GREY}" stroke-width="1.25"/>'

    # --- nodes -------------------------------------------------------------------------------------------------------

    def _node(self, node: Node) -> str:
        if node.members:
            return self._folded(node)
        task, record = self._tasks[node.id], self._record(node.id)
        view = record_view(record)
        off = record is not None and record.state is TaskState.SKIPPED
        mark = ""
        if path := KIND_MARKS.get(task.options.as_):
            mark = (
                f'<path transform="translate({node.width - 20} 26)" d="{path}" fill="none" stroke="{WORDS_INK}" '
                'stroke-width="1.1" stroke-linecap="round" stroke-linejoin="round"/>'
            )
        line = node_line(task, record, self._now)
        if is_mapped(task):
            return self._mapped(node, task, record, mark)
        return self._box(node, view, title=self._tooltip(task, record), line=line, quiet=off, more=mark)

    def _mapped(self, node: Node, task: Task, record: TaskRecord | None, mark: str) -> str:
        """A stack of paper: two more edges behind the node, how many copies there are, and how they stand."""
        view = record_view(record)
        off = record is not None and record.state is TaskState.SKIPPED
        sheets = "".join(
            f'<rect x="{node.x + shift + 0.5:g}" y="{node.y + shift + 0.5:g}" width="{node.width - 1}" height="{node.height - 1}" rx="4" '
            f'fill="#fff" stroke="{GREY}" stroke-opacity=".8"/>'
            for shift in (2 * SHEET, SHEET)
        )
        many = times(record)
        if many:
            mark += f'<text x="{node.width - 8}" y="19" font-size="11" font-weight="600" text-anchor="end" fill="{WORDS_INK}">{escape(many)}</text>'
            assert record is not None
            mark += self._bar(node, record.note["states"], copies_in(record))
        line = node_line(task, record, self._now)
        room = int(text_width(many, 11)) + 8 if many else 0
        return sheets + self._box(node, view, title=self._tooltip(task, record), line=line, quiet=off, more=mark, beside_name=room)

    def _tooltip(self, task: Task, record: TaskRecord | None) -> str:
        return " ".join(part for part in (f"{task.id}.", record.reason if record else "", task.doc) if part)

    def _box(self, node: Node, view: StateView, *, title: str, line: str, quiet: bool = False, more: str = "", beside_name: int = 0) -> str:
        room = node.width - NAME_LEFT
        name, name_length = _fitted(node.label, room - NAME_RIGHT - beside_name, 13, middle=True)
        words, words_length = _fitted(line, room - (24 if more else 6), 11)
        lively = self._records and not view.dashed and not quiet
        border = f'stroke="{view.ink if lively else GREY}" stroke-opacity=".8"'
        box = f'x=".5" y=".5" width="{node.width - 1}" height="{node.height - 1}" rx="4"'
        line_box, dash = box, ""
        if view.dashed and self._records:  # inside the white ground, so that the dashes show on a dark page too
            line_box, dash = f'x="2" y="2" width="{node.width - 4}" height="{node.height - 4}" rx="3"', ' stroke-dasharray="3 2.5"'
        tint = f'<rect {box} fill="{view.ink}" fill-opacity=".09"/>' if view.tinted else ""
        weight, ink = ("400", WORDS_INK) if quiet else ("500", NAME_INK)
        return (
            f'<g transform="translate({node.x:g} {node.y:g})"><title>{escape(title)}</title>'
            f'<rect {box} fill="#fff"/>{tint}<rect {line_box} fill="none" {border}{dash}/>'
            f'<g transform="translate(12 14)">{glyph_paths(view)}</g>'
            f'<text x="{NAME_LEFT}" y="19" font-weight="{weight}" fill="{ink}"{name_length}>{escape(name)}</text>'
            f'<text x="{NAME_LEFT}" y="34" font-size="11" fill="{WORDS_INK}"{words_length}>{escape(words)}</text>{more}</g>'
        )

    def _folded(self, node: Node) -> str:
        counts = Counter(record_view(self._record(id)).name for id in node.members)
        counts["success"] += counts.pop("cached", 0)
        view = STATE_VIEWS[self._whole(counts, len(node.members))]
        line = self._counts(node.members)
        caret = f'<path d="M{node.width - 18} 10l4 4-4 4" fill="none" stroke="{WORDS_INK}" stroke-width="1.4" stroke-linecap="round"/>'
        title = f"{node.id}: {', '.join(f'{count} {STATE_VIEWS[name].word}' for name, count in counts.items() if count)}"
        return self._box(node, view, title=title, line=line, more=caret + self._bar(node, counts, len(node.members)))

    @staticmethod
    def _whole(counts: Mapping[str, int], total: int) -> str:
        loud = next((name for name in LOUDEST if counts.get(name)), "")
        if loud:
            return loud
        if counts.get("success", 0) + counts.get("skipped", 0) == total:
            return "success" if counts.get("success") else "skipped"
        return "pending" if counts.get("pending", 0) + counts.get("removed", 0) == total else "running"

    @staticmethod
    def _bar(node: Node, counts: Mapping[str, int], total: int) -> str:
        """4 px along the lower edge, split by state in a fixed order."""
        x, parts = 2.0, []
        for name in _BAR:
            if count := counts.get(name, 0):
                wide = (node.width - 4) * count / total
                parts.append(f'<rect x="{x:.1f}" y="{node.height - 5}" width="{wide:.1f}" height="3" fill="{STATE_VIEWS[name].ink}"/>')
                x += wide
        return "".join(parts)


def _fitted(text: str, room: float, size: float, *, middle: bool = False) -> tuple[str, str]:
    """`text` as it fits, and the attribute that holds it there when the reader's font is wider than thought."""
    shown = fit(text, room * 1.1, size, middle=middle)
    wide = text_width(shown, size)
    tight = wide > 0.86 * room
    return shown, f' textLength="{min(wide, room):.0f}" lengthAdjust="spacingAndGlyphs"' if tight else ""


def fit(text: str, room: float, size: float, *, middle: bool = False) -> str:
    """`text` cut so that it is not wider than `room` pixels: at its end, or in its middle (both ends of a name tell it apart)."""
    if text_width(text, size) <= room:
        return text
    kept = len(text)
    while kept > 2:
        kept -= 1
        tail = kept // 3 if middle else 0
        shown = f"{text[: kept - tail].rstrip(' ,')}…{text[len(text) - tail :]}"
        if text_width(shown, size) <= room:
            return shown
    return "…"
