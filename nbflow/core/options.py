# SPDX-License-Identifier: BSD-3-Clause
"""The options of a task, defined once: `%%task`, `@task` and `[defaults]` read this dataclass and nothing else.

Each field's metadata says how it is written on a `%%task` line and what it means; its `kind` says which values it takes.
A field is listed here only when it does what it says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final


class TriggerRule(StrEnum):
    """When a task may run, given the states of its upstream tasks (semantics.md 1)."""

    ALL_SUCCESS = "all_success"
    ALL_FAILED = "all_failed"
    ALL_DONE = "all_done"
    ALL_DONE_MIN_ONE_SUCCESS = "all_done_min_one_success"
    ALL_DONE_SETUP_SUCCESS = "all_done_setup_success"
    ONE_SUCCESS = "one_success"
    ONE_FAILED = "one_failed"
    ONE_DONE = "one_done"
    NONE_FAILED = "none_failed"
    NONE_FAILED_MIN_ONE_SUCCESS = "none_failed_min_one_success"
    NONE_SKIPPED = "none_skipped"
    ALL_SKIPPED = "all_skipped"
    ALWAYS = "always"


class TaskKind(StrEnum):
    """What a task is besides work, and what its last expression decides (`--as`)."""

    PLAIN = "task"
    #: The ids to follow; what stands directly below and is neither named nor below a named task is skipped.
    BRANCH = "branch"
    #: Whether to go on; if not, everything below is skipped.
    SHORT_CIRCUIT = "short-circuit"
    #: Whether what it waits for is there; no worker is held between two looks.
    SENSOR = "sensor"
    #: Makes what the work below it needs.
    SETUP = "setup"
    #: Takes away what its setups made, however the work ended.
    TEARDOWN = "teardown"
    #: Skips what stands directly below in all runs but the latest scheduled one, and those started by hand.
    LATEST_ONLY = "latest-only"
    #: The question a person is asked, or the answers to choose from.
    APPROVAL = "approval"


#: Kinds whose body says something in its last expression that nbflow needs.
DECIDING: Final = frozenset({TaskKind.BRANCH, TaskKind.SHORT_CIRCUIT, TaskKind.SENSOR, TaskKind.APPROVAL})
#: How long a sensor waits in all when nobody says.
SENSOR_TIMEOUT: Final = timedelta(days=7)


class WeightRule(StrEnum):
    """What a task's priority counts for (semantics.md 7)."""

    DOWNSTREAM = "downstream"
    UPSTREAM = "upstream"
    ABSOLUTE = "absolute"


class OnFailure(StrEnum):
    """What it means for a task that its last attempt failed."""

    FAIL = "fail"
    SKIP = "skip"
    LAST_GOOD = "last-good"


class PastCheck(StrEnum):
    """What a task does when it has not gone well the last time (semantics.md 6)."""

    NO = "no"
    WAIT = "wait"
    SKIP = "skip"
    #: A callable says it for each run.
    ASK = "ask"


class NotifyOn(StrEnum):
    """What the addresses of a task are told of."""

    FAILURE = "failure"
    RETRY = "retry"
    SUCCESS = "success"
    SKIP = "skip"


class Takes(StrEnum):
    """Which values an option takes, and so how it is written on a line, in TOML and in Python."""

    FLAG = "flag"  # --cache, --no-cache; true or false
    INTEGER = "integer"  # a whole number, not negative
    COUNT = "count"  # a whole number, 1 or more
    SIGNED = "signed"  # a whole number
    NUMBER = "number"
    DURATION = "duration"
    TEXT = "text"
    NAMES = "names"  # one or more words: --after a b; a list in TOML and Python
    CHOICE = "choice"
    CHECK = "check"  # --depends-on-past, or with one of its words; true, false or a word
    RESOURCES = "resources"  # GPU=1 MEM=4GB; a table in TOML, a dict in Python
    PAIRS = "pairs"  # x=xs y=ys, in this order
    ADDRESSES = "addresses"  # as names; a URL holds commas
    DEADLINE = "deadline"  # a duration, or a time of day: kept as written
    SOME = "some"  # one or more of its words


