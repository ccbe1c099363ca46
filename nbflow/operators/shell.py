# SPDX-License-Identifier: BSD-3-Clause
"""The IPython shell a task's cell runs in: a kernel's, without its sockets.

Each attempt has a fresh one, so that nothing leaks. Making one takes 5 ms, so it is made while the process waits for its next attempt, and one
that user code never got hold of (`_Watch`) is made like new instead, which takes a twentieth of that.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import getpass
import os
import sys
import traceback
import types
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from IPython.core.compilerop import CachingCompiler
from IPython.core.display_functions import display
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.error import UsageError
from IPython.core.history import HistoryManager
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from nbflow.core.context import SkipTask
from nbflow.core.unbroken import unbroken
from nbflow.operators.attempt import Attempt
from nbflow.operators.definitions import file_name
from nbflow.operators.errors import text_of
from nbflow.operators.outputs import Outputs
from nbflow.operators.syntax import CellTransformer

_OWN: Final = str(Path(__file__).resolve().parents[1]) + "/"
_NO_INPUT: Final = "a task runs unattended, so input() cannot ask anybody: read a parameter, a file or an environment variable instead"


class CellCompiler(CachingCompiler):  # type: ignore[misc]  # IPython is not typed
    """Names the body after its cell, so that tracebacks say where the person has to look."""

    filename = ""
    label = ""

    def get_code_name(self, raw_code: str, transformed_code: str, number: int) -> str:
        """The first code compiled is the body; what magics compile besides keeps IPython's names."""
        if self.filename and self.filename not in self._filename_map:
            return self.filename
        return str(super().get_code_name(raw_code, transformed_code, number))

    def format_code_name(self, name: str) -> tuple[str, str] | None:
        if name.startswith("<cell ") and name.endswith(">"):
            number, _, task = name[6:-1].partition(" ")
            return ("Cell", f"{number} ({task})") if task else ("Task", number)
        return None


class CellDisplayHook(DisplayHook):  # type: ignore[misc]  # IPython is not typed
    """The last expression becomes an `execute_result`; a branch's decision is taken even when a semicolon hides it."""

    outputs: Outputs
    #: Set twice for each cell, by IPython only: no trait, which takes its time to prove what it is set to.
    exec_result: Any = None

    def __call__(self, result: Any = None) -> None:
        self.fill_exec_result(result)
        super().__call__(result)

    def write_output_prompt(self) -> None:
        """No `Out[3]:` in the text: the output's kind says it."""

    def write_format_data(self, format_dict: dict[str, Any], md_dict: dict[str, Any] | None = None) -> None:
        self.outputs.result(format_dict_of(format_dict), md_dict or {})

    def finish_displayhook(self) -> None:
        _flush()
        self._is_active = False


class CellDisplayPublisher(DisplayPublisher):  # type: ignore[misc]  # IPython is not typed
    """`display(...)`, `update_display(...)` and `clear_output()`."""

    outputs: Outputs

    def publish(self, data: Any, metadata: Any = None, *_source: Any, transient: Any = None, update: bool = False, **_more: Any) -> None:
        _flush()
        display_id = (transient or {}).get("display_id", "") or ""
        bundle = format_dict_of(data)
        if update and display_id:
            self.outputs.update(bundle, metadata or {}, display_id)
        else:
            self.outputs.display(bundle, metadata or {}, display_id=display_id)

    def clear_output(self, wait: bool = False) -> None:  # noqa: FBT001, FBT002  IPython's signature
        _flush()
        self.outputs.clear(wait=wait)


