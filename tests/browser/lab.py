# SPDX-License-Identifier: BSD-3-Clause
"""A real JupyterLab in headless Chromium: the server, the page, and the few things a person does in it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

#: Seconds after which something hangs: `expect` waits for five by itself.
PATIENCE = 60
expect.set_options(timeout=PATIENCE * 1000)

CHROMIUM_FLAGS = (
    "--no-sandbox",  # needed as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SETTINGS = {
    "notebook-extension/tracker": '{"windowingMode": "none"}',  # cells out of sight stay in the page, so that a test can read them
    "apputils-extension/notification": '{"fetchNews": "false"}',
    "docmanager-extension/plugin": '{"autosave": false}',  # a test saves when it says so
}


def chromium() -> str | None:
    """The browser's executable, or None."""
    return os.environ.get("NBFLOW_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def jupyter_lab(root: Path, home: Path, application: str = "lab") -> Iterator[str]:
    """JupyterLab (or `notebook`) serving `root`, with settings of its own and nbflow's home in `home`; yields its address."""
    state = root / ".state"
    state.mkdir(parents=True, exist_ok=True)
    for name, text in SETTINGS.items():
        settings = state / "config" / "lab" / "user-settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(text)
    env = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(state / "config"),
        "JUPYTER_DATA_DIR": str(state / "data"),
        "JUPYTER_RUNTIME_DIR": str(state / "run"),
        "IPYTHONDIR": str(state / "ipython"),
        "NBFLOW_HOME": str(home),
    }
    command = [
        *(sys.executable, "-m", "jupyter", application, "--no-browser", "--ServerApp.port=0"),
        *(
            f"--ServerApp.root_dir={root}",
            "--IdentityProvider.token=test",
            "--ServerApp.allow_root=True",
            "--LabApp.expose_app_in_browser=True",
        ),
        *("--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"),
    ]
    with (state / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield _address_of(server, state)
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _address_of(server: subprocess.Popen[bytes], state: Path) -> str:
    """Where the server answers: the port is its own choice, since one that is chosen for it may be somebody else's by the time it listens."""
    log, deadline = state / "server.log", time.monotonic() + 3 * PATIENCE
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(log.read_text())
        try:
            (told,) = (state / "run").glob("jpserver-*.json")
            url = f"http://127.0.0.1:{json.loads(told.read_text())['port']}"
            urllib.request.urlopen(url + "/api/status?token=test", timeout=10)
        except (OSError, ValueError):  # ValueError: not there, or half written
            time.sleep(0.2)  # the server offers nothing to wait for before it listens
        else:
            return url
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()}")


def launch(playwright: Any) -> Any:
    """Headless Chromium that keeps off the network."""
    return playwright.chromium.launch(executable_path=chromium(), args=list(CHROMIUM_FLAGS))


def open_notebook(page: Any, url: str, name: str) -> None:
    """Open a notebook and wait until its kernel is ready."""
    page.goto(f"{url}/lab/tree/{name}?token=test&reset")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.sessionContext")
    page.evaluate(
        """async () => { const app = window.jupyterapp; await app.restored;
        await app.shell.currentWidget.sessionContext.ready; }"""
    )
    # Lab reads its settings after it has opened the notebook: until then only the cells in sight are in the page.
    page.wait_for_function(
        """() => { const nb = window.jupyterapp.shell.currentWidget.content;
        return nb.notebookConfig.windowingMode === 'none' && nb.node.querySelectorAll('.jp-Cell').length === nb.widgets.length; }"""
    )


def run_cells(page: Any, *, first: int = 0, last: int | None = None) -> None:
    """Run the cells from `first` to before `last`, one after the other, each to its end."""
    page.evaluate(
        """async ([first, last]) => { const app = window.jupyterapp, nb = app.shell.currentWidget.content;
        for (let i = first; i < (last ?? nb.widgets.length); i++) {
            nb.deselectAll(); nb.activeCellIndex = i; await app.commands.execute('notebook:run-cell'); } }""",
        [first, last],
    )


def start_cell(page: Any, index: int) -> None:
    """Run one cell without waiting for its end."""
    page.evaluate(
        """index => { const app = window.jupyterapp, nb = app.shell.currentWidget.content;
        nb.deselectAll(); nb.activeCellIndex = index; void app.commands.execute('notebook:run-cell'); }""",
        index,
    )


def wait_for_states(page: Any, index: int, **states: int) -> None:
    """Until the graph that the file would hold below this cell has so many tasks of each of these states."""
    page.wait_for_function(
        """([index, states]) => { const outputs = window.jupyterapp.shell.currentWidget.content.widgets[index].model.outputs.toJSON();
        const graph = outputs.map(one => one.data?.['application/vnd.nbflow.graph+json']).find(Boolean);
        return Object.entries(states).every(([state, many]) => graph?.tasks.filter(task => task.state === state).length === many); }""",
        arg=[index, states],
    )


def wait_for_end(page: Any, index: int) -> None:
    """Until the cell of that index has been executed: Lab then knows its number."""
    page.wait_for_function("index => window.jupyterapp.shell.currentWidget.content.widgets[index].model.executionCount", arg=index)


def save(page: Any) -> None:
    page.evaluate("async () => { await window.jupyterapp.shell.currentWidget.context.save(); }")


def set_theme(page: Any, name: str) -> None:
    """`JupyterLab Light` or `JupyterLab Dark`."""
    page.evaluate("async name => { await window.jupyterapp.commands.execute('apputils:change-theme', {theme: name}); }", name)
    page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=name)


def cell_output(page: Any, index: int) -> Any:
    """The output area of the cell of that index."""
    return page.locator(".jp-Notebook .jp-Cell").nth(index).locator(".jp-Cell-outputArea")