def _option(
    default: Any, takes: Takes, help: str, *, flag: str = "", metavar: str = "", choices: tuple[str, ...] = (), short: str = ""
) -> Any:
    metadata = {"takes": takes, "help": help, "flag": flag, "metavar": metavar, "choices": choices, "short": short}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """What a person may say of one task. Durations are timedeltas, names are tuples."""

    after: tuple[str, ...] = _option((), Takes.NAMES, "run after these tasks or groups, without data", metavar="TASK")
    reads: tuple[str, ...] = _option((), Takes.NAMES, "variables this task reads, besides those found", metavar="NAME")
    writes: tuple[str, ...] = _option((), Takes.NAMES, "variables this task must give, besides those found", metavar="NAME")
    map: tuple[tuple[str, str], ...] = _option(
        (), Takes.PAIRS, "one copy of the task for each element of XS, bound to X; said twice: all combinations", metavar="X=XS"
    )
    zip: bool = _option(default=False, takes=Takes.FLAG, help="with several --map: pairwise instead of all combinations, to the shortest")
    retries: int = _option(0, Takes.INTEGER, "further attempts after a failed one", metavar="N")
    retry_delay: timedelta = _option(timedelta(minutes=5), Takes.DURATION, "wait between two attempts", metavar="D")
    backoff: float = _option(0.0, Takes.NUMBER, "multiply the delay by this after each attempt", metavar="M")
    max_retry_delay: timedelta | None = _option(None, Takes.DURATION, "never wait longer than this", metavar="D")
    retry_on: tuple[str, ...] = _option((), Takes.NAMES, "retry only these exceptions", metavar="EXCEPTION")
    no_retry_on: tuple[str, ...] = _option((), Takes.NAMES, "never retry these exceptions", metavar="EXCEPTION")
    infra_retries: int = _option(2, Takes.INTEGER, "restarts, free of charge, after a lost worker", metavar="N")
    timeout: timedelta | None = _option(
        None, Takes.DURATION, "end an attempt that takes longer; of a sensor or approval: the whole wait", metavar="D"
    )
    on_failure: OnFailure = _option(
        OnFailure.FAIL,
        Takes.CHOICE,
        "what the last failed attempt means: last-good takes the value of an earlier run",
        metavar="MEANING",
        choices=tuple(OnFailure),
    )
    trigger_rule: TriggerRule = _option(
        TriggerRule.ALL_SUCCESS, Takes.CHOICE, "when it may run, given its upstream tasks", metavar="RULE", choices=tuple(TriggerRule)
    )
    as_: TaskKind = _option(
        TaskKind.PLAIN,
        Takes.CHOICE,
        "what the task is; the last expression decides: ids to follow, go on?, there yet?, what to ask",
        flag="as",
        metavar="KIND",
        choices=tuple(TaskKind),
    )
    ignore_downstream_trigger_rules: bool = _option(
        default=True, takes=Takes.FLAG, help="a short circuit skips everything below; with --no- only what stands directly below"
    )
    on_failure_fail_run: bool = _option(default=False, takes=Takes.FLAG, help="a failed teardown fails the run")
    poke: timedelta = _option(timedelta(minutes=1), Takes.DURATION, "a sensor looks again after this", metavar="D")
    exponential: bool = _option(default=False, takes=Takes.FLAG, help="a sensor waits longer after each look")
    max_wait: timedelta | None = _option(None, Takes.DURATION, "the longest wait between two looks of a sensor", metavar="D")
    soft_fail: bool = _option(default=False, takes=Takes.FLAG, help="a sensor or approval is skipped when its time is up")
    never_fail: bool = _option(default=False, takes=Takes.FLAG, help="any error of a sensor skips it")
    silent_fail: bool = _option(default=False, takes=Takes.FLAG, help="a sensor looks again after an error")
    default: str = _option("", Takes.TEXT, "the answer of an approval when its --timeout is over", metavar="ANSWER")
    pool: str = _option("default_pool", Takes.TEXT, "run only while this pool has a slot free (nbflow pools)", metavar="POOL")
    slots: int = _option(1, Takes.COUNT, "how many slots of its pool it takes", metavar="N")
    priority: int = _option(1, Takes.SIGNED, "higher runs first among those that may run", metavar="N")
    weight_rule: WeightRule = _option(
        WeightRule.DOWNSTREAM, Takes.CHOICE, "whose priorities count besides its own", metavar="RULE", choices=tuple(WeightRule)
    )
    max_active: int | None = _option(None, Takes.COUNT, "at most so many of it at once, over all runs of the flow", metavar="N")
    max_active_per_run: int | None = _option(None, Takes.COUNT, "at most so many of it at once in one run", metavar="N")
    resources: Mapping[str, str] = _option((), Takes.RESOURCES, "MEM=4GB is enforced; others are Dask worker resources", metavar="NAME=N")
    escalate: Mapping[str, str] = _option(
        (), Takes.RESOURCES, "multiply these resources after each failed attempt: MEM=2", metavar="NAME=FACTOR"
    )
    operator: str = _option(
        "",
        Takes.TEXT,
        "what runs the body: python (default), bash, sql, email; as sensors: file, http, sql, time, flow",
        metavar="OP",
        short="o",
    )
    conn: str = _option("", Takes.TEXT, "the connection that its operator, or ctx.conn, uses (nbflow connections)", metavar="NAME")
    out: str = _option("", Takes.TEXT, "the variable an operator's result is bound to", metavar="NAME")
    depends_on_past: PastCheck = _option(
        PastCheck.NO,
        Takes.CHECK,
        "run only when it went well in the run before: else wait, or skip",
        metavar="[HOW]",
        choices=("wait", "skip"),
    )
    wait_for_downstream: bool = _option(
        default=False, takes=Takes.FLAG, help="as --depends-on-past, and what follows it directly must have gone well, too"
    )
    ignore_first_depends_on_past: bool = _option(
        default=True, takes=Takes.FLAG, help="run a task that no earlier run has; with --no- it waits"
    )
    wait_for_past_depends_before_skipping: bool = _option(
        default=False, takes=Takes.FLAG, help="a task that is to be skipped waits for its past, too"
    )
    cache: bool = _option(
        default=False, takes=Takes.FLAG, help="take the result of an earlier run when code, inputs and parameters are the same"
    )
    cache_for: timedelta | None = _option(None, Takes.DURATION, "as --cache, with results that are no older", metavar="D")
    unless_exists: str = _option(
        "", Takes.TEXT, "success, without running, when this file or URL exists ({{ ds }}, {{ name }})", metavar="URL"
    )
    outlets: tuple[str, ...] = _option(
        (), Takes.NAMES, "assets it updates when it succeeds: flows that wait for them start", metavar="ASSET"
    )
    inlets: tuple[str, ...] = _option((), Takes.NAMES, "assets it reads, for whoever looks where data comes from", metavar="ASSET")
    owner: str = _option("", Takes.TEXT, "who is responsible, and told when it fails: a name of [owners] in nbflow.toml", metavar="NAME")
    deadline: str = _option("", Takes.DEADLINE, "tell when it is not done so long after its run was due (45m), or by 07:30", metavar="WHEN")
    notify: tuple[str, ...] = _option((), Takes.ADDRESSES, "tell these addresses (URLs or connections) when it fails", metavar="URL")
    notify_on: tuple[str, ...] = _option(
        (), Takes.SOME, "tell them of these instead: failure, retry, success, skip", metavar="WHAT", choices=tuple(NotifyOn)
    )
    doc: str = _option("", Takes.TEXT, "what the task is for", metavar="TEXT")
    run: bool = _option(default=False, takes=Takes.FLAG, help="run the task as soon as its cell is executed (not headlessly)")


#: Options of one cell, which therefore cannot be a default for many tasks.
NOT_DEFAULTS: Final = frozenset(
    {"after", "reads", "writes", "map", "zip", "as_", "default", "out", "doc", "run", "unless_exists", "outlets", "inlets"}
)


@dataclass(frozen=True, kw_only=True)
class OptionSpec:
    """How one option is written: on a `%%task` line as `--flag`, in TOML and Python as `name`."""

    name: str
    flag: str
    takes: Takes
    default: Any
    help: str
    metavar: str
    choices: tuple[str, ...]
    short: str


def option_specs() -> tuple[OptionSpec, ...]:
    """Every option, in the order of the help text."""
    return tuple(
        OptionSpec(
            name=f.name.rstrip("_"),
            flag=f.metadata["flag"] or f.name.rstrip("_").replace("_", "-"),
            takes=f.metadata["takes"],
            default=f.default,
            help=f.metadata["help"],
            metavar=f.metadata["metavar"],
            choices=tuple(str(choice) for choice in f.metadata["choices"]),
            short=f.metadata["short"],
        )
        for f in fields(TaskOptions)
    )
