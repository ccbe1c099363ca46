# SPDX-License-Identifier: BSD-3-Clause
"""A script that runs a flow ends quietly."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
from concurrent.futures import ThreadPoolExecutor

import nbflow.app
from nbflow.python.ambient import current_workspace

POOL = ThreadPoolExecutor(1)  # as the Dask client has for what its futures call


class Workspace:
    @classmethod
    def open(cls):
        return cls()

    def close(self):
        print(POOL.submit(lambda: "closed").result())


nbflow.app.Workspace = Workspace
current_workspace()
"""


def test_the_workspace_of_a_script_is_closed_while_pools_of_threads_still_work() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("closed\n", "")
