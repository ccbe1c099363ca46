# SPDX-License-Identifier: BSD-3-Clause
"""`dask = "cluster:..."`: a Dask cluster class with its arguments, fixed or adaptive, which this process starts and ends.

One text says it all, so that it fits in an environment variable; a table of `nbflow.toml` is turned into the same text:

    cluster:dask.distributed.LocalCluster?n_workers=2&adapt=0-4

An argument is JSON where it reads as JSON (`2`, `true`, `["a", "b"]`, `"2"` for the text), else a text as it stands (`4GB`).
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import logging
import math
import re
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl, quote
from zoneinfo import ZoneInfo

from nbflow.core.adapting import Bounds, in_force, read_bounds
from nbflow.core.errors import SetupError, nearest

PREFIX: Final = "cluster:"
_ADAPT: Final = "adapt"
_TIMES: Final = "times"
_log = logging.getLogger(__name__)
#: Seconds between two looks at the time of day.
_LOOK: Final = 20.0
_DOTTED: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_RANGE: Final = re.compile(r"(\d+)-(\d+)")
#: Seconds a cluster has to end what it started.
_CLOSE_LIMIT: Final = 10.0


class BadCluster(ValueError):
    """Half a sentence about what is wrong, and `key`, the part of the setting it is about."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(why)
        self.key = key


@dataclass(frozen=True, kw_only=True)
class ClusterSpec:
    """Which cluster to start."""

    #: Dotted, such as `dask.distributed.LocalCluster` or `dask_jobqueue.SLURMCluster`.
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    #: Arguments of Dask's `adapt`: `minimum`, `maximum` and whatever else it takes. None: the cluster keeps its size.
    adapt: Mapping[str, Any] | None = None
    #: Several of them, for times of the day (core/adapting.py), by the clock of this zone.
    by_day: tuple[Bounds, ...] = ()
    timezone: str = "UTC"

    def __str__(self) -> str:
        """The text `parse_cluster` reads."""
        pairs = [(name, _written(value)) for name, value in self.arguments.items()]
        if self.adapt is not None:
            is_range = self.adapt.keys() == {"minimum", "maximum"}
            pairs.append((_ADAPT, "{minimum}-{maximum}".format(**self.adapt) if is_range else json.dumps(dict(self.adapt))))
        if self.by_day:
            pairs.append((_ADAPT, json.dumps({"timezone": self.timezone, _TIMES: [bounds.written() for bounds in self.by_day]})))
        query = "&".join(f"{name}={quote(value, safe=' /:,')}" for name, value in pairs)
        return f"{PREFIX}{self.name}" + (f"?{query}" if query else "")


def parse_cluster(text: str) -> ClusterSpec:
    """What the setting means. Raises BadCluster."""
    name, _, query = text.removeprefix(PREFIX).partition("?")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise BadCluster("arguments", f'"{query}" is not written as NAME=VALUE&NAME=VALUE') from None
    arguments = {key: _read(value) for key, value in pairs if key != _ADAPT}
    adapt = next((_read_adapt(value) for key, value in pairs if key == _ADAPT), None)
    if isinstance(adapt, Mapping) and _TIMES in adapt:
        return _spec(name, arguments, adapt[_TIMES], str(adapt.get("timezone", "UTC")))
    return _spec(name, arguments, adapt, "UTC")


def from_table(table: Mapping[str, Any], timezone: str = "UTC") -> ClusterSpec:
    """The table `[dask]` of `nbflow.toml`: `cluster`, `arguments`, `adapt`, whose times of day are those of this zone. Raises BadCluster."""
    known = ("cluster", "arguments", _ADAPT)
    for key in table:
        if key not in known:
            raise BadCluster(key, f'the table has no "{key}", only {", ".join(known)}.{nearest(key, known)}'.rstrip("."))
    arguments, adapt = table.get("arguments", {}), table.get(_ADAPT)
    if not isinstance(arguments, dict):
        raise BadCluster("arguments", f"arguments is {arguments!r}, but takes a table such as {{n_workers = 2}}")
    spec = _spec(str(table.get("cluster", "")), arguments, adapt, timezone)
    try:
        json.dumps([arguments, spec.adapt, [bounds.adapt for bounds in spec.by_day]])
    except TypeError as error:
        raise BadCluster("arguments", f"an argument cannot be sent to a cluster class ({error})") from None
    return spec


