# SPDX-License-Identifier: BSD-3-Clause
"""Inline, `run_job` borrows the process of whoever calls it, and gives it back as it was."""

import logging
import os
import subprocess
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


HOST = """
import logging, sys, threading
from pathlib import Path
from tests.unit.operators.test_entry import job
from nbflow.operators.entry import run_job
from nbflow.store.artifacts import open_artifacts

began, said, reports = threading.Event(), threading.Event(), []
source = "import threading\\nprint('of the task')\\nthread = threading.Thread(target=print, args=('of its thread',))\\nthread.start()\\nthread.join()"
source += "\\nimport tests.unit.operators.hosts_meeting as meeting\\nmeeting.began.set()\\nmeeting.said.wait()\\nprint('and again')"
import tests.unit.operators.hosts_meeting as meeting
thread = threading.Thread(target=lambda: reports.append(run_job(job(source), open_artifacts(sys.argv[1]), lambda _event: None)))
thread.start()
meeting.began.wait()
print("of the host")
print("a complaint of the host", file=sys.stderr)
error = logging.getLogger("nbflow.scheduler").error
later = threading.Thread(target=error, args=("an error of a thread that it began later",), name="nbflow-later")
later.start()
later.join()
meeting.said.set()
thread.join()
assert reports[0].outputs.inline == ({"output_type": "stream", "name": "stdout", "text": "of the task\\nof its thread\\nand again\\n"},), reports
"""


def test_what_the_hosts_own_threads_print_meanwhile_is_the_hosts(tmp_path):
    command = [sys.executable, "-c", HOST, str(tmp_path)]
    done = subprocess.run(command, cwd=Path(__file__).resolve().parents[3], capture_output=True, text=True, check=False, timeout=120)
    complaints = "a complaint of the host\nan error of a thread that it began later\n"
    assert (done.stdout, done.stderr, done.returncode) == ("of the host\n", complaints, 0)
