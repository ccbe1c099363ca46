# SPDX-License-Identifier: BSD-3-Clause
"""Inline, `run_job` borrows the process of whoever calls it, and gives it back as it was."""

import logging
import os
import sys
import threading
from pathlib import Path

from IPython.core.interactiveshell import InteractiveShell

from nbflow.core.ids import TaskKey
from nbflow.core.job import Job, JobContext, Outcome
from nbflow.operators.entry import run_job
from nbflow.store.artifacts import open_artifacts


def job(source, **more):
    return Job(token="t1", context=JobContext(flow="f", run_id="r", key=TaskKey("t"), attempt=1), operator="cell", source=source, **more)


def test_the_callers_process_is_given_back_as_it_was(tmp_path):
    before = (
        sys.modules["__main__"],
        sys.stdout,
        sys.stdin,
        Path.cwd(),
        dict(os.environ),
        list(sys.path),
        logging.getLogger().handlers[:],
    )
    shell = InteractiveShell._instance
    source = (
        "import os, sys\nos.chdir('/')\nos.environ['LEFT'] = '1'\nsys.path.append('/left')\nprint('here')\nx = get_ipython() is not None"
    )
    reports = []
    artifacts = open_artifacts(str(tmp_path))
    thread = threading.Thread(target=lambda: reports.append(run_job(job(source, demands=("x",)), artifacts, lambda _event: None)))
    thread.start()
    thread.join()
    assert reports[0].outcome is Outcome.SUCCESS
    assert reports[0].values["x"].inline == b"true"
    assert reports[0].outputs.inline[0]["text"] == "here\n"
    after = (sys.modules["__main__"], sys.stdout, sys.stdin, Path.cwd(), dict(os.environ), list(sys.path), logging.getLogger().handlers[:])
    assert after == before
    assert InteractiveShell._instance is shell


def test_a_listener_that_fails_does_not_end_the_attempt(tmp_path):
    def deaf(_event):
        raise OSError("nobody there")

    assert run_job(job("print('x')"), open_artifacts(str(tmp_path)), deaf).outcome is Outcome.SUCCESS
