# SPDX-License-Identifier: BSD-3-Clause
"""`python -m tests.chaos.driver SEED [--resume]`: a process that drives the flow of this seed, as a live kernel would."""

from __future__ import annotations

import sys
from functools import partial

from nbflow.app import Workspace
from nbflow.core.errors import NbflowError
from nbflow.core.ids import RunId
from nbflow.core.job import CaptureSet
from nbflow.core.states import RunState
from tests.chaos.flows import as_flow, plan

RUN_ID = RunId("chaos")


def main() -> int:
    seed = int(sys.argv[1])
    workspace = Workspace.open()
    try:
        start = workspace.resume_run if "--resume" in sys.argv else partial(workspace.start_run, as_flow(plan(seed), "chaos"), CaptureSet())
        handle = start(run_id=RUN_ID)
        handle.wait()
        return 0 if handle.snapshot().run.state is RunState.SUCCESS else 1
    except NbflowError as error:
        sys.stderr.write(f"nbflow: {error}\n")
        return error.exit_code
    finally:
        workspace.close()


if __name__ == "__main__":
    sys.exit(main())
