# SPDX-License-Identifier: BSD-3-Clause
"""Which leaves lie in which frame, and which edges share a trunk there.

A group is a frame only when nothing outside lies between its tasks (`a.x -> y -> a.z` would need a frame with a hole): such a group is
dissolved into what is around it, the smallest first.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from nbflow.core.graph import Graph
from nbflow.core.ids import TaskId
from nbflow.core.model import Flow
from nbflow.views.columns import Bundle, EdgeKey, End

ROOT: Final = ""


@dataclass(frozen=True)
class Link:
    """An edge between two leaves as one level sees it: the items they lie in, "" where it comes in or goes out."""

    source: str
    target: str
    edge: EdgeKey
    data: bool


@dataclass(frozen=True)
class Levels:
    """The tree of frames. A group's key ends with a dot, so that it never equals a task's; a leaf is a task or a folded group."""

    #: The items of each frame, as written.
    children: Mapping[str, tuple[str, ...]]
    #: The tasks in each folded group.
    members: Mapping[str, tuple[str, ...]]
    #: What each frame sees of the edges.
    links: Mapping[str, tuple[Link, ...]]

    def is_frame(self, item: str) -> bool:
        return item in self.children


def read_levels(flow: Flow, folded: Collection[str] = ()) -> Levels:
    """The levels of a flow. Raises CycleError."""
    _ = Graph.of(flow).order
    closed, dissolved = {group + "." for group in folded}, set[str]()
    while True:
        levels = _levels(flow, closed, dissolved)
        tangled = _tangled(levels)
        if tangled is None:
            return levels
        dissolved.add(tangled)
        closed.discard(tangled)


def _levels(flow: Flow, closed: set[str], dissolved: set[str]) -> Levels:
    children: dict[str, dict[str, None]] = {ROOT: {}}
    members: dict[str, list[str]] = {}
    chains: dict[str, tuple[str, ...]] = {}
    for task in flow.tasks:
        chain = _chain(task.id, closed, dissolved)
        chains[task.id] = chain
        for outer, inner in pairwise(chain):
            children.setdefault(outer, {})[inner] = None
        if chain[-1] != task.id:
            members.setdefault(chain[-1], []).append(task.id)
    return Levels(
        {frame: tuple(items) for frame, items in children.items()},
        {group: tuple(tasks) for group, tasks in members.items()},
        {frame: tuple(links) for frame, links in _links(flow, chains).items()},
    )


def _chain(task: TaskId, closed: set[str], dissolved: set[str]) -> tuple[str, ...]:
    """From the root to the leaf that stands for this task."""
    parts = task.split(".")
    chain = [ROOT]
    for depth in range(1, len(parts)):
        group = ".".join(parts[:depth]) + "."
        if group not in dissolved:
            chain.append(group)
        if group in closed:
            return tuple(chain)
    return (*chain, task)


def _links(flow: Flow, chains: Mapping[str, tuple[str, ...]]) -> dict[str, list[Link]]:
    data: dict[EdgeKey, bool] = {}
    for edge in flow.edges:
        if edge.upstream in chains and edge.downstream in chains:
            key = (chains[edge.upstream][-1], chains[edge.downstream][-1])
            data[key] = data.get(key, False) or edge.carries_data
    by_leaf = {chain[-1]: chain for chain in chains.values()}
    links: dict[str, list[Link]] = {}
    for key, carries in data.items():
        above, below = by_leaf[key[0]], by_leaf[key[1]]
        if above == below:
            continue
        fork = next(depth for depth in range(len(above)) if above[depth] != below[depth])
        links.setdefault(above[fork - 1], []).append(Link(above[fork], below[fork], key, carries))
        for depth in range(fork, len(above) - 1):
            links.setdefault(above[depth], []).append(Link(above[depth + 1], "", key, carries))
        for depth in range(fork, len(below) - 1):
            links.setdefault(below[depth], []).append(Link("", below[depth + 1], key, carries))
    return links


def _tangled(levels: Levels) -> str | None:
    """A group that waits for itself through something outside; the one with the fewest items."""
    found: list[tuple[int, int, str]] = []
    for place, (frame, items) in enumerate(levels.children.items()):
        graph: dict[str, set[str]] = {item: set() for item in items}
        for link in levels.links.get(frame, ()):
            if link.source and link.target:
                graph[link.source].add(link.target)
        groups = (item for item in _in_cycles(graph) if item.endswith("."))
        found += [(len(levels.children.get(group, levels.members.get(group, ()))), -place, group) for group in groups]
    return min(found)[2] if found else None


def _in_cycles(graph: Mapping[str, set[str]]) -> list[str]:
    rest = {item: set(below) for item, below in graph.items()}
    while ends := [item for item, below in rest.items() if not below & rest.keys()]:
        for item in ends:
            del rest[item]
    return [item for item in rest if _reaches(rest, item)]


def _reaches(graph: Mapping[str, set[str]], start: str) -> bool:
    seen: set[str] = set()
    todo = [start]
    while todo:
        for below in graph.get(todo.pop(), ()):
            if below == start:
                return True
            if below not in seen:
                seen.add(below)
                todo.append(below)
    return False


# --- trunks -----------------------------------------------------------------------------------------------------------


def bundles(items: Sequence[str], links: Iterable[Link]) -> list[Bundle]:
    """The edges of one level by the trunk they share: a whole mesh, else the biggest star first, a shared target before a shared source."""
    place = {item: number for number, item in enumerate(items)}
    found: list[Bundle] = []
    ends: dict[str, End] = {}
    inner: dict[bool, dict[EdgeKey, None]] = {True: {}, False: {}}
    outer: dict[tuple[str, bool, bool], set[EdgeKey]] = {}
    for link in links:
        if link.source:
            ends[link.edge[0]] = End(place[link.source], link.edge[0])
        if link.target:
            ends[link.edge[1]] = End(place[link.target], link.edge[1])
        if link.source and link.target:
            inner[link.data][link.edge] = None
        else:
            leaf = link.edge[0] if link.source else link.edge[1]
            outer.setdefault((leaf, bool(link.source), link.data), set()).add(link.edge)
    for data, edges in inner.items():
        for sources, targets in _shares(list(edges)):
            shared = frozenset((source, target) for source in sources for target in targets)
            found.append(Bundle(data, tuple(ends[leaf] for leaf in sources), tuple(ends[leaf] for leaf in targets), shared))
    for (leaf, leaves, data), keys in outer.items():
        end = (ends[leaf],)
        found.append(Bundle(data, end if leaves else (), () if leaves else end, frozenset(keys)))
    return found


def _shares(edges: Sequence[EdgeKey]) -> list[tuple[list[str], list[str]]]:
    """Sources and targets of each trunk; every source is joined with every target, and every edge is in one trunk."""
    left = dict.fromkeys(edges)
    shared: list[tuple[list[str], list[str]]] = []
    for sources, targets in sorted(_meshes(edges), key=lambda mesh: -len(mesh[0]) * len(mesh[1])):
        mesh = [(source, target) for source in sources for target in targets]
        if all(edge in left for edge in mesh):
            shared.append((sources, targets))
            for edge in mesh:
                del left[edge]
    return shared + _stars(list(left))


def _meshes(edges: Sequence[EdgeKey]) -> list[tuple[list[str], list[str]]]:
    """Sources that have the same targets, and targets that have the same sources, at least two by two."""
    found: list[tuple[list[str], list[str]]] = []
    for side in (0, 1):
        others: dict[str, list[str]] = {}
        for edge in edges:
            others.setdefault(edge[side], []).append(edge[1 - side])
        alike: dict[frozenset[str], list[str]] = {}
        for leaf, far in others.items():
            alike.setdefault(frozenset(far), []).append(leaf)
        for far_set, near in alike.items():
            if len(near) > 1 and len(far_set) > 1:
                far = others[near[0]]
                found.append((near, far) if side == 0 else (far, near))
    return found


def _stars(edges: Sequence[EdgeKey]) -> list[tuple[list[str], list[str]]]:
    left: dict[tuple[int, str], dict[EdgeKey, None]] = {}
    for edge in edges:
        left.setdefault((0, edge[1]), {})[edge] = None
        left.setdefault((1, edge[0]), {})[edge] = None
    order = {centre: number for number, centre in enumerate(left)}
    found: list[tuple[list[str], list[str]]] = []
    heap = [(-len(star), side, order[side, leaf], leaf) for (side, leaf), star in left.items()]
    heapq.heapify(heap)
    while heap:
        size, side, number, leaf = heapq.heappop(heap)
        star = list(left[side, leaf])
        if not star:
            continue
        if len(star) < -size:
            heapq.heappush(heap, (-len(star), side, number, leaf))
            continue
        found.append(([edge[0] for edge in star], [leaf]) if side == 0 else ([leaf], [edge[1] for edge in star]))
        for edge in star:
            left[0, edge[1]].pop(edge, None)
            left[1, edge[0]].pop(edge, None)
    return found
