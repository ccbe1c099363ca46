# SPDX-License-Identifier: BSD-3-Clause
"""Kernels for headless notebooks: started before they are needed, used once, shut down behind the scenes.

A kernel that ran a notebook is never given to another: what a notebook left in it would change the next one's meaning.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Coroutine, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager

from nbflow.core.errors import SetupError, nearest
from nbflow.operators.turns import Turns

_log = logging.getLogger("nbflow.operators")
_T = TypeVar("_T")
#: Imported by a warm kernel while it waits, so that the first cell with nbflow in it does not pay for it.
_PRELOAD: Final = """
try:
    import nbflow.notebook.warm
except ImportError:
    pass  # an environment without nbflow runs plain notebooks
"""
#: As nbclient starts kernels: no history file is written.
_ARGUMENTS: Final = ["--HistoryManager.hist_file=:memory:"]
#: Environment variables that count when Python starts: a warm kernel with other values of these is not the right one.
_AT_START: Final = ("PYTHON", "LD_", "DYLD_", "JUPYTER", "IPYTHON", "VIRTUAL_ENV", "CONDA")
#: Seconds the end of this process waits for used kernels to run their exit handlers.
_PATIENCE: Final = 5.0
#: Seconds between two looks at whether a kernel has ended: at the end of a process somebody waits for it.
_GLANCE: Final = 0.01
#: A socket's path may not be longer on some systems (macOS: 104 bytes).
_LONGEST_FOLDER: Final = 80
#: Opens every secret: plain cells must not find it.
_KEY: Final = "NBFLOW_SECRET_KEY"


@dataclass(eq=False, kw_only=True)
class Kernel:
    """A running kernel that answers, for one notebook."""

    name: str
    manager: AsyncKernelManager
    #: What the kernel says of its language, for the notebook's metadata.
    language_info: Mapping[str, Any]
    #: The environment it was started with.
    environment: Mapping[str, str]
    folder: Path
    #: It was warm: its working directory is not the notebook's yet.
    was_warm: bool = False
    #: Set when a cell still runs in it: there is nothing to wait for when it is shut down.
    is_stuck: bool = field(default=False, init=False)

    @property
    def language(self) -> str:
        return str(self.language_info.get("name", "")).lower()

    def complaint(self) -> str:
        """The last lines it wrote to its standard error."""
        return _last_lines(self.folder / "stderr")

    def exit_status(self) -> int | None:
        """The exit status of its process, negative for a signal; None while it runs or when it is not known."""
        process = getattr(self.manager.provisioner, "process", None)
        return None if process is None else process.poll()

    def fits(self, name: str) -> bool:
        """Whether it is as one started now under this name would be."""
        changed = set(self.environment.items()) ^ set(_environment().items())
        return self.name == name and self.exit_status() is None and not any(key.startswith(_AT_START) for key, _ in changed)

    def environment_now(self) -> tuple[dict[str, str], list[str]]:
        """What has changed in this process's environment since the kernel started: variables to set, and to delete."""
        now = _environment()
        changed = {key: value for key, value in now.items() if self.environment.get(key) != value}
        return changed, [key for key in self.environment if key not in now]


