# SPDX-License-Identifier: BSD-3-Clause
"""A kernel whose run is driven by the host of a headless run (papermill's engine): the host calls `attach` before the first cell, `finish` after the last."""

from __future__ import annotations

import json
import sys
from typing import Any

from nbflow.core.model import Flow
from nbflow.notebook import extension
from nbflow.notebook.failures import raise_unless_well
from nbflow.notebook.runs import HostedRuns


def attach(config_json: str) -> None:
    """Load the extension here and let the host drive.

    `config_json` is a JSON object: `address` and `authkey` of the host, `path` of the notebook, `artifacts_url`, `installation`: options of tasks.
    """
    from IPython import get_ipython  # noqa: PLC0415 - only inside a kernel

    attach_to(get_ipython(), json.loads(config_json))


def attach_to(shell: Any, config: dict[str, Any]) -> None:
    """`attach` for a given shell."""
    from nbflow.operators.hosting import HostClient  # noqa: PLC0415 - headless kernels only
    from nbflow.store.artifacts import open_artifacts  # noqa: PLC0415 - as above

    loaded = extension.load(shell)
    if config.get("modules"):  # after the extension is loaded: what is added now travels to the tasks
        sys.path[:0] = [config["modules"], config["working_dir"]]
    loaded.session.installation = lambda: config.get("installation", {})
    if config["path"]:
        loaded.session.follow_file(config["path"])
    loaded.magics.launcher.host = HostedRuns(HostClient(config["address"], config["authkey"]), open_artifacts(config["artifacts_url"]))


def finish() -> None:
    """The notebook's last cell has run: run what no `%nbflow run` has released and end the run. Raises what it failed with."""
    from IPython import get_ipython  # noqa: PLC0415 - as above

    finish_in(get_ipython())


def finish_in(shell: Any) -> None:
    """`finish` for a given shell."""
    magics = extension.load(shell).magics
    launcher = magics.launcher
    assert isinstance(launcher.host, HostedRuns), "attach() comes first"
    flow: Flow = magics.session.draft()
    tasks = tuple(task.id for task in flow.tasks)
    captures = launcher.kernel.hand_over(flow, tasks, launcher.host.artifacts)
    advanced = launcher.host.finish(flow, captures, tasks)
    launcher.kernel.take_back(advanced.values, launcher.host.artifacts)
    raise_unless_well(advanced)
