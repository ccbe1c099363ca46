# SPDX-License-Identifier: BSD-3-Clause
"""An event loop for each cell: a new one, or one that is like new, since making one takes as long as running a short cell."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Sized
from typing import Any, NamedTuple

#: A loop that waits for the next cell.
_spare: list[asyncio.AbstractEventLoop] = []


class _Shape(NamedTuple):
    """What a loop looked like when it was made: what its names hold, and how much is in that."""

    held: dict[str, Any]
    contents: tuple[Sized, ...]
    sizes: tuple[int, ...]

    def is_of(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether nobody can tell that the loop was used."""
        return getattr(loop, "__dict__", None) == self.held and tuple(map(len, self.contents)) == self.sizes


_shapes: dict[int, _Shape] = {}


def take() -> asyncio.AbstractEventLoop:
    """A loop that runs nothing."""
    if _spare:
        return _spare.pop()
    loop = asyncio.new_event_loop()
    _shapes[id(loop)] = _shape(loop)
    return loop


def end(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what the cell started and did not await: it must not run on under the next attempt. Keep the loop if nobody can tell that it was used."""
    is_like_new = False
    try:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        is_like_new = not left and _shapes[id(loop)].is_of(loop)
        if not is_like_new:
            loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        if is_like_new and not _spare:
            _spare.append(loop)
        else:
            _shapes.pop(id(loop), None)
            loop.close()


def _shape(loop: asyncio.AbstractEventLoop) -> _Shape:
    """Everything the loop holds: plain values, which objects, and how much is in them. A Python whose loops change as they run makes new ones."""
    if not hasattr(loop, "__dict__"):  # uvloop's: nobody can tell
        return _Shape({"": object()}, (), ())
    held = dict(vars(loop))
    values = (value.get_map() if isinstance(value, selectors.BaseSelector) else value for value in held.values())
    contents = tuple(value for value in values if isinstance(value, Sized))
    return _Shape(held, contents, tuple(map(len, contents)))
