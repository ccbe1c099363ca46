# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow doctor`: what nbflow stands on here, each ok or what to do."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.text import Text

from nbflow import __version__
from nbflow.app import Workspace
from nbflow.app.health import health
from nbflow.app.notifying import say_notifications
from nbflow.app.saying import NO_SCHEDULER
from nbflow.cli.render import console
from nbflow.core.errors import NbflowError
from nbflow.engine.owner import say_owner
from nbflow.settings import Settings, load_settings

_PACKAGES = (
    "dask",
    "distributed",
    "cloudpickle",
    "ipykernel",
    "papermill",
    "nbclient",
    "jupyter_client",
    "sqlalchemy",
    "alembic",
    "ipywidgets",
)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at."""

    name: str
    #: ok | note | bad
    state: str
    text: str


def examine() -> list[Finding]:
    """Look at everything; never raises."""
    findings = [Finding(name="nbflow", state="ok", text=f"{__version__}, Python {platform.python_version()}")]
    try:
        settings = load_settings()
    except NbflowError as error:
        return [*findings, Finding(name="settings", state="bad", text=str(error))]
    findings.append(Finding(name="settings", state="ok", text=f"home {settings.home}, dask {_where(settings)}"))
    findings += _packages()
    findings += [_attempt("home", lambda: _home(settings)), *_rooms(settings), _attempt("kernels", _kernels)]
    findings += list(_extras())
    return findings


def show(findings: list[Finding]) -> None:
    """Print the findings, one a line."""
    marks = {"ok": ("ok  ", "green"), "note": ("note", "yellow"), "bad": ("bad ", "red")}
    out = console()
    for finding in findings:
        mark, colour = marks[finding.state]
        out.print(Text.assemble((mark, colour), f"  {finding.name:<12} {finding.text}"), soft_wrap=True)


def _attempt(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name=name, state="ok", text=look())
    except NbflowError as error:
        return Finding(name=name, state="bad", text=str(error))
    except OSError as error:
        return Finding(name=name, state="bad", text=f"{error.strerror or error}")


def _packages() -> Iterator[Finding]:
    missing = []
    versions = []
    for package in _PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(package)
    yield Finding(name="packages", state="ok", text=", ".join(versions))
    if missing:
        yield Finding(name="packages", state="bad", text=f"not installed: {', '.join(missing)}. Type pip install {' '.join(missing)}.")


def _home(settings: Settings) -> str:
    settings.home.mkdir(parents=True, exist_ok=True)
    probe = settings.home / ".doctor"
    probe.write_bytes(b"")
    probe.unlink()
    free = shutil.disk_usage(settings.home).free
    return f"{settings.home} is writable, {free / 1e9:.0f} GB free"


def _rooms(settings: Settings) -> Iterator[Finding]:
    workspace = Workspace(settings)
    yield _attempt("database", lambda: _database(workspace))
    yield _attempt("secrets", lambda: _secrets(workspace))
    yield _attempt("artifacts", lambda: _artifacts(workspace))
    yield _attempt("cluster", lambda: _cluster(workspace))
    with contextlib.suppress(NbflowError):  # the database has said it
        yield _scheduler(workspace)
        yield _notifications(workspace)
        yield from _due(workspace)
    workspace.close()


def _where(settings: Settings) -> str:
    """The cluster, without the arguments of its class: they may hold a token."""
    return settings.dask.partition("?")[0]


def _cluster(workspace: Workspace) -> str:
    slots, where = workspace.executor.slots(), _where(workspace.settings)
    if where in {"local", "inline"}:
        return f"{where}: {slots or 1} attempts at once"
    if not slots:
        return f"{where}: no worker yet; each is asked for its versions and the artifacts when it comes"
    return f"{where}: {slots} attempts at once; its workers have these versions and reach the artifacts"


def _database(workspace: Workspace) -> str:
    runs = workspace.store.find_runs(limit=1).runs
    newest = f", newest run {runs[0].run_id}" if runs else ", no runs yet"
    return workspace.settings.database.split("@")[-1] + newest


def _scheduler(workspace: Workspace) -> Finding:
    living = workspace.store.deployments.schedulers()
    if not living:
        return Finding(name="scheduler", state="note", text=NO_SCHEDULER)
    told = [f"{say_owner(one.owner)} (nbflow {one.nbflow}, last turn {one.loop_seconds * 1000:.0f} ms)" for one in living]
    return Finding(name="scheduler", state="ok", text=", ".join(told))


def _secrets(workspace: Workspace) -> str:
    return workspace.secrets.check_key()


def _notifications(workspace: Workspace) -> Finding:
    try:
        is_well, text = say_notifications(workspace)
    except NbflowError as error:
        return Finding(name="messages", state="bad", text=str(error))
    return Finding(name="messages", state="ok" if is_well else "note", text=text)


def _due(workspace: Workspace) -> Iterator[Finding]:
    found = health(workspace)
    problems = [problem for problem in found.problems if problem != NO_SCHEDULER]
    for problem in problems:
        yield Finding(name="runs", state="bad", text=problem)
    if not problems:
        held = found.figures.held_leases
        yield Finding(name="runs", state="ok", text=f"{held} driven now, none overdue, none whose process is gone")


def _artifacts(workspace: Workspace) -> str:
    hash = workspace.artifacts.put(b"nbflow doctor")
    workspace.artifacts.get(hash)
    workspace.artifacts.delete(hash)
    return f"{workspace.settings.artifacts.split('@')[-1]} can be written and read"


def _kernels() -> str:
    from jupyter_client.kernelspec import KernelSpecManager  # noqa: PLC0415 - jupyter_client is slow to import

    specs = KernelSpecManager().find_kernel_specs()
    if not specs:
        raise NbflowError(f"There is no kernel. Type {sys.executable} -m pip install ipykernel.")
    return ", ".join(sorted(specs))


def _extras() -> Iterator[Finding]:
    for package, why in (("jupyterlab", "to open notebooks"), ("pyarrow", "to keep frames as Parquet"), ("psycopg", "for PostgreSQL")):
        try:
            yield Finding(name=package, state="ok", text=importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name=package, state="note", text=f"not installed; needed only {why}")