def _spec(name: str, arguments: Mapping[str, Any], adapt: Any, timezone: str) -> ClusterSpec:
    """What it says, when it can mean something. Raises BadCluster."""
    if not _DOTTED.fullmatch(name):
        raise BadCluster("cluster", f'"{name}" is not the dotted name of a cluster class, such as dask.distributed.LocalCluster')
    if adapt is None:
        return ClusterSpec(name=name, arguments=arguments)
    try:
        bounds = read_bounds(adapt)
        ZoneInfo(timezone)
    except (ValueError, LookupError, OSError) as error:
        raise BadCluster(_ADAPT, str(error)) from None
    if len(bounds) == 1:
        return ClusterSpec(name=name, arguments=arguments, adapt=bounds[0].adapt)
    return ClusterSpec(name=name, arguments=arguments, by_day=bounds, timezone=timezone)


class OwnCluster:
    """A cluster this process started; it ends with `close`, and with the process."""

    def __init__(self, spec: ClusterSpec, now: Callable[[], datetime] = lambda: datetime.now(UTC), look: float = _LOOK) -> None:
        """Raises SetupError when there is no such class, it takes no such argument, or it does not start.

        `now`, and `look` seconds between two looks at it, are for tests.
        """
        self._name, self._spec, self._now, self._look = spec.name, spec, now, look
        self._zone = ZoneInfo(spec.timezone)
        self._closed = threading.Event()
        self.is_adaptive = spec.adapt is not None or bool(spec.by_day)
        made = cluster_class(spec.name)
        _refuse_unknown(spec, made)
        warnings.filterwarnings("ignore", message="Port .* is already in use")  # of a dashboard nobody asked for
        try:
            #: Dask's own object: a client made from it has its credentials.
            self.cluster = made(**spec.arguments)
            bounds = self._bounds()
            if bounds is not None:
                self.cluster.adapt(**bounds)
        except Exception as error:
            # Whatever a deployment raises: of a queue that is not there, of a keyword it does not take.
            raise SetupError(
                f"The Dask cluster {spec.name} could not be started ({_said(error)}): check the arguments in the setting `dask` (NBFLOW_DASK)."
            ) from error

        if spec.by_day:
            threading.Thread(target=self._follow_the_day, args=(bounds,), name="nbflow-adapt", daemon=True).start()

    def _bounds(self) -> Mapping[str, Any] | None:
        if not self._spec.by_day:
            return self._spec.adapt
        # Both are always said: Dask keeps from the last time what is left out.
        return {"minimum": 0, "maximum": math.inf, **in_force(self._spec.by_day, self._now(), self._zone)}

    def _follow_the_day(self, applied: Mapping[str, Any] | None) -> None:
        """Looks at the clock now and then, instead of sleeping until the next bound: clocks are set, and machines sleep."""
        while not self._closed.wait(self._look):
            bounds = self._bounds()
            if bounds == applied or bounds is None:
                continue
            try:
                self.cluster.adapt(**bounds)
            except Exception as error:  # noqa: BLE001 - whatever a deployment raises: the cluster stays as large as it is
                _log.warning("the Dask cluster %s could not be given the bounds of this time of day: %s", self._name, error)
            else:
                _log.info("the Dask cluster %s adapts with %s from now on", self._name, dict(bounds))
            applied = bounds

    @property
    def address(self) -> str:
        """Of its scheduler."""
        return str(self.cluster.scheduler_address)

    @property
    def is_running(self) -> bool:
        return getattr(getattr(self.cluster, "status", None), "name", "") == "running"

    def close(self) -> None:
        """End its workers and its scheduler."""
        self._closed.set()
        with contextlib.suppress(Exception):  # a deployment that cannot end must not hide how the run ended
            self.cluster.close(timeout=_CLOSE_LIMIT)


