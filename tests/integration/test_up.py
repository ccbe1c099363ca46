# SPDX-License-Identifier: BSD-3-Clause
"""`nbflow up`: the scheduler and JupyterLab in one terminal, watched over HTTP; an interrupt ends all of it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

import nbformat
import psutil
import pytest

from nbflow.app import Workspace
from nbflow.app.deploying import deploy
from nbflow.deploy.__main__ import text_of
from nbflow.settings import Settings
from tests.processes import command


def until(is_so: Callable[[], object], process: subprocess.Popen[str], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "it did not come to pass"
        threading.Event().wait(0.1)


def free_ports(count: int) -> list[int]:
    """Below those that the system gives to whoever asks for any, so that they are still free when they are wanted."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            found += [port] if port not in found else []
    return found


def answers(url: str) -> bytes:
    try:
        with urlopen(url, timeout=30) as answer:
            return bytes(answer.read())
    except (OSError, HTTPException):  # nobody is there yet, or is too busy to answer
        return b""


def is_jupyter(process: psutil.Process) -> bool:
    return "jupyterlab" in command(process)


def test_a_scheduled_notebook_runs_beside_jupyterlab_and_an_interrupt_ends_all(tmp_path: Path) -> None:
    home, (port, watched) = tmp_path / "home", free_ports(2)
    v4 = nbformat.v4
    cells = [v4.new_code_cell(text) for text in ("%load_ext nbflow", "%%task a\nx = 1", "%%task b\nassert x == 1")]
    nbformat.write(v4.new_notebook(cells=cells), tmp_path / "sales.ipynb")
    workspace = Workspace(Settings(home=home, dask="inline"))
    deploy(workspace, tmp_path / "sales.ipynb", said={"schedule": "every 2s"})
    environment = {**os.environ, "NBFLOW_HOME": str(home), "NBFLOW_DASK": "inline", "JUPYTER_PLATFORM_DIRS": "1"}
    environment |= {"JUPYTER_CONFIG_DIR": str(tmp_path / "config"), "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}
    command = [sys.executable, "-m", "nbflow", "up", f"--metrics-port={watched}", "--no-browser", f"--port={port}", "--allow-root"]
    command += [f"--ServerApp.root_dir={tmp_path}", "--IdentityProvider.token=t", "--ServerApp.port_retries=0"]
    up = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        until(lambda: workspace.store.deployments.ended("sales", 1), up)
        until(lambda: answers(f"http://127.0.0.1:{port}/api?token=t"), up)
        assert workspace.store.deployments.ended("sales", 1)[0].state == "success"
        until(lambda: answers(f"http://127.0.0.1:{watched}/health"), up)
        told = json.loads(answers(f"http://127.0.0.1:{watched}/health"))
        assert told["status"] == "ok"
        assert len(told["schedulers"]) == 1
        until(lambda: b'nbflow_runs_total{flow="sales",state="success"}' in answers(f"http://127.0.0.1:{watched}/metrics"), up)
        below = psutil.Process(up.pid).children(recursive=True)
        assert any(is_jupyter(one) for one in below)
        os.killpg(up.pid, signal.SIGINT)  # as a terminal does
        _, said = up.communicate(timeout=120)
        assert up.returncode == 0, said
        assert "Traceback" not in said
        _, left = psutil.wait_procs(below, timeout=120)
        assert left == []
        assert not answers(f"http://127.0.0.1:{port}/api?token=t")
        assert workspace.store.deployments.schedulers() == ()
    finally:
        if up.poll() is None:
            for one in (*psutil.Process(up.pid).children(recursive=True), psutil.Process(up.pid)):
                one.kill()
        up.communicate()
        workspace.close()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "nbflow-scheduler.service"
    unit.write_text(text_of("systemd"), encoding="utf-8")
    command = ["systemd-analyze", "verify", "--user", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)})
    assert (done.returncode, done.stderr) == (0, "")
