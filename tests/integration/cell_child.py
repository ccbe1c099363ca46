# SPDX-License-Identifier: BSD-3-Clause
"""What the child process of test_cell_runner.py executes: several jobs, one after the other, in one warm process.

python -m tests.integration.cell_child JOBS REPORTS ARTIFACTS [preload,modules]
"""

import importlib
import pickle
import sys
from dataclasses import replace
from pathlib import Path

from nbflow.core.job import ValueRef
from nbflow.operators.entry import run_job
from nbflow.store.artifacts import open_artifacts


def main(jobs_file, reports_file, url, preload=""):
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
    main(*sys.argv[1:])
