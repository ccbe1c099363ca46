# SPDX-License-Identifier: BSD-3-Clause
"""One process runs many attempts: each starts from what the notebook's plain cells had set, and leaves nothing behind."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what `signal` stands on: it makes no enum members, which would take ten times as long
import asyncio
import builtins
import contextlib
import decimal
import getpass
import logging
import os
import pickle
import random
import signal
import sys
import sysconfig
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, TextIO

from nbflow.core.job import ProcessState
from nbflow.core.unbroken import unbroken
from nbflow.operators.libraries import Libraries

#: Puts a part of the process back as it was noted.
PutBack = Callable[[], None]
#: Signals whose handlers an attempt may set.
_KINDS: Final = tuple(map(int, (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2)))


def fresh_main() -> types.ModuleType:
    """An empty `__main__` for one attempt."""
    main = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    return main


@contextlib.contextmanager
@unbroken
def isolated(state: ProcessState, main: types.ModuleType) -> Iterator[list[str]]:
    """Inside the block the process is as the notebook's plain cells left theirs, with `main` as `__main__`; afterwards it is as before.

    Yields the warnings: what could not be restored, as sentences.
    """
    problems: list[str] = []
    noted: list[PutBack] = []
    try:
        for note in (_modules, _interpreter, _folder, _logging, _signals, _event_loop):
            noted.append(note())  # noqa: PERF401  those before one that fails are put back
        with warnings.catch_warnings(), decimal.localcontext(), Libraries() as libraries:
            sys.modules["__main__"] = main
            _restore(state, problems)
            libraries.apply(state.settings, problems)
            seed_afresh()
            try:
                yield problems
            finally:
                _let_go(main)
    finally:
        _put_all_back(noted)


def _put_all_back(noted: list[PutBack]) -> None:
    """The last one first, each of them also when an interrupt ends another."""
    try:
        while noted:
            noted.pop()()
    finally:
        if noted:
            _put_all_back(noted)


def _let_go(main: types.ModuleType) -> None:
    """The attempt's objects are freed now, not when the collector comes by: the next attempt has the memory."""
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        sys.__dict__.pop(name, None)
    main.__dict__.clear()


def seed_afresh() -> None:
    """Random generators start from the system's own randomness in every attempt."""
    random.seed(int.from_bytes(os.urandom(32)))  # without a number it would ask the system for eighty times as much
    numpy = sys.modules.get("numpy")
    if numpy is not None and "numpy.random" in sys.modules:
        numpy.random.seed()


def _restore(state: ProcessState, problems: list[str]) -> None:
    for name, value in state.environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if state.cwd:
        try:
            os.chdir(state.cwd)
        except OSError as error:
            problems.append(
                f"the notebook's working directory {state.cwd} cannot be entered on this worker ({error.strerror}): "
                f"paths are relative to {Path.cwd()}"
            )
    sys.path[:0] = [folder for folder in state.sys_path if folder not in sys.path]
    if state.warning_filters is None:
        return
    try:
        filters = pickle.loads(state.warning_filters)  # noqa: S301  our own bytes, from this run's captures
    except Exception as error:  # noqa: BLE001  a filter may name a warning class that only the notebook's environment has
        problems.append(f"the notebook's warning filters could not be restored ({error})")
    else:
        warnings.resetwarnings()
        for action, message, category, module, line in reversed(filters):
            warnings.filterwarnings(action, _pattern(message), category, _pattern(module), line)


def _pattern(text: Any) -> str:
    return "" if text is None else getattr(text, "pattern", str(text))


@cache
def _installed() -> tuple[str, ...]:
    """Where modules are nobody's helper modules: Python's own, installed ones, and nbflow."""
    paths = sysconfig.get_paths()
    return (*{paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}, str(Path(__file__).resolve().parents[1]))


def _modules() -> PutBack:
    """Helper modules beside the notebook are imported anew by each attempt; installed packages stay loaded."""
    before = list(sys.modules)
    main = sys.modules.get("__main__")

    def put_back() -> None:
        after = list(sys.modules)
        for name in () if after == before else set(after).difference(before):
            file = getattr(sys.modules[name], "__file__", None)
            if file and not file.startswith(_installed()):
                del sys.modules[name]
        if main is not None:
            sys.modules["__main__"] = main

    return put_back


_no_input: list[TextIO] = []