class CellHistory(HistoryManager):  # type: ignore[misc]  # IPython is not typed
    """Keeps no sessions. What each cell sets is no trait here: nobody watches it, and traitlets would take its time to prove its kind."""

    _i00 = _i = _ii = _iii = ""
    input_hist_parsed: Any = ()
    input_hist_raw: Any = ()
    output_hist: Any = MappingProxyType({})
    output_hist_reprs: Any = MappingProxyType({})
    outputs: Any = MappingProxyType({})
    exceptions: Any = MappingProxyType({})
    dir_hist: Any = ()
    db_input_cache: Any = ()
    db_output_cache: Any = ()

    def begin(self, folder: str) -> None:
        """The lists are new: names of the cell before may have outlived it."""
        self._i00 = self._i = self._ii = self._iii = ""
        self.input_hist_parsed, self.input_hist_raw, self.output_hist, self.output_hist_reprs = [""], [""], {}, {}
        self.outputs, self.exceptions = defaultdict(list), {}
        self.dir_hist, self.db_input_cache, self.db_output_cache = [_path(folder)], [], []


def format_dict_of(data: dict[str, Any]) -> dict[str, Any]:
    """A MIME bundle as JSON: bytes of images become base64, as in a kernel."""
    import base64  # noqa: PLC0415  only images need it

    return {mime: base64.b64encode(part).decode() if isinstance(part, bytes) else part for mime, part in data.items()}


class ZMQInteractiveShell(InteractiveShell):  # type: ignore[misc]  # IPython is not typed
    """What a kernel's shell does, with its outputs collected instead of sent.

    It has the name of a kernel's shell because libraries (rich, pandas, plotly ...) decide by that name whether to show HTML or text.
    """

    outputs: Outputs
    #: pandas asks whether there is one to tell a notebook from a terminal.
    kernel = None
    compiler_class = CellCompiler
    #: Lines of the cell above the body.
    offset = 0
    #: What tracebacks call the body.
    filename = ""
    unbound: dict[str, str]
    #: The traceback of the error that ended the cell, as shown.
    shown_traceback: tuple[str, ...] | list[str] = ()
    _is_body_transformed = False
    # As in CellHistory: no traits.
    execution_count = 1
    last_execution_succeeded = True
    last_execution_result: Any = None
    #: User code got hold of this shell, or made it do something that leaves traces: it must not be used again.
    is_used = False
    #: What decided where its profile is.
    made_for: tuple[bytes | None, ...] = ()

    def get_ipython(self) -> ZMQInteractiveShell:
        """What `get_ipython()` calls in a cell; magics do, too."""
        self.is_used = True
        return self

    def begin(self, attempt: Attempt) -> None:
        """Become the shell of this attempt: everything that another cell would have changed is as after the shell's making."""
        job = attempt.job
        self.init_create_namespaces(attempt.main, None)
        self.save_sys_module_state()
        self.init_sys_modules()
        self.compile = self.compiler_class()  # what `__future__` imports had set is a compiler's own
        self.starting_dir = os.getcwd()  # noqa: PTH109  the text is what IPython keeps
        self.history_manager.begin(self.starting_dir)
        self.execution_count, self.last_execution_succeeded, self.last_execution_result = 1, True, None
        self.init_user_ns()
        self.set_completer_frame()
        self.displayhook._ = self.displayhook.__ = self.displayhook.___ = ""
        self.user_ns.update({"_": "", "__": "", "___": ""})
        builtins.__dict__.update({"__IPYTHON__": True, "display": display})
        self.outputs = self.display_pub.outputs = self.displayhook.outputs = attempt.outputs
        self.offset = job.cell.offset
        self.unbound = dict(job.unbound)
        self.filename = self.compile.filename = file_name(job.context.key.task_id, job.cell)
        self.shown_traceback = ()
        self._is_body_transformed = False

    def rest(self) -> None:
        """Let go of the attempt's values."""
        self.last_execution_result = None
        self.displayhook._ = self.displayhook.__ = self.displayhook.___ = ""
        self.history_manager.output_hist = {}

    def init_history(self) -> None:
        """IPython's, of our kind."""
        self.history_manager = CellHistory(shell=self, parent=self)
        self.configurables.append(self.history_manager)

    def transform_cell(self, raw_cell: str) -> str:
        """The body's first line is line 1 + offset of its cell, in tracebacks too."""
        if self._is_body_transformed:
            return str(super().transform_cell(raw_cell))
        self._is_body_transformed = True
        transformed = _transformed.get(raw_cell)
        if transformed is None:
            transformed = str(super().transform_cell(raw_cell))
            if len(_transformed) >= _REMEMBERED:
                _transformed.clear()
            _transformed[raw_cell] = transformed
        return "\n" * self.offset + transformed

    async def run_in_loop(self, source: str) -> Any:
        """What `run_cell` does, from within a running event loop."""
        failed: Any = None
        transformed = source
        try:
            transformed = self.transform_cell(source)
        except Exception:  # noqa: BLE001  whatever an input transformer raises is shown like an error of the cell
            failed = sys.exc_info()
        result: Any = None
        try:
            result = await self.run_cell_async(source, store_history=True, transformed_cell=transformed, preprocessing_exc_tuple=failed)
        finally:
            self.events.trigger("post_execute")
            self.events.trigger("post_run_cell", result)
        return result

    def showtraceback(self, exc_tuple: Any = None, *args: Any, **kwargs: Any) -> None:
        self.is_used = True
        kind, error, trace = exc_tuple or sys.exc_info()
        if isinstance(error, SkipTask):
            return
        if isinstance(error, SystemExit):
            warnings.filterwarnings("ignore", "To exit: use")  # IPython's advice to somebody at a prompt
            if error.code in (None, 0):
                return
            kwargs["exception_only"] = False  # nobody can type the %tb that IPython would advise instead of the traceback
        if isinstance(error, NameError) and error.name in self.unbound:
            error.args = (self.unbound[error.name],)
        _cut_own_frames(trace)
        if error is not None and _has_group(error):  # IPython prints such tracebacks as text, with its own frames
            self._showtraceback(type(error), error, traceback.format_exception(type(error), error, _from_the_body(trace, self.filename)))
        else:
            super().showtraceback((kind, error, trace) if exc_tuple else None, *args, **kwargs)

    def show_usage_error(self, exc: BaseException) -> None:
        """A magic used wrongly: one line, which is the cell's error."""
        self._showtraceback(UsageError, exc, [f"UsageError: {exc}"])

    def _showtraceback(self, etype: type[BaseException], evalue: BaseException, stb: list[str]) -> None:
        _flush()
        self.is_used = True
        self.shown_traceback = list(stb)
        self.outputs.error(etype.__name__, text_of(evalue), list(stb))

    def enable_gui(self, gui: Any = None) -> None:
        """Figures are drawn inline; there is no window to open where a task runs."""
        if gui not in (None, "inline"):
            raise UsageError(f"A task has no screen, so the GUI {gui!r} cannot be used in it: write %matplotlib inline.")

    def ask_exit(self) -> None:
        """`exit` and `quit` end the cell, as `sys.exit()` does."""
        raise SystemExit

    def init_virtualenv(self) -> None:
        """The worker's environment is the right one already."""


