# SPDX-License-Identifier: BSD-3-Clause
"""Durations as people write them: `30s`, `5m`, `1h30m`, `2d`, `PT5M`, or seconds."""

from __future__ import annotations

import re
from datetime import timedelta

from nbflow.core.errors import UserError

_UNITS = {"w": 604_800.0, "d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PARTS = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[wdhms]))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[wdhms])")
_ISO = re.compile(r"p(?:(\d+)w)?(?:(\d+)d)?(?:t(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?)?")


def parse_duration(value: str | float | timedelta) -> timedelta:
    """The duration `value` says. Raises UserError for anything else, for negative values and for more than 10,000 days."""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        seconds = _seconds(str(value))
    if not 0 <= seconds <= 864_000_000:
        raise UserError(f'"{value}" is not a duration: write 30s, 5m, 1h30m, PT5M or a number of seconds.')
    return timedelta(seconds=seconds)


def _seconds(text: str) -> float:
    folded = text.strip().lower().replace(" ", "")
    if re.fullmatch(r"\d+(\.\d+)?", folded):
        return float(folded)
    if _PARTS.fullmatch(folded):
        return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(folded))
    iso = _ISO.fullmatch(folded)
    if iso and any(iso.groups()):
        return sum(float(number) * unit for number, unit in zip(iso.groups(), (604_800, 86_400, 3_600, 60, 1), strict=True) if number)
    return -1.0


def say_duration(seconds: float) -> str:
    """`12.4 s`, `1 m 48 s`, `2 h 05 m`, `3 d 04 h`: as every view writes a duration."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3_600:
        return f"{whole // 60} m {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3_600} h {whole % 3_600 // 60:02d} m"
    return f"{whole // 86_400} d {whole % 86_400 // 3_600:02d} h"
