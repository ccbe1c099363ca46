# SPDX-License-Identifier: BSD-3-Clause
"""What an attempt prints and shows, in order, as nbformat outputs: live in small batches, and complete at the end within bounds."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from nbflow.core.job import OutputsRef
from nbflow.core.masking import MaskedStream, mask_of
from nbflow.core.protocols import ArtifactStore
from nbflow.operators.streamtext import StreamText

#: Seconds between two live messages of a stream.
_BATCH: Final = 0.05
#: Bytes kept of the beginning, and as many of the end.
_HALF: Final = 5 * 1024 * 1024
#: A stream that goes on in the kept end is cut into pieces of about this many characters, so that old ones can go.
_PIECE: Final = 256 * 1024
_INLINE: Final = 64 * 1024

#: Held while something that was printed or shown is taken in. The collector, or a signal, may call code of the user's amid all that, which prints too:
#: it lets its own thread in again, and is one for every way by which texts come, since whoever held the lock of one might wait for that of another.
TAKING_IN: Final = threading.RLock()

#: What a ticker hears.
_PRINTED: Final = True
_ENDED: Final = False

Output = dict[str, Any]


class _Entry:
    """One output on its way: a stream that still grows, or a finished bundle. `size` is what it counts against the bound."""

    __slots__ = ("display_id", "output", "size", "text")

    def __init__(self, output: Output, display_id: str = "") -> None:
        self.output = output
        self.display_id = display_id
        self.text = StreamText() if output["output_type"] == "stream" else None
        self.size = 0 if self.text is not None else _size(output)

    def finished(self) -> Output:
        return self.output if self.text is None else {**self.output, "text": self.text.value()}


def _size(output: Mapping[str, Any]) -> int:
    return len(json.dumps(output, default=str))


class Outputs:
    """Collects the outputs of one attempt, from any thread. `tell` hears each of them soon, as an nbformat output."""

    def __init__(self, tell: Callable[[Output], None] = lambda _output: None, *, half: int = _HALF, hidden: Sequence[str] = ()) -> None:
        """`hidden` are texts that neither `tell` nor anybody else may see."""
        self._tell = tell
        self.mask = mask_of(hidden)
        self._masked = {name: MaskedStream(self.mask) for name in ("stdout", "stderr")} if self.mask else {}
        self._half = half
        self._lock = TAKING_IN
        self._head: list[_Entry] = []
        self._head_size = 0
        self._tail: deque[_Entry] = deque()
        self._tail_size = 0
        self._left_out = 0
        self._clear_next = False
        self._closed = False
        self._pending: list[tuple[str, str]] = []
        self._told_at = 0.0
        self._ticker: _Ticker | None = None

    # what user code does

    def stream(self, name: str, text: str) -> None:
        """`name` is stdout or stderr."""
        if not text:
            return
        with self._lock:
            if not self._closed:
                self._print(name, self._masked[name].feed(text) if self._masked else text)

    def display(self, data: Mapping[str, Any], metadata: Mapping[str, Any], *, display_id: str = "") -> None:
        self._show({"output_type": "display_data", "data": dict(data), "metadata": dict(metadata)}, display_id)

    def result(self, data: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        """The last expression's value."""
        self._show({"output_type": "execute_result", "execution_count": None, "data": dict(data), "metadata": dict(metadata)})

    def error(self, ename: str, evalue: str, traceback: list[str]) -> None:
        self._show({"output_type": "error", "ename": ename, "evalue": evalue, "traceback": traceback})

    def update(self, data: Mapping[str, Any], metadata: Mapping[str, Any], display_id: str) -> None:
        """Replace what stands under this display id."""
        data = self.mask.json(dict(data))
        with self._lock:
            if self._closed:
                return
            for entry in (*self._head, *self._tail):
                if entry.display_id == display_id:
                    entry.output = {**entry.output, "data": dict(data), "metadata": dict(metadata)}
                    size = _size(entry.output)
                    if entry in self._tail:
                        self._tail_size += size - entry.size
                    else:
                        self._head_size += size - entry.size
                    entry.size = size
            self._drop_old()
            self._flush()
            live = {"data": dict(data), "metadata": dict(metadata), "transient": {"display_id": display_id}}
            self._tell({"output_type": "update_display_data", **live})

    def clear(self, *, wait: bool = False) -> None:
        """Forget everything shown, now or when the next output comes."""
        with self._lock:
            if self._closed:
                return
            self._print_held()
            self._flush()
            self._tell({"output_type": "clear_output", "wait": wait})
            self._clear_next = wait
            if not wait:
                self._forget()

    # what becomes of it

    def flush(self) -> None:
        """Tell what is still waiting."""
        with self._lock:
            self._flush()

    def close(self) -> list[Output]:
        """The complete outputs; whatever threads still print later is ignored."""
        with self._lock:
            self._print_held()
            self._flush()
            self._closed = True
        if self._ticker is not None:
            self._ticker.end()
        with self._lock:
            entries = [entry.finished() for entry in self._head]
            if self._left_out:
                note = f"\n… {self._left_out / 1e6:.1f} MB of output are left out here: an attempt keeps the first and the last 5 MB …\n"
                entries.append({"output_type": "stream", "name": "stderr", "text": note})
            entries += [entry.finished() for entry in self._tail]
            return [self.mask.json(output) for output in _merged(entries)]

    def _print(self, name: str, text: str) -> None:
        if not text:
            return
        self._clear_if_asked()
        self._add_text(name, text)
        if self._pending and self._pending[-1][0] == name:
            text = self._pending.pop()[1] + text
        self._pending.append((name, text))
        if "\n" in text and time.monotonic() - self._told_at >= _BATCH:
            self._flush()
        else:
            self._flush_later()

    def _print_held(self) -> None:
        """What was printed, and could have become a secret, did not."""
        for name, stream in self._masked.items():
            self._print(name, stream.end())

    def _show(self, output: Output, display_id: str = "") -> None:
        output = self.mask.json(output)
        with self._lock:
            if self._closed:
                return
            self._print_held()
            self._clear_if_asked()
            entry = _Entry(output, display_id)
            if entry.size > 2 * self._half:
                note = f"<an output of {entry.size / 1e6:.0f} MB, too large to be kept>"
                output = {"output_type": "display_data", "data": {"text/plain": note}, "metadata": {}}
                entry = _Entry(output, display_id)
            self._append(entry)
            self._flush()
            self._tell({**output, "transient": {"display_id": display_id}} if display_id else output)

    def _add_text(self, name: str, text: str) -> None:
        position = 0
        while position < len(text):
            entry = self._stream_entry(name)
            in_tail = bool(self._tail)
            room = _PIECE if in_tail else max(self._half - self._head_size, _PIECE)
            assert entry.text is not None
            entry.text.feed(text[position : position + room])
            position += room
            grown = entry.text.size - entry.size
            entry.size += grown
            if in_tail:
                self._tail_size += grown
                self._drop_old()
            else:
                self._head_size += grown

    def _stream_entry(self, name: str) -> _Entry:
        """Where the next piece of this stream goes: the last output while it is this stream's and has room, else a new one."""
        last = self._tail[-1] if self._tail else (self._head[-1] if self._head else None)
        is_full = last is not None and (last.size >= _PIECE if self._tail else self._head_size >= self._half)
        if last is not None and last.text is not None and last.output["name"] == name and not is_full:
            return last
        entry = _Entry({"output_type": "stream", "name": name})
        self._append(entry)
        return entry

    def _append(self, entry: _Entry) -> None:
        if not self._tail and self._head_size < self._half:
            self._head.append(entry)
            self._head_size += entry.size
        else:
            self._tail.append(entry)
            self._tail_size += entry.size
            self._drop_old()

    def _drop_old(self) -> None:
        while self._tail_size > self._half and len(self._tail) > 1:
            gone = self._tail.popleft()
            self._tail_size -= gone.size
            self._left_out += gone.size

    def _clear_if_asked(self) -> None:
        if self._clear_next:
            self._clear_next = False
            self._forget()

    def _forget(self) -> None:
        self._head.clear()
        self._tail.clear()
        self._head_size = self._tail_size = self._left_out = 0

    def _flush(self) -> None:
        self._told_at = time.monotonic()
        waiting, self._pending = self._pending, []
        for name, text in waiting:
            self._tell({"output_type": "stream", "name": name, "text": text[-_PIECE:]})

    def _flush_later(self) -> None:
        if self._ticker is None:
            self._ticker = _Ticker(self._flush_pending)
        self._ticker.wake()

    def _flush_pending(self) -> None:
        with self._lock:
            if self._pending:
                self._flush()


