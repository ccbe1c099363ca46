# SPDX-License-Identifier: BSD-3-Clause
"""What plain cells did to this process: working directory, import path, environment, settings of libraries, warning filters.

Only what differs from the process as it began travels, so that a worker keeps what belongs to the worker. Where an extension is loaded after
cells that already changed something, the beginning is read from the operating system (environment) or from the libraries' own defaults.
"""

from __future__ import annotations

import os
import pickle
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from nbflow.core.job import ProcessState

#: Set by Jupyter or IPython in their own process, never by a cell.
_OF_THE_KERNEL: Final = frozenset(
    {
        "CLICOLOR",
        "CLICOLOR_FORCE",
        "FORCE_COLOR",
        "GIT_PAGER",
        "JPY_PARENT_PID",
        "JPY_SESSION_NAME",
        "MPLBACKEND",
        "PAGER",
        "TERM",
        "_",
        "OLDPWD",
        "SHLVL",
    }
    | {"PYDEVD_USE_FRAME_EVAL", "PYDEVD_DISABLE_FILE_VALIDATION", "JPY_INTERRUPT_EVENT", "IPY_INTERRUPT_EVENT", "COLUMNS", "LINES"}
)
#: rcParams that say where figures are drawn, not how.
_OF_THE_BACKEND: Final = frozenset({"backend", "backend_fallback", "interactive", "toolbar", "webagg.port", "webagg.address"})
#: numpy's print options as they are when nobody touched them.
_NUMPY_DEFAULTS: Final[Mapping[str, Any]] = {
    "edgeitems": 3,
    "threshold": 1000,
    "floatmode": "maxprec",
    "precision": 8,
    "suppress": False,
    "linewidth": 75,
    "nanstr": "nan",
    "infstr": "inf",
    "sign": "-",
    "formatter": None,
    "legacy": False,
    "override_repr": None,
}


@dataclass(frozen=True)
class Baseline:
    """The process before any plain cell."""

    environment: Mapping[str, str] = field(default_factory=dict)
    sys_path: tuple[str, ...] = ()
    #: None: cells ran before the extension was loaded, so nobody knows; the filters then always travel.
    filters: tuple[Any, ...] | None = None

    @classmethod
    def now(cls, *, fresh: bool) -> Baseline:
        """As it stands now; `fresh` when no cell has run yet."""
        return cls(
            environment=_first_environment() or dict(os.environ),
            sys_path=tuple(sys.path),
            filters=tuple(warnings.filters) if fresh else None,
        )


def process_state(baseline: Baseline, notebook_folder: str = "") -> ProcessState:
    """What has to be restored before every attempt."""
    folder = notebook_folder or os.getcwd()  # noqa: PTH109 - a text, as sys.path holds
    added = [entry for entry in sys.path if entry and entry not in baseline.sys_path]
    return ProcessState(
        cwd=os.getcwd(),  # noqa: PTH109 - as above
        sys_path=tuple(dict.fromkeys([*(str(Path(entry).absolute()) for entry in added), folder])),
        environment=_environment_changes(baseline.environment),
        settings={name: found for name, found in _settings().items() if found},
        warning_filters=_filters(baseline),
    )


def _first_environment() -> dict[str, str]:
    """The environment the operating system started this process with; empty where it cannot be read."""
    try:
        raw = Path("/proc/self/environ").read_bytes()
    except OSError:
        return {}
    pairs = (entry.decode("utf-8", "surrogateescape").partition("=") for entry in raw.split(b"\0") if b"=" in entry)
    return {name: value for name, _, value in pairs}


def _environment_changes(before: Mapping[str, str]) -> dict[str, str | None]:
    changed: dict[str, str | None] = {name: value for name, value in os.environ.items() if before.get(name) != value}
    changed.update({name: None for name in before if name not in os.environ})
    return {name: value for name, value in changed.items() if name not in _OF_THE_KERNEL and not name.startswith("PYTEST_")}


def _settings() -> dict[str, dict[str, Any]]:
    """Options of libraries that are loaded and differ from their defaults; what does not pickle stays behind."""
    found = {"matplotlib": _matplotlib(), "pandas": _pandas(), "numpy": _numpy()}
    return {library: {name: _packed(value) for name, value in options.items() if _pickles(value)} for library, options in found.items()}


def _packed(value: Any) -> Any:
    """A library's own object travels pickled: only a process that has the library can, and need, read it."""
    return value if isinstance(value, bool | int | float | str | None) else pickle.dumps(value)


def _matplotlib() -> dict[str, Any]:
    matplotlib = sys.modules.get("matplotlib")
    if matplotlib is None or not hasattr(matplotlib, "rcParams"):
        return {}
    # dict's own access: rcParams["backend"] would choose a backend.
    current, original = dict(dict.items(matplotlib.rcParams)), dict(dict.items(matplotlib.rcParamsOrig))
    return {name: value for name, value in current.items() if name not in _OF_THE_BACKEND and _differs(value, original.get(name))}


def _pandas() -> dict[str, Any]:
    pandas = sys.modules.get("pandas")
    registry = getattr(sys.modules.get("pandas._config.config"), "_registered_options", {})
    if pandas is None or not hasattr(pandas, "get_option"):
        return {}
    deprecated = getattr(sys.modules.get("pandas._config.config"), "_deprecated_options", {})
    found = {}
    for name, option in dict(registry).items():
        if name not in deprecated and _differs(value := pandas.get_option(name), option.defval):
            found[name] = value
    return found


def _numpy() -> dict[str, Any]:
    numpy = sys.modules.get("numpy")
    if numpy is None or not hasattr(numpy, "get_printoptions"):
        return {}
    return {name: value for name, value in numpy.get_printoptions().items() if _differs(value, _NUMPY_DEFAULTS.get(name))}


def _filters(baseline: Baseline) -> bytes | None:
    current = tuple(warnings.filters)
    if current == baseline.filters:
        return None
    portable = [entry for entry in current if entry[2].__module__ != "__main__"]
    return pickle.dumps(portable) if _pickles(portable) else None


def _differs(one: Any, other: Any) -> bool:
    try:
        return bool(one != other)
    except Exception:  # noqa: BLE001 - a value of any library; comparing it may raise anything, and then it is not a default
        return True


def _pickles(value: Any) -> bool:
    try:
        pickle.dumps(value)
    except Exception:  # noqa: BLE001 - pickling runs a library's code, which may raise anything
        return False
    return True
