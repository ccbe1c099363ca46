# SPDX-License-Identifier: BSD-3-Clause
"""The kernel's half in its smallest form: `%%task NAME` defines, `%nbflow run` advances, in the order written. No analysis, no captures."""

import json

from IPython import get_ipython
from IPython.display import display

from nbflow.core.hosting import Advance
from nbflow.core.ids import FlowName, TaskId
from nbflow.core.job import CaptureSet
from nbflow.core.model import CellRef, Flow, Task
from nbflow.operators.hosting import HostClient

state = {}


def attach(config_json):
    config = json.loads(config_json)
    state.update(host=HostClient(config["address"], config["authkey"]), path=config["path"], tasks=[])
    shell = get_ipython()
    shell.register_magic_function(task, "cell", "task")
    shell.register_magic_function(nbflow, "line", "nbflow")


def task(line, cell):
    cell_id = get_ipython().get_parent()["metadata"].get("cellId", "")
    state["tasks"].append(Task(id=TaskId(line.split()[0]), source=cell, cell=CellRef(id=cell_id, offset=1)))
    display({"text/plain": f"card {line}"}, raw=True, display_id=f"nbflow-card-{line.split()[0]}")


def nbflow(line):
    bundle = {"text/plain": "graph", "application/vnd.nbflow.graph+json": {"tasks": []}}
    display(bundle, raw=True, display_id=f"nbflow-graph-{len(state['tasks'])}")
    advance(final=False)


def advance(*, final):
    tasks = tuple(state["tasks"])
    flow = Flow(name=FlowName("standin"), tasks=tasks, path=state["path"])
    answer = state["host"].advance(Advance(flow=flow, captures=CaptureSet(), tasks=tuple(one.id for one in tasks), final=final))
    if answer.failures:
        raise RuntimeError(f"Task {answer.failures[0].task} failed")
    get_ipython().user_ns["sentence"] = answer.sentence


def finish():
    advance(final=True)