def _nothing() -> TextIO:
    """A `stdin` that is at its end; the same for every attempt until one closes it."""
    if not _no_input or _no_input[0].closed:
        _no_input[:] = [Path(os.devnull).open()]  # noqa: SIM115  it stays open
    return _no_input[0]


def _interpreter() -> PutBack:
    """sys.path, environment, arguments, hooks, and what programs replace in builtins."""
    path, argv, environment = list(sys.path), list(sys.argv), _raw_environment()
    meta_path, path_hooks = list(sys.meta_path), list(sys.path_hooks)
    hooks = {name: getattr(sys, name) for name in ("excepthook", "displayhook", "unraisablehook", "stdin", "stdout", "stderr")}
    thread_hook, recursion = threading.excepthook, sys.getrecursionlimit()
    own = dict(builtins.__dict__)
    ask = getpass.getpass
    sys.argv = ["nbflow"]
    sys.stdin = _nothing()

    def put_back() -> None:
        sys.path[:], sys.argv = path, argv
        sys.meta_path[:], sys.path_hooks[:] = meta_path, path_hooks
        _put_back(environment)
        for name, hook in hooks.items():
            setattr(sys, name, hook)
        threading.excepthook = thread_hook
        sys.setrecursionlimit(recursion)
        for name in [name for name in builtins.__dict__ if name not in own]:
            del builtins.__dict__[name]
        builtins.__dict__.update(own)
        getpass.getpass = ask

    return put_back


def _raw_environment() -> dict[Any, Any]:
    """Names and values as the system has them: decoding a hundred variables twice for each attempt takes longer than most of the rest."""
    return dict(os.environ._data)  # type: ignore[attr-defined]  # noqa: SLF001  there is no public way that does not decode


def _put_back(environment: dict[Any, Any]) -> None:
    now = _raw_environment()
    if now == environment:
        return
    for name in [name for name in now if name not in environment]:
        del os.environ[os.fsdecode(name)]
    for name, value in environment.items():
        if now.get(name) != value:
            os.environ[os.fsdecode(name)] = os.fsdecode(value)


def _folder() -> PutBack:
    try:
        before: str | None = os.getcwd()  # noqa: PTH109  the text is what chdir wants back
    except FileNotFoundError:  # somebody removed it
        before = None
    mask = os.umask(0o022)
    os.umask(mask)

    def put_back() -> None:
        os.umask(mask)
        if before is not None:
            with contextlib.suppress(OSError):
                os.chdir(before)

    return put_back


def _logging() -> PutBack:
    """A kernel starts with a root logger that has no handlers, so `logging.basicConfig` works."""
    root, manager = logging.getLogger(), logging.Logger.manager
    known: dict[str, tuple[Any, ...]] = {
        name: (logger.level, list(logger.handlers), list(logger.filters), logger.propagate, logger.disabled)
        for name, logger in _loggers(manager).items()
    }
    root_state = root.level, list(root.handlers), list(root.filters), manager.disable
    root.handlers[:], root.level = [], logging.WARNING
    _forget_levels(manager)

    def put_back() -> None:
        root.level, root.handlers[:], root.filters[:], manager.disable = root_state
        for name, logger in _loggers(manager).items():
            level, handlers, filters, propagate, disabled = known.get(name, (logging.NOTSET, [], [], True, False))
            logger.level, logger.handlers[:], logger.filters[:] = level, handlers, filters
            logger.propagate, logger.disabled = propagate, disabled
        _forget_levels(manager)

    return put_back


def _loggers(manager: logging.Manager) -> dict[str, logging.Logger]:
    return {name: logger for name, logger in list(manager.loggerDict.items()) if isinstance(logger, logging.Logger)}


def _forget_levels(manager: logging.Manager) -> None:
    """Loggers remember which levels are on; setting one through `setLevel` makes all of them look again."""
    manager.root.setLevel(manager.root.level)


def _signals() -> PutBack:
    """Handlers and the alarm clock; only the main thread may set them."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    before = [_signal.getsignal(kind) for kind in _KINDS]

    def put_back() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for kind, handler in zip(_KINDS, before, strict=True):
            if handler is not None and _signal.getsignal(kind) is not handler:
                signal.signal(kind, handler)

    return put_back


def _event_loop() -> PutBack:
    """An attempt's event loop and policy are its own."""
    policy = asyncio.get_event_loop_policy()

    def put_back() -> None:
        if asyncio.get_event_loop_policy() is not policy:
            asyncio.set_event_loop_policy(policy)

    return put_back
