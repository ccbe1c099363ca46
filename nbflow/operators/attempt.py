# SPDX-License-Identifier: BSD-3-Clause
"""What an operator is given and what it gives back."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nbflow.core.job import ErrorInfo, Job, Outcome
from nbflow.operators.outputs import Outputs


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt, prepared: inputs and captures stand in `main`, which is `sys.modules["__main__"]`."""

    job: Job
    main: types.ModuleType
    outputs: Outputs

    @property
    def namespace(self) -> dict[str, Any]:
        """What the body reads and binds."""
        return self.main.__dict__


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How the body ended. What it gives stands in the attempt's namespace."""

    outcome: Outcome = Outcome.SUCCESS
    reason: str = ""
    error: ErrorInfo | None = None
    #: What it failed with, while its frames are at hand.
    exception: BaseException | None = None
    decision: Any = None
    #: What existed already, so that the body did not run.
    already: str = ""
    #: With Outcome.DEFERRED: what it waits for (core/waiting.py).
    trigger: Mapping[str, Any] = field(default_factory=dict)


#: Runs one attempt's body. A body that fails is an Ending; only nbflow's own mistakes are raised.
Operator = Callable[[Attempt], Ending]