class _Ticker:
    """A thread that calls `flush` a moment after it was woken: what is printed meanwhile goes along."""

    def __init__(self, flush: Callable[[], None]) -> None:
        self._flush = flush
        #: What happened. No event, whose lock does not let its own thread in again: whoever prints may have come out of the middle of `wake`.
        self._wakes: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._is_woken = False
        self._thread = threading.Thread(target=self._tick, name="nbflow-outputs", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        if not self._is_woken:
            self._is_woken = True
            self._wakes.put(_PRINTED)

    def end(self) -> None:
        """Until the thread has ended."""
        self._wakes.put(_ENDED)
        self._thread.join()

    def _tick(self) -> None:
        while self._wakes.get() is _PRINTED and self._goes_on():
            self._is_woken = False  # before the flush: what is printed after it wakes anew
            self._flush()

    def _goes_on(self) -> bool:
        """Waits for more that goes along."""
        try:
            return self._wakes.get(timeout=_BATCH) is _PRINTED
        except queue.Empty:
            return True


def _merged(outputs: list[Output]) -> list[Output]:
    """Neighbouring pieces of one stream are one output; empty ones are none."""
    merged: list[Output] = []
    for output in outputs:
        if output["output_type"] == "stream":
            if not output["text"]:
                continue
            if merged and merged[-1].get("name") == output["name"]:
                merged[-1] = {**output, "text": merged[-1]["text"] + output["text"]}
                continue
        merged.append(output)
    return merged


def keep_outputs(outputs: list[Output], artifacts: ArtifactStore) -> OutputsRef:
    """Inline when small, else an artifact of JSON."""
    if not outputs:
        return OutputsRef()
    data = json.dumps(outputs, default=str).encode()
    if len(data) < _INLINE:
        return OutputsRef(inline=tuple(json.loads(data)), size=len(data))
    return OutputsRef(hash=artifacts.put(data), size=len(data))
