# SPDX-License-Identifier: BSD-3-Clause
"""What starts a flow besides its schedule: an asset was updated, another flow's run ended, a file appeared or changed.

An occasion is one such thing, for one deployment that waits for it. It is written down in the transaction in which it happened and is gone in
the one that makes its run: that is what makes it start exactly one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

from nbflow.core.assets import Expression, Name, any_of, asset_name, read_expression
from nbflow.core.errors import UserError, nearest
from nbflow.core.ids import flow_name
from nbflow.core.states import RunState

if TYPE_CHECKING:
    from nbflow.core.records import Change, RunRecord, TaskRecord
    from nbflow.core.watching import Watch

#: The ends of another flow's run that can be waited for.
ENDS: Final = (RunState.SUCCESS.value, RunState.FAILED.value)
_FINISHED: Final = frozenset(state.value for state in RunState if state.is_finished)
#: Of one asset the newest updates are kept.
MOST_UPDATES: Final = 1000
#: Characters of a path or URL.
_LONGEST: Final = 1000
_WORD: Final = re.compile(r"(?P<kind>[a-z]+):(?P<rest>.+)", re.DOTALL)


class Kind(StrEnum):
    """What an occasion is about; the `run_type` of the run it starts."""

    ASSET = "asset"
    FLOW = "flow"
    FILE = "file"


@dataclass(frozen=True, kw_only=True)
class Occasion:
    """One thing that happened. Fields that do not belong to its kind are empty."""

    kind: Kind
    #: The asset's name; the flow and how its run ended (`sales:failed`); the file's path.
    subject: str
    at: datetime
    #: Whose run ended, or updated the asset, and in which task.
    flow: str = ""
    run_id: str = ""
    task: str = ""
    map_index: int = -1
    #: Of a file: `new` or `changed`.
    change: str = ""
    #: The person who updated an asset by hand.
    by: str = ""
    #: What they said with it.
    extra: Mapping[str, Any] = field(default_factory=dict)
    #: Given by the store.
    id: int = 0

    def document(self) -> dict[str, Any]:
        """As `ctx.events` has it."""
        name, _, state = self.subject.partition(":") if self.kind is Kind.FLOW else (self.subject, "", "")
        own: dict[str, Any] = {
            Kind.ASSET: {"asset": self.subject},
            Kind.FLOW: {"flow": name, "state": state},
            Kind.FILE: {"path": self.subject, "change": self.change},
        }[self.kind]
        by = {
            "flow": self.flow,
            "run_id": self.run_id,
            "task": self.task,
            "map_index": self.map_index if self.map_index >= 0 else "",
            "by": self.by,
        }
        more = {key: value for key, value in by.items() if value != ""} | ({"extra": dict(self.extra)} if self.extra else {})
        return {"kind": self.kind.value, "at": self.at.isoformat(), **more, **own}


def say_event(event: Mapping[str, Any]) -> str:
    """`asset clean_logs was updated by task clean of run ...`, from the document of an occasion."""
    if event["kind"] == Kind.FLOW:
        how = "succeeded" if event["state"] == RunState.SUCCESS else "failed"
        return f"run {event.get('run_id', '')} of flow {event['flow']} {how}"
    if event["kind"] == Kind.FILE:
        return f"{event['path']} is new" if event["change"] == "new" else f"{event['path']} has changed"
    copy = f"[{event['map_index']}]" if "map_index" in event else ""
    who = f"task {event['task']}{copy} of run {event['run_id']}" if event.get("task") else event.get("by", "")
    return f"asset {event['asset']} was updated" + (f" by {who}" if who else "")


def occasions_of(changes: Iterable[Change], run: Callable[[], RunRecord]) -> Iterator[Occasion]:
    """What these changes of a run mean to others. `run` is asked for only where an asset was updated."""
    who: RunRecord | None = None
    for change in changes:
        for asset in change.updates:
            who, key = who or run(), change.key
            yield Occasion(
                kind=Kind.ASSET,
                subject=asset,
                at=change.at,
                flow=who.deployment or who.flow,
                run_id=who.run_id,
                task=key.task_id if key else "",
                map_index=key.map_index if key else -1,
            )
        if change.key is None and change.run is not None and is_end(change.before, change.run):
            ended = change.run
            subject = f"{ended.deployment}:{ended.state.value}"
            yield Occasion(kind=Kind.FLOW, subject=subject, at=change.at, flow=ended.deployment, run_id=ended.run_id)


def is_end(before: str, run: RunRecord) -> bool:
    """Whether a deployed run ended with this, well or badly and of its own. What a person cancels or marks starts nothing."""
    return bool(run.deployment) and not run.by_hand and run.state.value in ENDS and before not in _FINISHED


@dataclass(frozen=True, kw_only=True)
class Starts:
    """What a deployment waits for, as the keys `on` and `assets` say."""

    #: Paths, patterns or URLs.
    files: tuple[str, ...] = ()
    #: `sales:success`, `sales:failed`.
    flows: tuple[str, ...] = ()
    #: Over the assets that were updated since the last run they started.
    condition: Expression | None = None

    def __bool__(self) -> bool:
        return bool(self.files or self.flows or self.condition)

    @property
    def assets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.condition.names())) if self.condition else ()

    def subjects(self) -> tuple[tuple[Kind, str], ...]:
        """Everything it hears of."""
        return (
            *((Kind.ASSET, name) for name in self.assets),
            *((Kind.FLOW, flow) for flow in self.flows),
            *((Kind.FILE, file) for file in self.files),
        )


def read_starts(said: Mapping[str, Any]) -> Starts:
    """What the keys of a schedule say of it (others are passed over). Raises UserError, a whole sentence that begins with the key."""
    words = said.get("on") or ()
    files: list[str] = []
    flows: list[str] = []
    assets: list[Expression] = []
    for word in (words,) if isinstance(words, str) else words:
        kind, rest = _split(str(word))
        if kind == Kind.FILE:
            if len(rest) > _LONGEST:
                raise UserError(f"on has a path of {len(rest)} characters: {_LONGEST} are the most.")
            files.append(rest)
        elif kind == Kind.FLOW:
            flows.append(_flow(rest))
        else:
            assets.append(Name(_checked(rest)))
    text = str(said.get("assets") or "")
    if text:
        try:
            assets.append(read_expression(text))
        except UserError as error:
            raise UserError(f'assets, "{text}", {error}') from None
    return Starts(files=tuple(dict.fromkeys(files)), flows=tuple(dict.fromkeys(flows)), condition=any_of(tuple(dict.fromkeys(assets))))


def _split(word: str) -> tuple[str, str]:
    found = _WORD.fullmatch(word.strip())
    kinds = [kind.value for kind in Kind]
    if found is None or found["kind"] not in kinds or not found["rest"].strip():
        hint = nearest(found["kind"], kinds) if found else ""
        raise UserError(f'on cannot be "{word}": write file:PATH, asset:NAME, flow:NAME or flow:NAME:failed.{hint}')
    return found["kind"], found["rest"].strip()


def _flow(rest: str) -> str:
    name, _, state = rest.partition(":")
    state = state or RunState.SUCCESS.value
    if state not in ENDS:
        raise UserError(f'on cannot be "flow:{rest}": a run ends as {" or ".join(ENDS)}.{nearest(state, ENDS)}')
    try:
        return f"{flow_name(name)}:{state}"
    except UserError as error:
        raise UserError(f'on cannot be "flow:{rest}": {error}') from None


def _checked(name: str) -> str:
    try:
        return asset_name(name)
    except UserError as error:
        raise UserError(f'on cannot be "asset:{name}": {error}') from None


@dataclass(frozen=True, kw_only=True)
class AssetUse:
    """An asset, who has to do with it, and how it stands."""

    name: str
    #: Deployed flows with a task that updates it, with one that reads it, and those that wait for it.
    updated_by: tuple[str, ...] = ()
    read_by: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()
    #: How many updates are kept, and the newest.
    count: int = 0
    newest: Occasion | None = None


class OccasionStore(Protocol):
    """What happened that deployments wait for, and where their files stand.

    Two kinds are written where they happen: the commit of a Change with `updates` records that these assets were updated, and the commit that ends
    a deployed run of its own (well or badly, and not by hand) records that. Both reach the deployments that wait for it then and are not paused.
    """

    def update(self, occasion: Occasion) -> Occasion:
        """An asset was updated, by hand."""
        ...

    def assets(self) -> tuple[AssetUse, ...]:
        """By name: those that were updated, and those that a deployed flow names."""
        ...

    def updates_of(self, asset: str, limit: int = 50) -> tuple[Occasion, ...]:
        """The newest first."""
        ...

    def pending(self, limit: int = 100, *, without: Collection[str] = ()) -> tuple[str, ...]:
        """Deployments that are not paused and have occasions nobody has looked at, those that wait longest first."""
        ...

    def waiting(self, name: str) -> tuple[Occasion, ...]:
        """The occasions of this deployment that have not started a run yet, oldest first."""
        ...

    def looked(self, name: str, ids: Sequence[int]) -> None:
        """These do not start a run by themselves: they wait for others."""
        ...

    def start(self, name: str, ids: Sequence[int], run: RunRecord | None, tasks: Sequence[TaskRecord] = ()) -> bool:
        """Take these occasions and create the run they start (None: they start none), both or neither.

        False, and nothing was written, when one of them was taken by somebody else, or the deployment is paused or gone.
        Raises UserError when the run's id is taken.
        """
        ...

    # files
    def due_watches(self, now: datetime, limit: int = 100) -> tuple[Watch, ...]:
        """Files to be looked at now, of deployments that are not paused, the longest due first."""
        ...

    def watches(self, name: str) -> tuple[Watch, ...]:
        """What this deployment watches."""
        ...

    def take_watch(self, watch: Watch, until: datetime) -> Watch | None:
        """Nobody else looks at it before `until`. None when somebody else took it."""
        ...

    def settle_watch(self, watch: Watch, runs: Sequence[tuple[RunRecord, Sequence[TaskRecord]]] = ()) -> bool:
        """Write down what was seen and create the runs it starts, all or nothing.

        False, and nothing was written, when somebody else wrote it meanwhile, or the deployment is paused or gone.
        Raises UserError when a run's id is taken.
        """
        ...
