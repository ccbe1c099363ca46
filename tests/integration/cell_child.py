# SPDX-License-Identifier: BSD-3-Clause
"""Processes for the tests of cells, forked from one that has loaded what a worker's child loads before its first job, and nothing else.

python -m tests.integration.cell_child

Each line on stdin asks for one process: JSON, the arguments of `run` and the folder for what it prints. It is answered with its exit code.
"""

import importlib
import json
import os
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import nbflow.operators.cell
import nbflow.operators.shell  # noqa: F401 - loaded once for all
from nbflow.core.job import ValueRef
from nbflow.operators.entry import run_job
from nbflow.store.artifacts import open_artifacts


def main():
    for line in sys.stdin:
        folder, *arguments = json.loads(line)
        process = os.fork()
        if not process:
            become_another(Path(folder))
            run(*arguments)
            return
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 - the answer


def become_another(folder):
    """With standard streams of its own."""
    for number, name in enumerate((os.devnull, folder / "stdout", folder / "stderr")):
        stream = os.open(name, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(stream, number)
        os.close(stream)


def run(jobs_file, reports_file, url, preload):
    """Several jobs, one after the other, in this process."""
    for module in filter(None, preload.split(",")):
        importlib.import_module(module)
    jobs = pickle.loads(Path(jobs_file).read_bytes())
    artifacts = open_artifacts(url)
    reports, events, values = [], [], {}
    for job in jobs:
        inputs = {name: ref if isinstance(ref, ValueRef) else values[ref] for name, ref in job.inputs.items()}
        heard = []
        report = run_job(replace(job, inputs=inputs), artifacts, heard.append, worker="child")
        values |= report.values
        reports.append(report)
        events.append(heard)
    Path(reports_file).write_bytes(pickle.dumps((reports, events)))


if __name__ == "__main__":
    main()
