# SPDX-License-Identifier: BSD-3-Clause
"""Does a failed attempt get another, and when? (semantics.md 3)"""

from __future__ import annotations

import math
import zlib
from datetime import timedelta
from typing import Final

from nbflow.core.ids import TaskKey
from nbflow.core.job import ErrorInfo
from nbflow.core.options import TaskOptions
from nbflow.core.records import RunRecord

#: No backoff waits longer than a day.
LONGEST: Final = 86_400


def may_retry(options: TaskOptions, failures: int, error: ErrorInfo) -> bool:
    """Whether another attempt follows. `failures` counts since the last clear, this one included, lost attempts not."""
    if failures > options.retries or not error.may_retry:
        return False
    names = {error.ename, *error.classes}
    if options.retry_on and names.isdisjoint(options.retry_on):
        return False
    return names.isdisjoint(options.no_retry_on)


def retry_delay(options: TaskOptions, failures: int, seed: str) -> timedelta:
    """How long to wait after failure number `failures` (1-based). `seed` names flow, task, run and attempt: the jitter is the same each time."""
    delay, factor = options.retry_delay, options.backoff
    if factor in {0, 1}:
        return delay
    base = _base(delay.total_seconds(), factor, failures)
    spread = min(base + zlib.crc32(seed.encode()) % base, LONGEST)
    seconds = timedelta(seconds=spread)
    return seconds if options.max_retry_delay is None else min(seconds, options.max_retry_delay)


def _base(seconds: float, factor: float, failures: int) -> int:
    try:
        return max(1, math.ceil(seconds * factor ** (failures - 1)))
    except OverflowError:
        return LONGEST


def retry_seed(run: RunRecord, key: TaskKey, attempt: int) -> str:
    """What the jitter of one attempt depends on."""
    return f"{run.flow}#{key}#{run.logical_date.isoformat() if run.logical_date else run.run_id}#{attempt}"
