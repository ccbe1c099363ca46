# SPDX-License-Identifier: BSD-3-Clause
"""`python -m tests.unit.widgets.layouts`: flows as Python lays them out, for the tests of the graph in TypeScript to lay out alike."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any, Final

from nbflow.core.ids import FlowName, TaskId
from nbflow.core.model import Edge, Flow, Task
from nbflow.views.layout import groups_to_fold, layout

FIXTURE: Final = Path(__file__).resolve().parents[3] / "labextension" / "packages" / "graph" / "tests" / "layouts.json"
_DEMO: Final = ("security", "main", "ext", "time", "token", "bridge", "daemon", "notification", "message")


def flow(name: str, text: str, alone: Iterable[str] = ()) -> Flow:
    """`a > b, b ~ c`: data from a to b, only order from b to c."""
    edges = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        upstream, sign, downstream = part.split()
        edges.append(Edge(upstream=TaskId(upstream), downstream=TaskId(downstream), names=("x",) if sign == ">" else ()))
    ids = dict.fromkeys([*(end for edge in edges for end in (edge.upstream, edge.downstream)), *alone])
    return Flow(name=FlowName(name), tasks=tuple(Task(id=TaskId(id)) for id in ids), edges=tuple(edges))


def random_flow(name: str, seed: int, tasks: int, *, groups: int = 0) -> Flow:
    dice = Random(seed)
    ids = [f"g{dice.randrange(groups)}.t{n}" if groups and dice.random() < 0.6 else f"t{n}" for n in range(tasks)]
    edges = {}
    for below in range(1, tasks):
        for _ in range(dice.choice((0, 1, 1, 2, 3))):
            above = dice.randrange(max(0, below - 12), below)
            edges[above, below] = Edge(
                upstream=TaskId(ids[above]), downstream=TaskId(ids[below]), names=("x",) if dice.random() < 0.8 else ()
            )
    return Flow(name=FlowName(name), tasks=tuple(Task(id=TaskId(id)) for id in ids), edges=tuple(edges.values()))


def flows() -> list[tuple[Flow, tuple[str, ...]]]:
    downloads = ", ".join(f"download.{app}App > drop_exception" for app in _DEMO)
    demo = flow(
        "demo",
        f"{downloads}, drop_exception > create_table, create_table > parse_log, parse_log > gen_reports, gen_reports > check_threshold, "
        "check_threshold ~ alert, check_threshold ~ all_quiet, gen_reports > alert",
    )
    nested = flow("nested", "a > g.b, g.b > g.h.c, g.b > g.h.d, g.h.c > g.e, g.h.d > g.e, a ~ f, g.e > f, a > g.h.d, g.h.d > out")
    tangled = flow("tangled", "a.x > y, y > a.z, a.z > b.w, b.w > b.v, b.v > c")
    mesh = flow("mesh", "a > x, a > y, a > z, b > x, b > y, b > z, x > end, a > end, b ~ end")
    names = flow("names", "a_name_that_is_long_enough_to_be_cut_somewhere_in_its_middle > short, short > MMMMWWWW_wide_letters, short > i")
    alone = flow("alone", "a > b", [f"single_{n}" for n in range(13)])
    energy = flow(
        "energy",
        "load_readings > clean, clean > profile, clean > train, clean > join_weather, fetch_weather > join_weather, train > evaluate, "
        "evaluate > publish, join_weather > publish",
    )
    found = [(one, ()) for one in (demo, nested, tangled, mesh, names, alone, energy, flow("empty", ""), flow("one", "", ["only"]))]
    found += [(demo, ("download",)), (nested, ("g",)), (nested, ("g.h",))]
    found += [(random_flow(f"random {seed}", seed, 40), ()) for seed in range(6)]
    found += [(random_flow(f"random groups {seed}", seed, 45, groups=4), ()) for seed in range(6)]
    many = random_flow("many", 99, 90, groups=5)
    return [*found, (many, groups_to_fold(many))]


def described(one: Flow, folded: tuple[str, ...]) -> dict[str, Any]:
    drawn = layout(one, folded)
    return {
        "name": one.name,
        "tasks": [task.id for task in one.tasks],
        "edges": [{"from": edge.upstream, "to": edge.downstream, "names": list(edge.names)} for edge in one.edges],
        "folded": list(folded),
        "width": drawn.width,
        "height": drawn.height,
        "nodes": [[node.id, node.label, node.x, node.y, node.width, list(node.members)] for node in drawn.nodes],
        "frames": [[frame.group, frame.label, frame.x, frame.y, frame.width, frame.height] for frame in drawn.frames],
        "segments": sorted([round(value, 3) for value in segment] for stroke in drawn.strokes for segment in stroke.segments),
        "tips": sorted([tip.x, tip.y, tip.data, len(tip.edges)] for tip in drawn.tips),
    }


def fixture() -> str:
    lines = ",\n".join(json.dumps(described(one, folded), separators=(",", ":")) for one, folded in flows())
    return f"[\n{lines}\n]\n"


if __name__ == "__main__":
    FIXTURE.write_text(fixture())