#: Attempts nearly always begin in one folder, and making a path of it takes longer than asking for it.
_path: Final = lru_cache(maxsize=8)(Path)


def _has_group(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, BaseExceptionGroup):
            return True
        error = error.__context__
    return False


def _from_the_body(trace: types.TracebackType | None, filename: str) -> types.TracebackType | None:
    """The traceback without the frames that lead to the user's code."""
    first = trace
    while first is not None and first.tb_frame.f_code.co_filename != filename:
        first = first.tb_next
    return first or trace


def _flush() -> None:
    """What was printed stands before what is shown next. User code may have put anything in place of the streams."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.flush()


def _cut_own_frames(trace: types.TracebackType | None) -> None:
    """A traceback ends where the user's code called nbflow, not inside it."""
    last = None
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(_OWN):
            last = trace
        trace = trace.tb_next
    if last is not None:
        last.tb_next = None


#: The classes that are asked for the one shell.
_KINDS: Final[tuple[Any, ...]] = tuple(kind for kind in ZMQInteractiveShell.__mro__ if issubclass(kind, InteractiveShell))


class _Watch:
    """Stands where IPython keeps its one shell: whoever asks there while a cell runs gets that cell's, and is noticed."""

    shell: ZMQInteractiveShell | None = None

    def __get__(self, instance: object, owner: type | None = None) -> ZMQInteractiveShell | None:
        return None if self.shell is None else self.shell.get_ipython()


