# SPDX-License-Identifier: BSD-3-Clause
"""`binder/` as repo2docker runs it, in an environment and a home of its own: Lab opens with the demo, under a random address, within 2 GB.

It installs everything anew, which takes minutes: `make binder` runs it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.browser.lab import cell_output, free_port

pytestmark = [pytest.mark.browser, pytest.mark.skipif("NBFLOW_BINDER" not in os.environ, reason="takes minutes: make binder")]
ROOT = Path(__file__).resolve().parents[2]
LIMIT = 2_000_000_000


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the repository, and what a build made of them, where the person's home is, as on Binder."""
    home = tmp_path_factory.mktemp("jovyan")
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    built = [path.relative_to(ROOT) for part in ("labextension", "widgets/static") for path in (ROOT / "nbflow" / part).rglob("*")]
    for name in [*listed.stdout.splitlines(), *map(str, built)]:
        if (ROOT / name).is_file():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, home / name)
    return home


@pytest.fixture(scope="module")
def environment(repository: Path) -> dict[str, str]:
    """Fresh, with nothing of this process but the way to the package registry."""
    venv = repository / ".venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    kept = {
        name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_", "REQUESTS_", "HTTP", "http", "LANG"))
    }
    cache = subprocess.run([sys.executable, "-m", "pip", "cache", "dir"], capture_output=True, text=True, check=False).stdout.strip()
    chosen = {
        **kept,
        "HOME": str(repository),
        "PATH": f"{venv}/bin:/usr/bin:/bin",
        "PIP_CACHE_DIR": cache,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    subprocess.run(["pip", "install", "--quiet", "-r", "binder/requirements.txt"], cwd=repository, env=chosen, check=True)
    subprocess.run(["binder/postBuild"], cwd=repository, env=chosen, check=True)
    return chosen


@pytest.fixture(scope="module")
def address(repository: Path, environment: dict[str, str]) -> Iterator[str]:
    port, base = free_port(), f"/binder/jupyter/user/{secrets.token_hex(6)}/"
    command = ["binder/start", "jupyter", "lab", "--no-browser", f"--ServerApp.port={port}", f"--ServerApp.base_url={base}"]
    command += [
        "--IdentityProvider.token=test",
        "--ServerApp.allow_root=True",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.news_url=None",
    ]
    with (repository / ".server.log").open("w") as log:
        server = subprocess.Popen(command, cwd=repository, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}{base}"
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"{url}api/status?token=test", timeout=1)
                break
            except (OSError, urllib.error.URLError):
                assert server.poll() is None, (repository / ".server.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.3)  # the server offers nothing to wait for before it listens
        yield url
    finally:
        for process in everything(repository):
            process.kill()
        server.wait()


def everything(home: Path) -> list[psutil.Process]:
    """The server, its kernels and the cluster: every process that lives in that home."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("HOME") == str(home):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_lab_opens_with_the_demo_which_runs_under_its_panel_within_two_gigabytes(browser: Any, address: str, repository: Path) -> None:
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    page.set_default_timeout(180_000)
    outside: list[str] = []
    page.on("request", lambda request: outside.append(request.url) if not request.url.startswith((address, "data:", "blob:")) else None)
    page.goto(f"{address}lab?token=test")
    page.locator(".jp-Notebook .jp-Cell").first.wait_for()
    page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'")
    assert page.evaluate("() => window.jupyterapp.shell.currentWidget.context.path") == "notebooks/monitor_errors.ipynb"
    page.evaluate("() => { void window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
    page.locator(".nbflow-seat .nbflow-panel .nbflow-summary", has_text="Running").first.wait_for(state="attached")
    page.locator(".nbflow-seat .nbflow-panel .nbflow-summary", has_text="Succeeded").first.wait_for(state="attached")
    cells = page.evaluate("() => window.jupyterapp.shell.currentWidget.content.widgets.map(one => one.model.sharedModel.getSource())")
    after = next(number for number, source in enumerate(cells) if source.startswith("print(message)"))
    cell_output(page, after).get_by_text("errors on 2026-03-13").wait_for(state="attached")
    used = sum(process.memory_info().rss for process in everything(repository))
    told = f"server, kernel and cluster: {used / 1e6:.0f} MB of {LIMIT / 1e6:.0f} MB in {len(everything(repository))} processes"
    print(told)  # noqa: T201 - what the test is about
    assert used < LIMIT
    assert outside == []
    page.close()
