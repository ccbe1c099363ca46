# SPDX-License-Identifier: BSD-3-Clause
"""Settings of matplotlib, pandas and numpy: pristine at the start of an attempt, then what the plain cells had set, and pristine again afterwards.

None of them is imported for it: what is not loaded yet gets its settings when user code imports it.
"""

from __future__ import annotations

import copy
import importlib.abc
import importlib.machinery
import importlib.util
import os
import pickle
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Self

_INLINE: Final = "module://matplotlib_inline.backend_inline"


def draw_inline() -> None:
    """Tell matplotlib what a kernel tells it; the whole environment is restored by somebody else."""
    if os.environ.get("MPLBACKEND") != _INLINE:
        os.environ["MPLBACKEND"] = _INLINE


class Libraries(importlib.abc.MetaPathFinder):
    """A context manager, and the import hook that waits for the libraries while it is open."""

    def __init__(self) -> None:
        self._snapshots: dict[str, Any] = {}
        self._settings: Mapping[str, Mapping[str, Any]] = {}
        self._problems: list[str] = []

    def __enter__(self) -> Self:
        draw_inline()
        for name, library in _LIBRARIES.items():
            if name in sys.modules:
                self._snapshots[name] = library.snapshot(sys.modules[name])
                library.begin(sys.modules[name])
        sys.meta_path.insert(0, self)
        return self

    def __exit__(self, *_error: object) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        for name, state in self._snapshots.items():
            _LIBRARIES[name].restore(sys.modules[name], state)

    def apply(self, settings: Mapping[str, Mapping[str, Any]], problems: list[str]) -> None:
        """Set what plain cells had set, now or when the library is imported; what cannot be set is added to `problems`."""
        self._settings, self._problems = settings, problems
        for name in self._snapshots:
            self._set(name)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        del path, target  # the other finders know better
        if fullname not in _LIBRARIES or fullname in self._snapshots:
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            sys.meta_path.insert(0, self)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def and_then(module: types.ModuleType) -> None:
                execute(module)
                self._imported(fullname, module)

            spec.loader.exec_module = and_then  # type: ignore[method-assign]  # of this one loader
        return spec

    def _imported(self, name: str, module: types.ModuleType) -> None:
        self._snapshots[name] = _LIBRARIES[name].snapshot(module)
        self._set(name)

    def _set(self, name: str) -> None:
        for key, stored in self._settings.get(name, {}).items():
            try:
                value = pickle.loads(stored) if isinstance(stored, bytes) else stored  # noqa: S301  from this run's captures
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    _LIBRARIES[name].assign(sys.modules[name], key, value)
            except Exception as error:  # noqa: BLE001  another version may not know the setting; the attempt can do without
                self._problems.append(f"the notebook's {name} setting {key} could not be restored ({error})")


class _Library:
    """How one library's settings are read, set and put back."""

    def __init__(
        self,
        snapshot: Callable[[Any], Any],
        restore: Callable[[Any, Any], None],
        assign: Callable[[Any, str, Any], None],
        begin: Callable[[Any], None] = lambda _module: None,
    ) -> None:
        self.snapshot, self.restore, self.assign, self.begin = snapshot, restore, assign, begin


def _matplotlib_begin(matplotlib: Any) -> None:
    _close_figures()
    with _quietly():
        dict.__setitem__(matplotlib.rcParams, "backend", _INLINE)
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.switch_backend(_INLINE)


def _matplotlib_restore(matplotlib: Any, state: Any) -> None:
    _close_figures()
    with _quietly():
        dict.update(matplotlib.rcParams, state)


def _close_figures() -> None:
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close("all")


@contextmanager
def _quietly() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _matplotlib_set(matplotlib: Any, key: str, value: Any) -> None:
    if key != "backend":
        matplotlib.rcParams[key] = value


def _pandas_snapshot(pandas: Any) -> Any:
    return copy.deepcopy(pandas._config.config._global_config)  # noqa: SLF001  there is no public way to read all options


def _pandas_begin(pandas: Any) -> None:
    """Loaded without a shell, it took the process for a terminal: in a notebook 20 columns are shown."""
    if pandas.get_option("display.max_columns") == 0:
        pandas.set_option("display.max_columns", 20)


def _pandas_restore(pandas: Any, state: Any) -> None:
    config = pandas._config.config._global_config  # noqa: SLF001  see above
    if config != state:
        with _quietly():
            for key, value in _leaves(state):
                if pandas.get_option(key) != value:
                    pandas.set_option(key, value)


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _numpy_restore(numpy: Any, state: Any) -> None:
    options, errors = state
    numpy.set_printoptions(**options)
    numpy.seterr(**errors)


_LIBRARIES: Final = {
    "matplotlib": _Library(
        lambda matplotlib: dict(dict.items(matplotlib.rcParams)), _matplotlib_restore, _matplotlib_set, _matplotlib_begin
    ),
    "pandas": _Library(_pandas_snapshot, _pandas_restore, lambda pandas, key, value: pandas.set_option(key, value), _pandas_begin),
    "numpy": _Library(
        lambda numpy: (numpy.get_printoptions(), numpy.geterr()),
        _numpy_restore,
        lambda numpy, key, value: numpy.set_printoptions(**{key: value}),
    ),
}
