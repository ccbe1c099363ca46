# SPDX-License-Identifier: BSD-3-Clause
"""The proof that a cluster which is not the home's own can work for it: same packages, same artifacts, clocks that agree.

This process writes a mark where values are kept; every worker must read it and write one of its own, which this process must read. Workers that
come later read and write before their first attempt. What is wrong is one sentence with the worker, the path or package, and what to change.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import nbflow
from nbflow.core.errors import SetupError
from nbflow.core.protocols import ArtifactStore

#: Seconds between two clocks that are still called the same: starts and ends of attempts are told by the workers' clocks.
CLOCK_LIMIT: Final = 5.0
_REMEDY: Final = "set artifacts_url to a folder or URL every worker reaches"
#: Marks this worker has read and answered.
_answered: Final[set[str]] = set()


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """What a worker has to find, and how."""

    url: str
    #: Opens the artifacts at `url`; pickled by reference.
    opener: Callable[[str], ArtifactStore]
    name: str = field(default_factory=lambda: f"proof-{uuid.uuid4().hex}")
    secret: bytes = field(default_factory=lambda: uuid.uuid4().bytes)

    def answer_of(self, worker: str) -> str:
        """The mark that this worker writes."""
        return f"{self.name}.{uuid.uuid5(uuid.NAMESPACE_URL, worker).hex}"


async def answer(challenge: Challenge, dask_worker: Any) -> dict[str, Any]:
    """Runs in a worker's event loop: what it can do with the artifacts, its version and its clock."""
    import asyncio  # noqa: PLC0415 - runs elsewhere

    trouble = await asyncio.to_thread(trouble_here, challenge, dask_worker.address)
    return {"trouble": trouble, "nbflow": nbflow.__version__, "time": time.time()}


def trouble_here(challenge: Challenge, worker: str) -> str:
    """Why this process cannot work with the artifacts, "" when it can. Asked once: what was good stays so."""
    if challenge.name in _answered:
        return ""
    doing = "see"
    try:
        artifacts = challenge.opener(challenge.url)
        if artifacts.read_mark(challenge.name) != challenge.secret:
            return f"The Dask worker {worker} cannot see {challenge.url}: {_REMEDY}."
        doing = "write to"
        artifacts.write_mark(challenge.answer_of(worker), challenge.secret)
    except (SetupError, OSError) as error:
        return f"The Dask worker {worker} cannot {doing} {challenge.url} ({_why(error)}): {_REMEDY}."
    _answered.add(challenge.name)
    return ""


def check_answers(challenge: Challenge, artifacts: ArtifactStore, answers: Mapping[str, Any], asked: float, heard: float) -> None:
    """Raises SetupError for the first worker whose answer will not do. `asked` and `heard` are instants of this machine's clock."""
    for worker, said in answers.items():
        if not isinstance(said, Mapping):
            raise SetupError(
                f"The Dask worker {worker} cannot load nbflow {nbflow.__version__} ({_why(said)}): install the same jupyter-nbflow there."
            )
        if said["nbflow"] != nbflow.__version__:
            raise SetupError(
                f"nbflow is {nbflow.__version__} here and {said['nbflow']} in the Dask worker {worker}: use one environment for all of them."
            )
        ahead = max(0.0, said["time"] - heard) - max(0.0, asked - said["time"])
        if abs(ahead) > CLOCK_LIMIT:
            word = "ahead of" if ahead > 0 else "behind"
            raise SetupError(
                f"The clock of the Dask worker {worker} is {abs(ahead):.0f} s {word} this machine's: set both by the same time server."
            )
        if said["trouble"]:
            raise SetupError(said["trouble"])
        _check_written(challenge, artifacts, worker)


def _check_written(challenge: Challenge, artifacts: ArtifactStore, worker: str) -> None:
    name = challenge.answer_of(worker)
    try:
        found = artifacts.read_mark(name)
        why = "" if found == challenge.secret else "it is not there"
    except SetupError as error:
        why = _why(error)
    if why:
        raise SetupError(f"What the Dask worker {worker} writes to {challenge.url} cannot be read here ({why}): {_REMEDY}.")
    with contextlib.suppress(SetupError):  # a mark of another user may be read but not removed
        artifacts.delete_mark(name)


def _why(error: object) -> str:
    """What the system said, without the sentence around it."""
    cause = error.__cause__ if isinstance(error, SetupError) else error
    said = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause or error)
    return " ".join(said.split()).rstrip(".")[:200]
