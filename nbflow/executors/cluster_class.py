# SPDX-License-Identifier: BSD-3-Clause
"""`dask = "cluster:..."`: a Dask cluster class with its arguments, fixed or adaptive, which this process starts and ends.

One text says it all, so that it fits in an environment variable; a table of `nbflow.toml` is turned into the same text:

    cluster:dask.distributed.LocalCluster?n_workers=2&adapt=0-4

An argument is JSON where it reads as JSON (`2`, `true`, `["a", "b"]`, `"2"` for the text), else a text as it stands (`4GB`).
"""

from __future__ import annotations

import contextlib
import importlib
import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, quote

from nbflow.core.errors import SetupError, nearest

PREFIX: Final = "cluster:"
_ADAPT: Final = "adapt"
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

    def __str__(self) -> str:
        """The text `parse_cluster` reads."""
        pairs = [(name, _written(value)) for name, value in self.arguments.items()]
        if self.adapt is not None:
            is_range = self.adapt.keys() == {"minimum", "maximum"}
            pairs.append((_ADAPT, "{minimum}-{maximum}".format(**self.adapt) if is_range else json.dumps(dict(self.adapt))))
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
    return checked(ClusterSpec(name=name, arguments=arguments, adapt=adapt))


def from_table(table: Mapping[str, Any]) -> ClusterSpec:
    """The table `[dask]` of `nbflow.toml`: `cluster`, `arguments`, `adapt`. Raises BadCluster."""
    known = ("cluster", "arguments", _ADAPT)
    for key in table:
        if key not in known:
            raise BadCluster(key, f'the table has no "{key}", only {", ".join(known)}.{nearest(key, known)}'.rstrip("."))
    arguments, adapt = table.get("arguments", {}), table.get(_ADAPT)
    for key, value in (("arguments", arguments), (_ADAPT, adapt)):
        if value is not None and not isinstance(value, dict):
            raise BadCluster(key, f"{key} is {value!r}, but takes a table such as {{n_workers = 2}}")
    try:
        json.dumps([arguments, adapt])
    except TypeError as error:
        raise BadCluster("arguments", f"an argument cannot be sent to a cluster class ({error})") from None
    return checked(ClusterSpec(name=str(table.get("cluster", "")), arguments=arguments, adapt=adapt))


def checked(spec: ClusterSpec) -> ClusterSpec:
    """`spec`, when it can mean something. Raises BadCluster."""
    if not _DOTTED.fullmatch(spec.name):
        raise BadCluster("cluster", f'"{spec.name}" is not the dotted name of a cluster class, such as dask.distributed.LocalCluster')
    if spec.adapt is None:
        return spec
    low, high = spec.adapt.get("minimum", 0), spec.adapt.get("maximum")
    for name, value in (("minimum", low), ("maximum", high)):
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise BadCluster(_ADAPT, f"{name} of adapt is {value!r}, but takes a whole number, 0 or more")
    if high is not None and high < max(low, 1):
        raise BadCluster(_ADAPT, f"adapt goes from {low} to {high} workers, but the maximum must be at least 1 and not below the minimum")
    return spec


class OwnCluster:
    """A cluster this process started; it ends with `close`, and with the process."""

    def __init__(self, spec: ClusterSpec) -> None:
        """Raises SetupError when there is no such class, or it does not start."""
        self._name = spec.name
        self.is_adaptive = spec.adapt is not None
        made = cluster_class(spec.name)
        warnings.filterwarnings("ignore", message="Port .* is already in use")  # of a dashboard nobody asked for
        try:
            #: Dask's own object: a client made from it has its credentials.
            self.cluster = made(**spec.arguments)
            if spec.adapt is not None:
                self.cluster.adapt(**spec.adapt)
        except Exception as error:
            # Whatever a deployment raises: of a queue that is not there, of a keyword it does not take.
            said = " ".join(str(error).split())[:300] or type(error).__name__
            raise SetupError(
                f"The Dask cluster {spec.name} could not be started ({said}): check the arguments in the setting `dask` (NBFLOW_DASK)."
            ) from error

    @property
    def address(self) -> str:
        """Of its scheduler."""
        return str(self.cluster.scheduler_address)

    @property
    def is_running(self) -> bool:
        return getattr(getattr(self.cluster, "status", None), "name", "") == "running"

    def close(self) -> None:
        """End its workers and its scheduler."""
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
