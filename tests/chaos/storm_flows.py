# SPDX-License-Identifier: BSD-3-Clause
"""The flows of a storm: some go well, one needs a second attempt, one always fails, one has never heard of nbflow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Final

import nbformat

#: Slots of the pool that the tasks `narrow` of all flows share, and runs of one flow that may be active at once.
POOL, SLOTS, ACTIVE = "strait", 2, 2
#: A killed process counts under `retries`, as user code that crashes it does: there must be enough for a storm.
_TASK: Final = "%%task {id} --retries 50 --retry-delay 0s{options}\nfrom tests.chaos.storm_body import work\n{read}work({seconds:.2f}, '{ending}')\n{id}_done = 1"


@dataclass(frozen=True, kw_only=True)
class StormFlow:
    """One deployed notebook."""

    name: str
    #: Of its tasks in order, each with how its body ends; none: a notebook without nbflow.
    tasks: tuple[tuple[str, str], ...]

    @property
    def ends_well(self) -> bool:
        return all(ending != "fails" for _, ending in self.tasks)


def flows(count: int) -> list[StormFlow]:
    """Of each kind one, the others such as go well."""
    well = (("first", "well"), ("narrow", "well"))
    kinds = {1: (("first", "unsteady"), ("narrow", "well")), 2: (("first", "well"), ("boom", "fails")), 3: ()}
    return [StormFlow(name=f"f{number}", tasks=kinds.get(number, well)) for number in range(count)]


def write(flow: StormFlow, folder: Path, dice: Random, *, step: int, start: datetime, end: datetime) -> tuple[Path, dict[str, object]]:
    """Its notebook, and the keys of its schedule."""
    place = folder / flow.name
    place.mkdir()
    keys: dict[str, object] = {
        "schedule": f"every {step}s",
        "start_date": start.isoformat(),
        "end_date": end.isoformat(),
        "catchup": "all",
        "max_active_runs": ACTIVE,
    }
    if flow.tasks:
        cells = ["%load_ext nbflow", f"%%flow {flow.name}"]
        before = ""
        for id, ending in flow.tasks:
            options = f" --pool {POOL}" if id == "narrow" else ""
            read = f"assert {before}_done\n" if before else ""
            cells.append(_TASK.format(id=id, options=options, read=read, seconds=dice.uniform(0.02, 0.3), ending=ending))
            before = id
    else:
        cells = ["x = 1", "import time; time.sleep(0.1)", "print(x)"]
    path = place / f"{flow.name}.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)
    return path, keys
