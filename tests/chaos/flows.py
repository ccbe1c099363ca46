# SPDX-License-Identifier: BSD-3-Clause
"""Random flows: a plan is made of *pieces* (a task, a branch, a mapped task, ...), each of which says what must have become of its tasks.

A new kind of piece is a function that returns its tasks, and an entry of `PIECES`. What a task says with `options` it says on a `%%task` line and in
`@task(...)` alike.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from nbflow.core.ids import TaskKey
from nbflow.core.states import TaskState

S = TaskState
#: Seconds after which a task that hangs is ended; a slow machine must not need as long for one that does not.
HANGING = 3.0
#: The pool that some tasks share, and its slots.
POOL, SLOTS = "narrow", 2


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One task of a random flow."""

    id: str
    #: Tasks whose value it adds up.
    reads: tuple[str, ...] = ()
    #: Tasks it only waits for.
    after: tuple[str, ...] = ()
    seconds: float = 0.0
    #: Of `body.work`.
    ending: str = "well"
    #: What it gives, in terms of `x_<id>` of what it reads; "": one more than the sum of those.
    gives: str = ""
    #: The last expression of a task for which it decides something; "" for any other task.
    decides: str = ""
    #: The task over whose list it is mapped; its element is called `element`.
    over: str = ""
    copies: int = 0
    #: More options, as on a `%%task` line.
    options: Mapping[str, str] = field(default_factory=dict)
    #: What must have become of it, and of each of its copies.
    expected: TaskState = S.SUCCESS
    #: Its value, as a person is shown it; "": that is not looked at.
    shown: str = ""
    #: Whether a later piece may read it.
    is_readable: bool = True

    @property
    def expression(self) -> str:
        return self.gives or " + ".join(["1", *(f"x_{id}" for id in self.reads)])

    @property
    def work(self) -> str:
        return f"work({self.seconds:.3f}, {self.ending!r})"

    @property
    def looks(self) -> bool:
        """Whether one attempt of it runs its code several times."""
        return self.options.get("as") == "sensor"

    @property
    def slots(self) -> int:
        """What it takes of the shared pool while it is handed over."""
        return int(self.options["slots"]) if self.options.get("pool") == POOL else 0

    @property
    def keys(self) -> tuple[TaskKey, ...]:
        return tuple(TaskKey(self.id, index) for index in range(self.copies)) if self.over else (TaskKey(self.id),)


@dataclass
class Plan:
    """The tasks of one seed, in an order in which each stands below what it waits for."""

    tasks: list[Planned] = field(default_factory=list)

    @property
    def ends_well(self) -> bool:
        """Whether the run succeeds: no task that nothing follows has failed, or did not run."""
        followed = {id for task in self.tasks for id in (*task.reads, *task.after, task.over)}
        return all(task.expected in {S.SUCCESS, S.SKIPPED} for task in self.tasks if task.id not in followed)

    @property
    def has_failures(self) -> bool:
        return any(task.expected in {S.FAILED, S.UPSTREAM_FAILED} for task in self.tasks)


class Dice(random.Random):
    """What a piece may ask for."""

    def seconds(self) -> float:
        return self.choice([0.0, 0.05, 0.2, 0.4])

    def reads(self, plan: Plan) -> tuple[str, ...]:
        """Up to two tasks above that surely succeed and give a number."""
        readable = [task.id for task in plan.tasks if task.is_readable]
        return tuple(sorted(self.sample(readable, self.randint(0, min(2, len(readable)))))) if readable else ()


def _task(plan: Plan, number: int, dice: Dice) -> list[Planned]:
    """One task, which may fail the first time; the result of some is kept for later runs."""
    reads = dice.reads(plan)
    ending = dice.choices(["well", "raises first", "exits first"], [8, 2, 1])[0]
    shown = str(1 + sum(int(task.shown) for task in plan.tasks if task.id in reads))
    kept = {"cache-for": "1d"} if number % 3 == 2 else {}
    return [Planned(id=f"t{number}", reads=reads, seconds=dice.seconds(), ending=ending, options=kept, shown=shown)]


def _branch(plan: Plan, number: int, dice: Dice) -> list[Planned]:
    """A branch with two arms and the task where they meet."""
    id, arms = f"b{number}", (f"b{number}_left", f"b{number}_right")
    chosen = dice.choice(arms)
    return [
        Planned(id=id, reads=dice.reads(plan), seconds=dice.seconds(), decides=repr(chosen), options={"as": "branch"}, is_readable=False),
        *(
            Planned(
                id=arm,
                after=(id,),
                seconds=dice.choice([0.0, 0.1]),
                expected=S.SUCCESS if arm == chosen else S.SKIPPED,
                is_readable=False,
            )
            for arm in arms
        ),
        Planned(id=f"b{number}_join", after=arms, options={"trigger-rule": "none_failed_min_one_success"}, shown="1"),
    ]


