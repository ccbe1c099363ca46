# SPDX-License-Identifier: BSD-3-Clause
"""Cells that are run in processes as a kernel runs them."""

import json
import pickle
import re
import select
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

from nbflow.core.ids import TaskKey
from nbflow.core.job import Capture, CaptureKind, Job, JobContext
from nbflow.core.model import CellRef
from nbflow.operators.values import decode, store
from nbflow.store.artifacts import open_artifacts

ROOT = Path(__file__).resolve().parents[2]
#: Seconds after which a process hangs.
PATIENCE = 120


class Processes:
    """Processes that have loaded the cell runner and have run nothing yet."""

    def __init__(self):
        command = [sys.executable, "-m", "tests.integration.cell_child"]
        self._first = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, folder, *arguments):
        """One of them from its start to its end; its exit code."""
        self._first.stdin.write(json.dumps([str(folder), *map(str, arguments)]) + "\n")
        self._first.stdin.flush()
        assert select.select([self._first.stdout], [], [], PATIENCE)[0], "it hangs"
        return int(self._first.stdout.readline())

    def close(self):
        self._first.kill()
        self._first.communicate()


class Child:
    """Runs jobs in one fresh process, in order."""

    def __init__(self, folder, processes):
        self.folder = folder
        self.processes = processes
        self.artifacts = open_artifacts(str(folder / "artifacts"))
        self.events = []

    def job(self, source, **more):
        more.setdefault("cell", CellRef(number=4, id="c", offset=1))
        context = JobContext(flow="errors", run_id="r1", key=TaskKey(more.pop("task", "clean")), attempt=1, params=more.pop("params", {}))
        return Job(token=uuid.uuid4().hex, context=context, operator=more.pop("operator", "cell"), source=textwrap.dedent(source), **more)

    def run_all(self, *jobs, preload=""):
        files = [self.folder / name for name in ("jobs", "reports")]
        files[0].write_bytes(pickle.dumps(jobs))
        code = self.processes.run(self.folder, *files, self.folder / "artifacts", preload)
        assert code == 0, (self.folder / "stderr").read_text()
        assert (self.folder / "stdout").read_text() == ""
        reports, self.events = pickle.loads(files[1].read_bytes())
        return reports

    def run(self, source, **more):
        return self.run_all(self.job(source, **more))[0]

    def value(self, report, name):
        return decode(report.values[name], self.artifacts)

    def outputs(self, report):
        return list(report.outputs.inline) or json.loads(self.artifacts.get(report.outputs.hash)) if report.outputs.size > 2 else []

    def text(self, report, name="stdout"):
        return "".join(output["text"] for output in self.outputs(report) if output.get("name") == name)

    def ref(self, value, **more):
        return store(value, self.artifacts, **more)


def plain(error):
    """The traceback without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))


def definition(name, source, *, needs=(), number=2, line=1):
    return Capture(
        name=name, kind=CaptureKind.DEFINITION, source=textwrap.dedent(source).strip(), needs=needs, cell=CellRef(number=number), line=line
    )
