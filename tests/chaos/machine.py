# SPDX-License-Identifier: BSD-3-Clause
"""Seeds of the state machine alone: random flows of every kind of task, random outcomes, wishes, times and crashes (semantics.md, P1 to P9)."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence

from tests.chance import Rolled
from tests.unit.core.fate import calm_case, stormy_case

_TOLD = 1_000


def run(seeds: Sequence[int], say: Callable[..., None]) -> int:
    """Both cases of each seed; the exit code. What fails says its story and how to see it again."""
    failed = []
    for number, seed in enumerate(seeds, start=1):
        for case in (stormy_case, calm_case):
            try:
                case(Rolled(seed))
            except Exception:  # noqa: BLE001 - whatever it is, it is a finding
                failed.append(seed)
                say(f"seed {seed}, {case.__name__}:", *traceback.format_exc().splitlines())
        if number % _TOLD == 0:
            say(f"seeds {seeds[0]} to {seed}: {number - len(set(failed))} of {number} are well.")
    again = [f"python -m tests.chaos --machine --seed {seed}" for seed in dict.fromkeys(failed)]
    say(f"{len(seeds) - len(again)} of {len(seeds)} seeds of the machine are well, two cases each.", *again)
    return 1 if failed else 0
