# SPDX-License-Identifier: BSD-3-Clause
"""Assets and what starts flows, as doors ask for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nbflow.app.rooms import person
from nbflow.core.assets import asset_name
from nbflow.core.errors import Problem, UserError, nearest
from nbflow.core.messages import plural
from nbflow.core.occasions import AssetUse, Kind, Occasion, Starts, read_starts
from nbflow.core.schedule import Schedule

if TYPE_CHECKING:
    from nbflow.app.history import History
    from nbflow.app.workspace import Workspace
    from nbflow.core.deployments import Deployment


def named_assets(several: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Each once, by name."""
    return tuple(sorted({name for names in several for name in names}))


def refuse_itself(name: str, schedule: Schedule) -> None:
    """Raises UserError for a flow that its own end would start."""
    for flow in schedule.starts.flows:
        if flow.partition(":")[0] == name:
            raise UserError(f'Flow {name} cannot be started by its own end: name another flow in on, or write schedule = "@continuous".')


def asset(workspace: Workspace, name: str) -> AssetUse:
    """Raises UserError for one nobody knows."""
    known = {use.name: use for use in workspace.store.occasions.assets()}
    if name not in known:
        hint = nearest(name, known) or (" Type nbflow assets list." if known else " No task has --outlets yet.")
        raise UserError(f'There is no asset "{name}".{hint}')
    return known[name]


def start_problems(
    workspace: History, keys: Mapping[str, Any], own: Iterable[str] = (), place: Callable[[str], tuple[int, int]] = lambda _key: (0, 0)
) -> tuple[Problem, ...]:
    """Warnings: what a flow with these keys waits for and nobody here makes; its tasks update `own`. Raises UserError for keys that are wrong.

    `place` is the cell and the line of a key of the header.
    """
    starts = read_starts(keys)
    expression, found = str(keys.get("assets", "")), []
    for name, message in (*_unmade(workspace, starts, own), *_not_deployed(workspace, starts)):
        cell, line = place("assets" if name in expression else "on")
        found.append(Problem(cell=cell, line=line, message=message, code="starts", severity="warning"))
    return tuple(found)


def _unmade(workspace: History, starts: Starts, own: Iterable[str]) -> Iterator[tuple[str, str]]:
    if starts.condition is None:
        return
    makers = {use.name for use in workspace.store.occasions.assets() if use.updated_by or use.count} | set(own)
    for name in starts.assets:
        if name not in makers:
            yield name, f"No deployed flow updates the asset {name} that this flow waits for.{nearest(name, makers)}"


def _not_deployed(workspace: History, starts: Starts) -> Iterator[tuple[str, str]]:
    if not starts.flows:
        return
    names = {each.name for each in workspace.store.deployments.find(limit=100_000)}
    for name in dict.fromkeys(each.partition(":")[0] for each in starts.flows):
        if name not in names:
            yield name, f"This flow waits for the flow {name}, which is not deployed.{nearest(name, names)}"


@dataclass(frozen=True, kw_only=True)
class Wait:
    """One thing a deployment waits for, and how it stands."""

    kind: Kind
    #: The asset, the flow and how it ends, the path.
    subject: str
    #: Of an asset: the newest update since the last run it started; None: not yet.
    came: datetime | None = None
    #: Of files: how many there are, and why they cannot be looked at.
    files: int = 0
    error: str = ""

    @property
    def words(self) -> str:
        if self.kind is Kind.FILE:
            return f"{self.subject}: {self.error or plural(self.files, 'file')}"
        if self.kind is Kind.FLOW:
            name, _, state = self.subject.partition(":")
            return f"flow {name}: {'well' if state == 'success' else 'badly'}"
        return f"asset {self.subject}: " + (f"updated {self.came.astimezone():%a %d %b %H:%M}" if self.came else "not yet")

    def row(self) -> dict[str, Any]:
        """As JSON."""
        row: dict[str, Any] = {"kind": self.kind.value, "subject": self.subject}
        if self.kind is Kind.ASSET:
            row["came"] = self.came.isoformat() if self.came else None
        if self.kind is Kind.FILE:
            row |= {"files": self.files, "error": self.error}
        return row


def waits(workspace: Workspace, deployment: Deployment) -> tuple[Wait, ...]:
    """What a deployment waits for besides its schedule, and what of it has come. Raises UserError."""
    starts = read_starts(deployment.schedule)
    if not starts:
        return ()
    occasions = workspace.store.occasions
    came = {each.subject: each.at for each in occasions.waiting(deployment.name) if each.kind is Kind.ASSET} if starts.condition else {}
    watched = {watch.url: watch for watch in occasions.watches(deployment.name)} if starts.files else {}
    found = []
    for kind, subject in starts.subjects():
        watch = watched.get(subject)
        found.append(
            Wait(
                kind=kind,
                subject=subject,
                came=came.get(subject),
                files=watch.count if watch else 0,
                error=watch.error if watch else "",
            )
        )
    return tuple(found)


def update_asset(workspace: Workspace, name: str, extra: Mapping[str, Any] | None = None, by: str = "") -> Occasion:
    """Say that an asset was updated, by whatever did it. Raises UserError."""
    occasion = Occasion(kind=Kind.ASSET, subject=asset_name(name), at=workspace.clock.now(), by=by or person(), extra=dict(extra or {}))
    return workspace.store.occasions.update(occasion)