def cluster_class(name: str) -> Any:
    """The class of that dotted name. Raises SetupError naming what is missing."""
    module_name, _, class_name = name.rpartition(".")
    place = f'dask = "{PREFIX}{name}"'
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise SetupError(f"{place} names a module that cannot be imported here ({error}): install it, or correct the name.") from None
    found = getattr(module, class_name, None)
    if not callable(found):
        known = [word for word in dir(module) if word.endswith("Cluster")]
        raise SetupError(f"{place}: the module {module_name} has no class {class_name}.{nearest(class_name, known)}")
    if not hasattr(found, "adapt") and not hasattr(found, "scheduler_address"):
        raise SetupError(f"{place} is no Dask cluster class: name one such as dask.distributed.LocalCluster.")
    return found


def _refuse_unknown(spec: ClusterSpec, made: Any) -> None:
    """Before anything starts: an adaptive cluster would wait for ever for workers that fail over an argument they do not know."""
    known = _known_arguments(made)
    if known is None or "worker_class" in spec.arguments:
        return
    for key in spec.arguments:
        if key not in known:
            raise SetupError(
                f'The Dask cluster {spec.name} takes no argument "{key}": correct it in the setting `dask` (NBFLOW_DASK), or in the table '
                f"[cluster] of the flow.{nearest(key, known)}"
            )


def _known_arguments(made: Any) -> frozenset[str] | None:
    """The names of what it takes; None when it passes on what it does not know, nobody can say where to."""
    try:
        named, passes_on = _parameters(made)
    except (TypeError, ValueError):  # of what is written in C
        return None
    if not passes_on:
        return named
    from distributed import LocalCluster, Nanny, Worker  # noqa: PLC0415 - loaded with the class, where it is one of Dask's

    if getattr(made, "__init__", None) is not LocalCluster.__init__:
        return None
    # Its own are said in full; the rest goes to its nannies, and from them to their workers and the servers these are.
    makers = [each.__init__ for kind in (Nanny, Worker) for each in kind.__mro__ if "__init__" in vars(each) and each is not object]
    return named.union(*(_parameters(maker)[0] for maker in makers))


def _parameters(made: Any) -> tuple[frozenset[str], bool]:
    """Their names, and whether it takes any other."""
    parameters = inspect.signature(made).parameters.values()
    kinds = inspect.Parameter
    named = frozenset(each.name for each in parameters if each.kind in {kinds.KEYWORD_ONLY, kinds.POSITIONAL_OR_KEYWORD})
    return named, any(each.kind is kinds.VAR_KEYWORD for each in parameters)


def _said(error: Exception) -> str:
    """What it says, with what it came from: Dask says "Nanny failed to start." of whatever ended a worker."""
    last: BaseException = error
    while last.__cause__ is not None:
        last = last.__cause__
    said = dict.fromkeys(" ".join(str(each).split()).rstrip(".") for each in (error, last))
    return ": ".join(each for each in said if each)[:300] or type(error).__name__


def _written(value: Any) -> str:
    """A text stays a text where that is not ambiguous."""
    return value if isinstance(value, str) and _read(value) == value else json.dumps(value)


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _read_adapt(text: str) -> Mapping[str, Any]:
    found = _RANGE.fullmatch(text)
    if found:
        return {"minimum": int(found[1]), "maximum": int(found[2])}
    value = _read(text)
    if not isinstance(value, dict):
        raise BadCluster(_ADAPT, f'adapt is "{text}", but takes MINIMUM-MAXIMUM such as 0-4')
    return value
