# SPDX-License-Identifier: BSD-3-Clause
"""A process that runs one small flow in the workspace of its environment, prints what it found, and stays until nobody speaks to it: `python -m tests.integration.small_run`."""

from __future__ import annotations

import json
import sys

from nbflow.app import Workspace
from nbflow.core.ids import FlowName, TaskId
from nbflow.core.job import CaptureSet
from nbflow.core.model import Flow, Task
from nbflow.executors.cluster import read_facts


def main() -> None:
    workspace = Workspace.open()
    tasks = tuple(Task(id=TaskId(name), operator="cell", source="print('here')") for name in ("one", "two", "three"))
    handle = workspace.start_run(Flow(name=FlowName("small"), tasks=tasks), CaptureSet())
    handle.wait(60)
    facts = read_facts(workspace.settings.home)
    state = handle.snapshot().run.state.value
    found = {"state": state, "cluster": facts.pid if facts else None, "slots": facts.slots if facts else None}
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    workspace.close()


if __name__ == "__main__":
    main()
