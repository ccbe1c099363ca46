# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow scheduler` and `nbflow up`: what has to run for flows to start by themselves."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import click

from nbflow.cli.common import closing, open_workspace
from nbflow.core.errors import SetupError

if TYPE_CHECKING:
    from nbflow.app import Workspace
    from nbflow.headless.scheduling import SchedulerProcess


#: Seconds between two looks at what runs side by side, and for JupyterLab to end in order.
_LOOK: Final = 0.2
_PATIENCE: Final = 10.0


@click.command()
@click.option("-q", "--quiet", is_flag=True, help="Say only what goes wrong.")
@click.option("--metrics-port", "--health-port", "port", type=click.IntRange(0, 65535), help="Answer /health and /metrics there; 0: any.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to answer them on.")
def scheduler(quiet: bool, port: int | None, host: str) -> None:  # noqa: FBT001 - click passes options by name
    """Start the runs of deployed flows when they are due. Any number may run; SIGTERM and Ctrl-C end it in order."""
    stopping = threading.Event()
    stop = _setting(stopping)
    signal.signal(signal.SIGTERM, stop)  # before anything is loaded: one told to end while it starts ends in order too
    from nbflow.headless.scheduling import SchedulerProcess  # noqa: PLC0415 - main.py says why

    _log_to_stderr()
    with closing(open_workspace()) as workspace:
        process = SchedulerProcess(workspace, _say_nothing if quiet else _say, stopping)
        signal.signal(signal.SIGINT, stop)
        if not quiet:
            count = len(workspace.store.deployments.find(limit=100_000))
            click.echo(f"Scheduling {count} flow{'' if count == 1 else 's'} of {workspace.settings.home}.", err=True)
        with _watched(workspace, process, host, port):
            process.run()


@contextlib.contextmanager
def _watched(workspace: Workspace, process: SchedulerProcess, host: str, port: int | None) -> Iterator[None]:
    if port is None:
        yield
        return
    from nbflow.headless.watched import Watched  # noqa: PLC0415 - main.py says why

    watched = Watched(workspace, host, port, process.loop)
    click.echo(f"Health and metrics: http://{host}:{watched.port}/health and /metrics", err=True)
    try:
        yield
    finally:
        watched.close()


@click.command()
def metrics() -> None:
    """Print the metrics once, as Prometheus reads them: for node_exporter's textfile collector, or to look."""
    from nbflow.app.metrics import metrics_text  # noqa: PLC0415 - main.py says why

    with closing(open_workspace()) as workspace:
        text = metrics_text(workspace).decode()
    click.echo(text, nl=False)


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--metrics-port", "--health-port", "port", type=click.IntRange(0, 65535), help="Answer /health and /metrics there; 0: any.")
@click.argument("jupyter_arguments", nargs=-1, type=click.UNPROCESSED)
def up(port: int | None, jupyter_arguments: tuple[str, ...]) -> None:
    """The scheduler, the Dask cluster and JupyterLab in one terminal; Ctrl-C ends them. Further arguments are JupyterLab's."""
    from nbflow.executors.cluster import read_facts, stop_home_cluster  # noqa: PLC0415 - main.py says why
    from nbflow.headless.scheduling import SchedulerProcess  # noqa: PLC0415 - as above

    if importlib.util.find_spec("jupyterlab") is None:
        raise SetupError("JupyterLab is not installed: type pip install 'jupyter-nbflow[lab]', or use nbflow scheduler without it.")
    _log_to_stderr()
    workspace = open_workspace()
    home, was_there = workspace.settings.home, read_facts(workspace.settings.home) is not None
    try:
        with closing(workspace):
            workspace.warm()
            process = SchedulerProcess(workspace, _say)
            with _watched(workspace, process, "127.0.0.1", port):
                _side_by_side(process, jupyter_arguments)
    finally:
        if not was_there:  # what it began, it ends; what still ran there is gone on with by the next scheduler
            stop_home_cluster(home)


def _side_by_side(process: SchedulerProcess, arguments: tuple[str, ...]) -> None:
    """The scheduler and JupyterLab, until one of them ends or somebody ends us."""
    # In a session of its own: an interrupt is ours to pass on, and JupyterLab asks no questions.
    lab = subprocess.Popen([sys.executable, "-m", "jupyterlab", *arguments], start_new_session=True)  # noqa: S603 - the person's own words
    thread = threading.Thread(target=process.run, name="nbflow-scheduler")
    thread.start()
    is_asked = threading.Event()
    ask = _setting(is_asked)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, ask)
    try:
        while not is_asked.wait(_LOOK) and thread.is_alive() and lab.poll() is None:
            pass
        has_failed = not is_asked.is_set() and bool(lab.poll())
        has_stopped = not is_asked.is_set() and not thread.is_alive()
    finally:
        process.stop()
        _end(lab)
        thread.join()
    if has_failed:
        raise SetupError("JupyterLab did not start, or broke off: what it said stands above. nbflow scheduler needs none.")
    if has_stopped:
        raise SetupError("The scheduler broke off: what it said stands above.")


def _setting(event: threading.Event) -> Callable[..., None]:
    """A signal handler by which the event is set, on a thread of its own.

    A handler must not do that itself: it comes between any two steps of the main thread, also while that has the event's lock for a moment, in a
    wait for it, and would wait for the lock for ever.
    """
    asked: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set_when_asked() -> None:
        asked.get()
        event.set()

    threading.Thread(target=set_when_asked, name="nbflow-signals", daemon=True).start()
    return lambda *_: asked.put(None)


def _end(lab: subprocess.Popen[bytes]) -> None:
    """Whatever it does; its kernels end with it."""
    lab.terminate()
    try:
        lab.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        lab.kill()
        lab.wait()


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)


def _say_nothing(sentence: str) -> None:
    """Quiet."""