def _mapped(plan: Plan, number: int, dice: Dice) -> list[Planned]:
    """A list, a copy of a task for each of its elements, and their sum."""
    id, count = f"m{number}", dice.randint(1, 4)
    ending = dice.choices(["well", "raises first"], [2, 1])[0]
    return [
        Planned(id=f"{id}_list", gives=f"list(range({count}))", seconds=dice.choice([0.0, 0.1]), is_readable=False),
        Planned(
            id=f"{id}_each",
            over=f"{id}_list",
            copies=count,
            gives="element * 10",
            seconds=dice.choice([0.0, 0.1, 0.2]),
            ending=ending,
            is_readable=False,
        ),
        Planned(id=f"{id}_sum", reads=(f"{id}_each",), gives=f"sum(x_{id}_each)", shown=str(sum(10 * n for n in range(count)))),
    ]


def _skips(plan: Plan, number: int, dice: Dice) -> list[Planned]:
    """A task that skips itself, one that is skipped with it, and one that does not mind."""
    id = f"s{number}"
    return [
        Planned(id=id, ending="skips", seconds=dice.choice([0.0, 0.1]), expected=S.SKIPPED, is_readable=False),
        Planned(id=f"{id}_too", after=(id,), expected=S.SKIPPED, is_readable=False),
        Planned(id=f"{id}_on", after=(f"{id}_too",), options={"trigger-rule": "none_failed"}, shown="1"),
    ]


def _fails(plan: Plan, number: int, dice: Dice) -> list[Planned]:
    """A task that fails, one that does not run for it, and one that runs whatever happened (without which the run fails)."""
    id = f"f{number}"
    made = [
        Planned(id=id, ending="fails", seconds=dice.choice([0.0, 0.1]), expected=S.FAILED, is_readable=False),
        Planned(id=f"{id}_not", after=(id,), expected=S.UPSTREAM_FAILED, is_readable=False),
    ]
    return [*made, Planned(id=f"{id}_done", after=(f"{id}_not",), options={"trigger-rule": "all_done"}, shown="1")][
        : dice.choice([2, 3, 3])
    ]


def _hangs(plan: Plan, number: int, dice: Dice) -> list[Planned]:
    """A task that has to be ended by its time limit the first time."""
    limit = {"timeout": f"{HANGING:g}s", "retries": "4"}  # a slow machine may take that long for a second attempt, too
    return [Planned(id=f"h{number}", reads=(), seconds=dice.choice([0.0, 0.1]), ending="hangs first", options=limit, shown="1")]


def _looks(plan: Plan, number: int, dice: Dice) -> list[Planned]:
    """A sensor, which is there at its third look, and a task that waits for it."""
    id = f"w{number}"
    options = {"as": "sensor", "poke": "0.1s"}
    return [
        Planned(id=id, seconds=dice.choice([0.0, 0.1]), decides="looked(3)", options=options, is_readable=False),
        Planned(id=f"{id}_then", after=(id,), shown="1"),
    ]


def _pooled(plan: Plan, number: int, dice: Dice) -> list[Planned]:
    """Tasks that want more slots of a pool than it has, one of them all at once, and a task that waits for them."""
    ids = [f"p{number}_{letter}" for letter in "abcd"]
    wants = [1, 1, 1, SLOTS]
    return [
        *(
            Planned(id=id, seconds=dice.choice([0.05, 0.2]), options={"pool": POOL, "slots": str(slots)}, shown="1")
            for id, slots in zip(ids, wants, strict=True)
        ),
        Planned(id=f"p{number}_then", after=tuple(ids), shown="1"),
    ]


Make = Callable[[Plan, int, Dice], list[Planned]]
#: The pieces of flows, and how often each is drawn.
PIECES: tuple[tuple[Make, int], ...] = (
    (_task, 12),
    (_branch, 2),
    (_mapped, 3),
    (_skips, 1),
    (_fails, 1),
    (_hangs, 1),
    (_looks, 1),
    (_pooled, 1),
)


def plan(seed: int, *, size: int = 6) -> Plan:
    """The flow of this seed."""
    dice, made = Dice(f"flow {seed}"), Plan()
    pieces, weights = zip(*PIECES, strict=True)
    while len(made.tasks) < size:
        (piece,) = dice.choices(pieces, weights)
        made.tasks += piece(made, len(made.tasks), dice)
    return made