_watch: Final = _Watch()


#: Bodies without what only IPython understands, as any fresh shell makes them; the copies of a mapped task have one.
_transformed: dict[str, str] = {}
_REMEMBERED: Final = 100
#: The next attempt's shell.
_spare: list[ZMQInteractiveShell] = []
#: Environment variables that say where a profile is.
_PROFILE: Final = tuple(map(os.fsencode, ("IPYTHONDIR", "HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")))


def new_shell(attempt: Attempt) -> ZMQInteractiveShell:
    """A fresh shell over the attempt's `__main__`."""
    shell = _spare.pop() if _spare else None
    if shell is None or shell.made_for != _profile():
        shell = _make_shell(attempt.main)
    shell.begin(attempt)
    return shell


def prepare() -> None:
    """Make a shell for the next attempt when there is none. To be called in the main thread, between attempts.

    The watch stays with IPython's classes: Python forgets what it knows of a class, and of those below it, whenever something is set there.
    """
    if _spare:
        return
    for kind in _KINDS:
        if kind.__dict__.get("_instance") is None:
            kind._instance = _watch  # noqa: SLF001  see `_keep`
    main, known = sys.modules.get("__main__"), dict(builtins.__dict__)
    try:
        _spare.append(_make_shell(types.ModuleType("__main__")))
    finally:
        if main is not None:
            sys.modules["__main__"] = main
        for name in set(builtins.__dict__) - set(known):
            del builtins.__dict__[name]


def _make_shell(main: types.ModuleType) -> ZMQInteractiveShell:
    config = Config()
    config.HistoryManager.enabled = False
    config.HistoryManager.hist_file = ":memory:"
    shell = ZMQInteractiveShell(config=config, user_module=main, display_pub_class=CellDisplayPublisher, displayhook_class=CellDisplayHook)
    atexit.unregister(shell.atexit_operations)
    shell.input_transformer_manager = CellTransformer()
    shell.made_for = _profile()
    shell.is_used = False
    return shell


def _profile() -> tuple[bytes | None, ...]:
    return tuple(map(os.environb.get, _PROFILE))


@contextlib.contextmanager
@unbroken
def current(shell: ZMQInteractiveShell) -> Iterator[None]:
    """`get_ipython()` is this shell inside the block, `input()` is refused and figures are drawn inline."""
    before, shell_before = {kind: kind.__dict__.get("_instance") for kind in _KINDS}, _watch.shell
    asking: list[tuple[Any, str, Callable[..., str]]] = [(builtins, "input", builtins.input), (getpass, "getpass", getpass.getpass)]
    _watch.shell = shell
    _keep(dict.fromkeys(_KINDS, _watch))
    for module, name, _function in asking:
        setattr(module, name, _refuse_input)
    try:
        _draw_inline()
        yield
    except BaseException:
        shell.is_used = True
        raise
    finally:
        for module, name, function in asking:
            setattr(module, name, function)
        _keep(before)
        _watch.shell = shell_before
        shell.restore_sys_module_state()
        if shell.is_used:
            shell.history_manager.end_session()
        elif not _spare:
            shell.rest()
            _spare.append(shell)


def _keep(instances: Mapping[Any, Any]) -> None:
    """What IPython's classes have as their one shell."""
    for kind, instance in instances.items():
        if kind.__dict__.get("_instance") is not instance:
            kind._instance = instance  # noqa: SLF001  how traitlets keeps its singletons; there is no public way to have two in turn


def _refuse_input(*_args: Any, **_kwargs: Any) -> str:
    raise RuntimeError(_NO_INPUT)


def _draw_inline() -> None:
    """A process that drew figures for an earlier attempt has the backend loaded already: tie it to this attempt's shell."""
    backend = sys.modules.get("matplotlib_inline.backend_inline")
    if backend is None:
        return
    backend.InlineBackend.clear_instance()
    backend.configure_inline_support.current_backend = "unset"
    backend._enable_matplotlib_integration()  # noqa: SLF001  what importing it for the first time does