class KernelPool:
    """Warm kernels of this process. Safe to use from several threads and event loops."""

    def __init__(self, kernel_name: str = "python3", size: int = 1, *, prefill: bool = False, at_once: int | None = None) -> None:
        """Keep `size` kernels of that name warm: from now on with `prefill`, else from the second notebook on (one alone would not gain).

        At most `at_once` notebooks have a kernel that is busy.
        """
        self._kernel_name, self._size = kernel_name, size
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting: list[asyncio.Task[Kernel]] = []  # started or being started; touched by the pool's loop only
        self._retiring: set[asyncio.Task[None]] = set()
        self._obtaining: set[asyncio.Task[Any]] = set()
        self._taken = 0
        self._loads = True
        self._closed = False
        self.turns = Turns(at_once)
        if prefill:
            self.warm()

    # --- for anybody ------------------------------------------------------------------------------------------------

    def warm(self) -> Future[None]:
        """Start what is missing; the future is done when every kernel is warm."""
        return self._submit(self._fill())

    @asynccontextmanager
    async def take(
        self, kernel_name: str, cwd: str, *, start_timeout: float = 60.0, is_flow: bool = True, launched: Future[None] | None = None
    ) -> AsyncIterator[Kernel]:
        """A kernel for one notebook, a warm one if there is one. Whoever takes it sets the working directory of a warm one.

        After a notebook that `is_flow`, the next kernels load what a flow needs while they wait; after another, they save that time.
        `launched` is done when the process of a new one is there, which does not answer yet.

        Raises SetupError when there is no such kernel or it does not start.
        """
        spec = find_kernel(kernel_name)
        self._loads = is_flow
        kernel = await asyncio.wrap_future(self._submit(self._obtain(kernel_name, spec, cwd, start_timeout, launched)))
        try:
            yield kernel
        finally:
            self._submit(self._retire_later(kernel))

    def close(self) -> None:
        """Shut down every kernel: used ones may run their exit handlers, for a while. May be called twice."""
        with self._lock:
            loop, self._closed = self._loop, True
        if loop is None:
            return
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(self._end(), loop).result(_PATIENCE + 5)
        loop.call_soon_threadsafe(loop.stop)
        self._loop = None

    # --- the pool's own loop ----------------------------------------------------------------------------------------

    def _submit(self, work: Coroutine[Any, Any, _T]) -> Future[_T]:
        with self._lock:
            if self._closed:
                work.close()
                raise SetupError("This process is ending: no kernel is started any more.")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="nbflow-kernels", daemon=True).start()
                atexit.register(self.close)
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _obtain(self, name: str, spec: KernelSpec, cwd: str, start_timeout: float, launched: Future[None] | None) -> Kernel:
        self._taken += 1
        task = asyncio.current_task()
        assert task is not None
        self._obtaining.add(task)
        task.add_done_callback(self._obtaining.discard)
        kernel = await self._warm_one(name)
        if self._taken > 1:
            self._refill()
        if kernel is None:
            kernel = await _start(name, spec, cwd, start_timeout, launched=launched)
        return kernel

    async def _warm_one(self, name: str) -> Kernel | None:
        """The first warm kernel that fits; one that is just being started is waited for: that is quicker than a new one."""
        for task in sorted(self._starting, key=lambda task: not task.done()):
            if name != self._kernel_name:
                return None
            if task not in self._starting:
                continue  # somebody else took it meanwhile
            self._starting.remove(task)
            try:
                kernel = await asyncio.shield(task)
            except SetupError:
                continue  # the same error comes again from a fresh start, if it is still true
            if kernel.fits(name):
                return kernel
            await self._retire_later(kernel)
        return None

    def _refill(self) -> None:
        while not self._closed and len(self._starting) < self._size:
            self._starting.append(asyncio.ensure_future(_start_warm(self._kernel_name, loads=self._loads)))

    async def _fill(self) -> None:
        self._refill()
        await asyncio.gather(*self._starting)

    async def _retire_later(self, kernel: Kernel) -> None:
        task = asyncio.ensure_future(_shut_down(kernel, now=kernel.is_stuck))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _end(self) -> None:
        starting, self._starting = self._starting, []
        for task in starting:
            if not task.done():
                task.cancel()
        found = await asyncio.gather(*starting, return_exceptions=True)
        await asyncio.gather(*(_shut_down(kernel, now=True) for kernel in found if isinstance(kernel, Kernel)))
        left = {*self._retiring, *self._obtaining}  # nobody waits any more for one that is being obtained: it is on its way out
        if left:
            await asyncio.wait(left, timeout=_PATIENCE)


@lru_cache(maxsize=1)
def default_pool() -> KernelPool:
    """The pool of this process."""
    return KernelPool()


def find_kernel(name: str) -> KernelSpec:
    """The installed kernel of that name. Raises SetupError with the names there are."""
    specs = KernelSpecManager()
    try:
        return specs.get_kernel_spec(name)
    except NoSuchKernel:
        known = sorted(specs.find_kernel_specs())
        raise SetupError(
            f'There is no kernel "{name}" on this machine.{nearest(name, known)} '
            f"Installed: {', '.join(known) or 'none (type pip install ipykernel)'}. Install it, or choose another one, in the notebook or with --kernel."
        ) from None


# --- one kernel -----------------------------------------------------------------------------------------------------------


async def _start_warm(name: str, *, loads: bool) -> Kernel:
    spec = find_kernel(name)
    kernel = await _start(name, spec, tempfile.gettempdir(), 60.0, preload=loads and spec.language.lower() == "python")
    kernel.was_warm = True
    return kernel


def _environment() -> dict[str, str]:
    """What a kernel finds: as here, without the key of all secrets."""
    return {name: value for name, value in os.environ.items() if name != _KEY}


