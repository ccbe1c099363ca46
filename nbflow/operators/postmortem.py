# SPDX-License-Identifier: BSD-3-Clause
"""What a failed attempt leaves for whoever looks into it: its frames from the user's code on, with their locals.

It costs nothing while attempts go well, and is bounded when one does not: large values, and what cannot be stored, are kept by their description.
A text whose name says that it is a secret is not kept at all.
"""

from __future__ import annotations

import linecache
import pickle
import re
import traceback
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from nbflow.core.errors import NbflowError
from nbflow.core.job import Job, ValueRef
from nbflow.core.masking import Mask, mask_of
from nbflow.core.protocols import ArtifactStore
from nbflow.operators.attempt import Ending
from nbflow.operators.definitions import DefinitionTable
from nbflow.operators.describe import describe
from nbflow.operators.values import encode

#: Bytes of one value, and of all together.
_ONE: Final = 4 * 1024 * 1024
_ALL: Final = 32 * 1024 * 1024
#: Frames kept at the outer and at the inner end of a long traceback, and names in one frame.
_OUTER: Final = 20
_INNER: Final = 40
_NAMES: Final = 200
_SECRET: Final = re.compile(r"pass(word|wd|phrase)|secret|token|api_?key|private_?key|credential", re.IGNORECASE)
#: What a shell puts into a namespace.
_SHELL: Final = frozenset({"In", "Out", "get_ipython", "exit", "quit", "display"})
#: Frames below these lead to the user's code.
_LEADING: Final = (str(Path(__file__).resolve().parents[1]) + "/", "/IPython/", "<frozen ")


@dataclass(frozen=True, kw_only=True)
class KeptFrame:
    """One frame, outermost first."""

    function: str
    filename: str
    line: int
    #: The text of the file or cell, so that lines can be shown where that is not.
    source: str = ""
    #: The frame is that of a module or cell: its names are global to the frames of its functions.
    is_module: bool = False
    #: Locals that were kept.
    values: Mapping[str, ValueRef] = field(default_factory=dict)
    #: Locals that were not, by their description.
    told: Mapping[str, str] = field(default_factory=dict)


def with_frames(ending: Ending, job: Job, artifacts: ArtifactStore) -> Ending:
    """The ending of a failed attempt, its frames kept. Whatever is in the way, it stays the ending that it was."""
    if ending.exception is None or ending.error is None:
        return ending
    try:
        frames = _Keeping(DefinitionTable.from_captures(job.captures), mask_of(job.lent.hidden)).frames(ending.exception)
        kept = artifacts.put(pickle.dumps(frames)) if frames else ""
    except Exception:  # noqa: BLE001  locals are the user's own objects, and looking at them must not change how the attempt ended
        return ending
    return replace(ending, error=replace(ending.error, frames=kept), exception=None)


def load_frames(hash: str, artifacts: ArtifactStore) -> tuple[KeptFrame, ...]:
    """What was kept under this hash. Raises SetupError when it is not there any more."""
    if not hash:
        return ()
    frames: tuple[KeptFrame, ...] = pickle.loads(artifacts.get(hash))  # noqa: S301  written by `with_frames`, verified against its hash
    return frames


class _Keeping:
    """Keeps the frames of one error within the bounds."""

    def __init__(self, definitions: DefinitionTable, mask: Mask) -> None:
        self._mask = mask
        self._definitions = definitions
        self._left = _ALL
        #: Values that stand in several frames are stored once.
        self._kept: dict[int, ValueRef | str] = {}

    def frames(self, error: BaseException) -> tuple[KeptFrame, ...]:
        walked = list(_from_user_code(error.__traceback__))
        if len(walked) > _OUTER + _INNER:
            walked = walked[:_OUTER] + walked[-_INNER:]
        # The innermost first: where the bound is reached, what is nearest to the error is there.
        return tuple(self._frame(frame, line) for frame, line in reversed(walked))[::-1]

    def _frame(self, frame: types.FrameType, line: int) -> KeptFrame:
        code = frame.f_code
        is_module = code.co_name == "<module>" or frame.f_locals is frame.f_globals
        values: dict[str, ValueRef] = {}
        told: dict[str, str] = {}
        for name, value in _names(frame, is_module=is_module):
            kept = self._value(name, value)
            if isinstance(kept, ValueRef):
                values[name] = kept
            else:
                told[name] = self._mask.text(kept)
        lines = linecache.getlines(code.co_filename, frame.f_globals)
        return KeptFrame(
            function=code.co_qualname,
            filename=code.co_filename,
            line=line,
            source="".join(lines) if code.co_filename.startswith("<") or len(lines) < 2000 else "",
            is_module=is_module,
            values=values,
            told=told,
        )

    def _value(self, name: str, value: Any) -> ValueRef | str:
        if isinstance(value, (str, bytes)) and _SECRET.search(name):
            return "hidden: its name says that it is a secret"
        known = self._kept.get(id(value))
        if known is not None:
            return known
        self._kept[id(value)] = kept = self._encoded(value)
        return kept

    def _encoded(self, value: Any) -> ValueRef | str:
        shown = describe(value)
        try:
            ref, data = encode(value, definitions=self._definitions, limit=min(_ONE, self._left))
        except NbflowError as error:
            return f"{shown} ({error})"
        except BaseException as error:  # noqa: BLE001  a class's own pickling may raise anything, an exit too
            return f"{shown} ({type(error).__name__}: {error})"
        if self._mask.is_in(data):
            return "hidden: it holds a secret of a connection or variable"
        self._left -= len(data)
        return replace(ref, inline=data)


def _from_user_code(trace: types.TracebackType | None) -> Iterator[tuple[types.FrameType, int]]:
    leads = True
    for frame, line in traceback.walk_tb(trace):
        leads = leads and any(part in frame.f_code.co_filename for part in _LEADING)
        if not leads:
            yield frame, line


def _names(frame: types.FrameType, *, is_module: bool) -> Iterator[tuple[str, Any]]:
    found = 0
    for name, value in dict(frame.f_locals).items():
        hidden = name.startswith("__") or (is_module and (name.startswith("_") or name in _SHELL))
        if hidden or isinstance(value, (types.ModuleType, type, types.FunctionType, types.BuiltinFunctionType)):
            continue
        found += 1
        if found > _NAMES:
            return
        yield name, value
