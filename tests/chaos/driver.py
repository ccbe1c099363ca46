# SPDX-License-Identifier: BSD-3-Clause
"""`python -m tests.chaos.driver NOTEBOOK` or `--resume RUN`: a process that drives a flow as a live kernel would, in a thread."""

from __future__ import annotations

import sys

from nbflow.app import Workspace
from nbflow.core.errors import NbflowError
from nbflow.core.job import CaptureSet
from nbflow.core.states import RunState


def main() -> int:
    workspace = Workspace.open()
    try:
        first, *rest = sys.argv[1:]
        handle = workspace.resume_run(*rest) if first == "--resume" else workspace.start_run(workspace.load_flow(first), CaptureSet())
        handle.wait()
        return 0 if handle.snapshot().run.state is RunState.SUCCESS else 1
    except NbflowError as error:
        sys.stderr.write(f"nbflow: {error}\n")
        return error.exit_code
    finally:
        workspace.close()


if __name__ == "__main__":
    sys.exit(main())
