# SPDX-License-Identifier: BSD-3-Clause
"""Which files are new and which have changed, from one look to the next.

known     what was there before the deployment, and what has started a run; a file that goes away and comes back as it was is no news
settling  seen once in this form: it is news when the next look finds the same, so that a file that is being written is waited for
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple

#: Of one pattern at one look; the others are news of the next ones.
MOST_NEWS: Final = 100
#: A pattern that matches more is refused: it would be read and compared again and again.
MOST_FILES: Final = 10_000
#: Files that went away are remembered up to this many.
_MOST_GONE: Final = 10_000
#: The longest pause after looks that failed.
_LONGEST_PAUSE: Final = timedelta(minutes=10)


class Thing(NamedTuple):
    """A file as it was found."""

    #: Differs when the file does.
    signature: str
    #: When it last changed; None when its file system does not say.
    at: datetime | None


class News(NamedTuple):
    """One file that starts a run."""

    path: str
    #: `new` or `changed`.
    change: str


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What one deployment watches by one path, pattern or URL."""

    name: str
    url: str
    #: When the next look is due.
    due: datetime
    #: What was there before this instant is known; None before the first look.
    since: datetime | None = None
    known: Mapping[str, str] = field(default_factory=dict)
    settling: Mapping[str, str] = field(default_factory=dict)
    #: How many files the last look found that went well.
    count: int = 0
    #: Why the last look failed, and how many did in a row.
    error: str = ""
    failures: int = 0
    #: Raised by each write: a write that knew an older one is refused.
    revision: int = 0


def looked(watch: Watch, found: Mapping[str, Thing], since: datetime, now: datetime, pause: timedelta) -> tuple[Watch, tuple[News, ...]]:
    """What the watch says after this look, and the news. `since`: what was there before starts nothing."""
    known, settling = dict(watch.known), dict[str, str]()
    news: list[News] = []
    is_first = watch.since != since
    if is_first:
        known = {path: thing.signature for path, thing in found.items() if thing.at is None or thing.at <= since}
    for path, thing in sorted(found.items()):
        if known.get(path) == thing.signature:
            continue
        is_stable = not is_first and watch.settling.get(path) == thing.signature
        if is_stable and len(news) < MOST_NEWS:
            news.append(News(path, "changed" if path in known else "new"))
            known[path] = thing.signature
        else:
            settling[path] = thing.signature
    after = replace(
        watch,
        due=now + pause,
        since=since,
        known=_without_the_long_gone(known, found),
        settling=settling,
        count=len(found),
        error="",
        failures=0,
    )
    return after, tuple(news)


def failed(watch: Watch, why: str, now: datetime, pause: timedelta) -> Watch:
    """What the watch says after a look that failed: the next one is later each time. What was known stays known."""
    failures = watch.failures + 1
    wait = min(pause * 2 ** min(failures - 1, 10), max(pause, _LONGEST_PAUSE))
    return replace(watch, due=now + wait, error=why, failures=failures)


def _without_the_long_gone(known: Mapping[str, str], found: Mapping[str, Thing]) -> dict[str, str]:
    gone = [path for path in known if path not in found]
    forgotten = set(gone[: max(0, len(gone) - _MOST_GONE)])
    return {path: signature for path, signature in known.items() if path not in forgotten}
