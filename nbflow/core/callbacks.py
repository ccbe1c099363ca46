# SPDX-License-Identifier: BSD-3-Clause
"""Functions that are called when something happens to a task or a run (`@task(on_failure=tell)`): their names, and what became of a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from nbflow.core.happenings import Kind
from nbflow.core.ids import TaskId

#: Keyword of `@task` -> what it is called about.
OF_TASK: Final[Mapping[str, Kind]] = {f"on_{kind.value}": kind for kind in Kind}
#: Keyword of `@flow` -> what it is called about.
OF_FLOW: Final[Mapping[str, Kind]] = {f"on_{kind.value}": kind for kind in (Kind.SUCCESS, Kind.FAILURE)}
#: Where the flow's own callbacks stand among the captures of its tasks.
THE_FLOW: Final = TaskId("")
#: The name under which a callback finds what happened.
EVENT: Final = "(event)"


def callback_name(kind: str, place: int) -> str:
    """What the call of a callback is called among captures. It is no identifier, so it hides nothing of the user's."""
    return f"(on_{kind} {place})"


@dataclass(frozen=True, kw_only=True)
class CallbackRecord:
    """One call of a callback that has ended, well or badly: the run's state does not depend on it."""

    #: Of the happening it was called about.
    happening: str
    #: Which one of those it has for that.
    place: int
    #: The function's.
    name: str
    #: `on_failure of load`
    about: str
    #: "success" or "failed".
    state: str
    reason: str = ""
    at: datetime
