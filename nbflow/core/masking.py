# SPDX-License-Identifier: BSD-3-Clause
"""Secrets in what is shown: each stands as ***, also when it comes in pieces."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from nbflow.core.connections import MASK


class Mask:
    """Knows some secret texts and puts *** in their place."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        texts = sorted(set(filter(None, secrets)), key=lambda text: (-len(text), text))
        #: The longest first: of two that begin alike the longer one is found.
        self._pattern = re.compile("|".join(map(re.escape, texts))) if texts else None
        self._beginnings = frozenset(text[:size] for text in texts for size in range(1, len(text)))
        self._longest = max(map(len, texts), default=0)
        #: As bytes of texts, and of arrays of texts.
        self._bytes = tuple(text.encode(code, "surrogatepass") for text in texts for code in ("utf-8", "utf-32-le"))

    def __bool__(self) -> bool:
        """Whether there is anything to hide."""
        return self._pattern is not None

    def text(self, text: str) -> str:
        return self._pattern.sub(MASK, text) if self._pattern else text

    def json(self, value: Any) -> Any:
        """Every text in a tree of JSON's types, keys too."""
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.json(key): self.json(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(map(self.json, value))
        return value

    def is_in(self, data: bytes) -> bool:
        """Whether the encoded value holds a secret."""
        return any(secret in data for secret in self._bytes)

    def split(self, text: str) -> tuple[str, str]:
        """What of the text can be shown now, masked, and the rest, which may be the beginning of a secret."""
        if self._pattern is None:
            return text, ""
        shown: list[str] = []
        position = 0
        while True:
            open_end = self._open_end(text, position)
            found = self._pattern.search(text, position)
            if found is None or found.start() >= open_end:
                shown.append(text[position:open_end])
                return "".join(shown), text[open_end:]
            shown += (text[position : found.start()], MASK)
            position = found.end()

    def _open_end(self, text: str, position: int) -> int:
        """Where the longest end begins that more text could make a secret of."""
        for start in range(max(position, len(text) - self._longest + 1), len(text)):
            if text[start:] in self._beginnings:
                return start
        return len(text)


_HIDES_NOTHING: Final = Mask()


def mask_of(secrets: Sequence[str]) -> Mask:
    """The mask of an attempt: most are lent nothing, and share one."""
    return Mask(secrets) if secrets else _HIDES_NOTHING


class MaskedStream:
    """One stream in pieces: what may be the beginning of a secret waits for the next piece."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._held = ""

    def feed(self, piece: str) -> str:
        """What can be shown now."""
        shown, self._held = self._mask.split(self._held + piece)
        return shown

    def end(self) -> str:
        """What was still held: nothing follows it."""
        held, self._held = self._held, ""
        return self._mask.text(held)