async def _start(
    name: str, spec: KernelSpec, cwd: str, start_timeout: float, *, preload: bool = False, launched: Future[None] | None = None
) -> Kernel:
    """Start a kernel and wait until it answers. Raises SetupError."""
    folder = Path(tempfile.mkdtemp(prefix="nbflow-kernel-"))  # mode 0700: its sockets are this person's alone
    manager = AsyncKernelManager(kernel_name=name, connection_file=str(folder / "k.json"))
    if sys.platform != "win32" and len(os.fsencode(str(folder))) <= _LONGEST_FOLDER and spec.language.lower() == "python":
        manager.transport, manager.ip = "ipc", str(folder / "k")
    environment = _environment()
    arguments = _ARGUMENTS if manager.ipykernel else []
    try:
        with (folder / "stderr").open("wb") as stderr:
            await manager.start_kernel(extra_arguments=arguments, cwd=cwd, stderr=stderr, env=dict(environment))
        if launched is not None:
            launched.set_result(None)
        language_info = await asyncio.wait_for(_wait_until_it_answers(manager, preload=preload), start_timeout)
    except (Exception, asyncio.CancelledError) as error:
        complaint = _last_lines(folder / "stderr")
        await _discard(manager, folder)
        if isinstance(error, asyncio.CancelledError):
            raise
        raise SetupError(_not_started(name, error, start_timeout, complaint)) from None
    return Kernel(name=name, manager=manager, language_info=language_info, environment=environment, folder=folder)


async def _wait_until_it_answers(manager: AsyncKernelManager, *, preload: bool) -> Mapping[str, Any]:
    """What it says of its language. Raises RuntimeError when its process ends first."""
    client = manager.client()
    client.start_channels(iopub=False, stdin=False, hb=False, control=False)
    try:
        answer = await _reply_or_death(manager, client, client.kernel_info())
        if preload:
            await _reply_or_death(manager, client, client.execute(f"exec({_PRELOAD!r}, {{}})", silent=True, store_history=False))
    finally:
        client.stop_channels()
    info: Mapping[str, Any] = answer["content"].get("language_info", {})
    return info


async def _reply_or_death(manager: AsyncKernelManager, client: Any, request: str) -> dict[str, Any]:
    reply = asyncio.ensure_future(_reply(client, request))
    try:
        while not (await asyncio.wait({reply}, timeout=0.2))[0]:
            if not await manager.is_alive():
                raise RuntimeError("its process ended")
        return reply.result()
    finally:
        reply.cancel()


async def _reply(client: Any, request: str) -> dict[str, Any]:
    while True:
        message: dict[str, Any] = await client.shell_channel.get_msg(timeout=None)
        if message["parent_header"].get("msg_id") == request:
            return message


async def _shut_down(kernel: Kernel, *, now: bool) -> None:
    try:
        if now:
            await kernel.manager.shutdown_kernel(now=True)
        else:  # `shutdown_kernel` would interrupt it first, and an interrupt just then may cost it the request
            await kernel.manager.request_shutdown()
            await kernel.manager.finish_shutdown(pollinterval=_GLANCE)
    except Exception:  # noqa: BLE001 - the kernel may be in any condition, and nobody waits for this
        _log.exception("kernel %s did not shut down in order", kernel.name)
    finally:
        await _discard(kernel.manager, kernel.folder)


async def _discard(manager: AsyncKernelManager, folder: Path) -> None:
    with contextlib.suppress(Exception):  # it may never have been started, or be gone
        if manager.has_kernel:
            await manager.shutdown_kernel(now=True)
    with contextlib.suppress(Exception):
        await manager.cleanup_resources()
    shutil.rmtree(folder, ignore_errors=True)


def _not_started(name: str, error: BaseException, start_timeout: float, complaint: str) -> str:
    if isinstance(error, TimeoutError):
        why = f"it did not answer within {start_timeout:g} s"
    elif isinstance(error, FileNotFoundError) and error.filename:
        why = f"{error.filename} is not there"
    else:
        why = str(error) or type(error).__name__
    said = f" ({complaint})" if complaint else ""
    way_on = "Mend it (jupyter kernelspec list says where it is), or choose another one, in the notebook or with --kernel."
    return f'The kernel "{name}" did not start: {why}{said}. {way_on}'


def _last_lines(path: Path, limit: int = 3) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return (
        " | ".join(line.strip() for line in lines if line.strip())[-600:]
        if len(lines) <= limit
        else " | ".join(line.strip() for line in lines[-limit:] if line.strip())
    )
