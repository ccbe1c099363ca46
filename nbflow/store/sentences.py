# SPDX-License-Identifier: BSD-3-Clause
"""What both stores say when something cannot be done, so that they say the same."""

from __future__ import annotations

from collections.abc import Sequence

from nbflow.core.errors import Superseded, UserError, nearest
from nbflow.core.records import Lease, RunRecord


def superseded(lease: Lease) -> Superseded:
    who = lease.owner.partition("/")[0]  # what follows tells processes apart, not people
    return Superseded(
        f"Run {lease.run_id} is no longer driven by {who} (lease {lease.epoch} is over): nothing was written, and this driver stops."
    )


def taken(run_id: str) -> UserError:
    return UserError(f'There is a run "{run_id}" already: choose another run id, or delete that run first (nbflow runs delete {run_id}).')


def unknown(run_id: str, known: Sequence[str]) -> UserError:
    return UserError(f'There is no run "{run_id}".{nearest(run_id, known)} `nbflow runs list` shows them.')


def unfinished(run: RunRecord) -> UserError:
    return UserError(f"Run {run.run_id} is {run.state}: cancel it, or wait for its end, before you delete it.")
