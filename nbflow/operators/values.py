# SPDX-License-Identifier: BSD-3-Clause
"""Values as bytes: encoded once, addressed by their hash, decoded into a private copy.

The format is the plainest one in which the value comes back exactly as it was; what no format can carry is refused with its type and a remedy.
"""

from __future__ import annotations

import hashlib
import json
import sys
import zlib
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from nbflow.core.job import INLINE_LIMIT, Capture, CaptureKind, ValueRef
from nbflow.core.protocols import ArtifactStore
from nbflow.operators import arrays, frames, plain
from nbflow.operators.definitions import NO_DEFINITIONS, DefinitionTable, execute_definition, install
from nbflow.operators.describe import describe
from nbflow.operators.pickles import Bytes, TooLarge, UnstorableValue, pickle_parts, unpickle

#: Pickles up to this size are decoded once where they were made: an object that cannot be read back is found there, not in another task.
_PROVE_LIMIT: Final = 64 * 1024
#: Made once: `json.dumps` makes one for each value.
_JSON: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_ATOMS: Final = frozenset({type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented), range})


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """A value's bytes, still in parts that may share the value's own memory."""

    format: str
    parts: tuple[Bytes, ...]
    needs: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return sum(memoryview(part).nbytes for part in self.parts)

    @property
    def hash(self) -> str:
        """sha256 of the bytes, without joining them."""
        digest = hashlib.sha256()
        for part in self.parts:
            digest.update(part)
        return digest.hexdigest()

    @property
    def checksum(self) -> str:
        """Tells values of one attempt apart, in a third of the time."""
        found = 0
        for part in self.parts:
            found = zlib.crc32(part, found)
        return f"{self.size} {found:08x}"

    def data(self) -> bytes:
        """One bytes object: the only copy that is made."""
        only = self.parts[0] if len(self.parts) == 1 else None
        return only if isinstance(only, bytes) else b"".join(self.parts)


def encode_parts(
    value: Any, *, definitions: DefinitionTable = NO_DEFINITIONS, limit: int | None = None, as_pickle: bool = False
) -> Encoded:
    """`value` in the plainest format that gives it back exactly, or as a pickle in any case.

    Raises UnstorableValue, and TooLarge when it takes more than `limit` bytes.
    """
    encoded = None if as_pickle else _plain(value) or _array(value) or _frame(value, limit)
    if encoded is None:
        parts, needs = pickle_parts(value, definitions, limit)
        encoded = Encoded(format="pickle", parts=parts, needs=needs)
    if limit is not None and encoded.size > limit:
        raise TooLarge(encoded.size)
    return encoded


def _plain(value: Any) -> Encoded | None:
    kind = type(value)
    if kind is bytes:
        return Encoded(format="bytes", parts=(value,))
    if kind is str:
        text = plain.text_bytes(value)
        return None if text is None else Encoded(format="text", parts=(text,))
    if plain.is_exact_in_json(value):
        return Encoded(format="json", parts=(_JSON.encode(value).encode(),))
    return None


def _array(value: Any) -> Encoded | None:
    parts = arrays.npy_parts(value)
    return None if parts is None else Encoded(format="npy", parts=parts)


def _frame(value: Any, limit: int | None) -> Encoded | None:
    data = frames.parquet_bytes(value, limit)
    return None if data is None else Encoded(format="parquet", parts=(data,))


def encode(value: Any, *, definitions: DefinitionTable = NO_DEFINITIONS, limit: int | None = None) -> tuple[ValueRef, bytes]:
    """The value's reference (nothing inline, no alias yet) and its bytes. Raises UnstorableValue and TooLarge."""
    encoded, data = _encoded(value, definitions, limit)
    return _ref(value, encoded, data, hashlib.sha256(data).hexdigest()), data


def store(
    value: Any,
    artifacts: ArtifactStore,
    *,
    definitions: DefinitionTable = NO_DEFINITIONS,
    alias: str = "",
    limit: int | None = None,
    inline_limit: int = INLINE_LIMIT,
    refuse: Callable[[bytes], None] | None = None,
) -> ValueRef:
    """Encode and keep the value: inline when small, else as an artifact. Raises UnstorableValue and TooLarge.

    `refuse` looks at the bytes before they are kept, and raises UnstorableValue for those that must not be.
    """
    encoded, data = _encoded(value, definitions, limit)
    if refuse is not None:
        refuse(data if encoded.format != "parquet" else data + frames.texts(value))  # Parquet is compressed
    if len(data) <= inline_limit:
        return _ref(value, encoded, data, hashlib.sha256(data).hexdigest(), inline=data, alias=alias)
    return _ref(value, encoded, data, artifacts.put(data), alias=alias)


def _encoded(value: Any, definitions: DefinitionTable, limit: int | None) -> tuple[Encoded, bytes]:
    encoded = encode_parts(value, definitions=definitions, limit=limit)
    data = encoded.data()
    if encoded.format == "pickle" and len(data) <= _PROVE_LIMIT:
        unpickle(data)
    return encoded, data


def _ref(value: Any, encoded: Encoded, data: bytes, hash: str, *, inline: bytes | None = None, alias: str = "") -> ValueRef:
    shown = describe(value)
    return ValueRef(hash=hash, format=encoded.format, size=len(data), inline=inline, shown=shown, alias=alias, needs=encoded.needs)


def is_mutable(value: Any) -> bool:
    """Whether two names bound to it could tell that it is one object."""
    return type(value) not in _ATOMS


def decode(ref: ValueRef, artifacts: ArtifactStore) -> Any:
    """A private copy. What it `needs` must stand in `__main__`. Raises SetupError for missing bytes, UserError when they cannot be read back."""
    if ref.format == "list":
        return [decode(item, artifacts) for item in ref.items]
    data = ref.inline if ref.inline is not None else artifacts.get(ref.hash)
    return _DECODERS[ref.format](data)


_DECODERS: Final[dict[str, Callable[[bytes], Any]]] = {
    "json": lambda data: json.loads(data.decode()),  # of bytes it would find out first in which encoding they are
    "text": lambda data: data.decode(),
    "bytes": lambda data: data,
    "npy": arrays.from_npy,
    "parquet": frames.from_parquet,
    "pickle": unpickle,
}


class Decoder:
    """Decodes the values of one attempt or one kernel: refs with the same alias and hash are one object."""

    def __init__(self, artifacts: ArtifactStore) -> None:
        self._artifacts = artifacts
        self._made: dict[tuple[str, str], Any] = {}

    def __call__(self, ref: ValueRef) -> Any:
        if ref.format == "list":
            return [self(item) for item in ref.items]
        if not ref.alias:
            return decode(ref, self._artifacts)
        key = ref.alias, ref.hash
        if key not in self._made:
            self._made[key] = decode(ref, self._artifacts)
        return self._made[key]


def install_captures(
    captures: Mapping[str, Capture],
    namespace: MutableMapping[str, Any],
    artifacts: ArtifactStore,
    decoder: Callable[[ValueRef], Any] | None = None,
) -> None:
    """Bind what a kernel handed over: import modules, execute definitions (what they need first), decode values. Raises what user code raises."""
    read = decoder or Decoder(artifacts)

    def bind(capture: Capture) -> None:
        match capture.kind:
            case CaptureKind.MODULE:
                namespace[capture.name] = _module(capture.module)
            case CaptureKind.ATTRIBUTE:
                namespace[capture.name] = getattr(_module(capture.module), capture.attribute)
            case CaptureKind.DEFINITION:
                execute_definition(capture, namespace)
            case CaptureKind.VALUE if capture.value is not None:
                namespace[capture.name] = read(capture.value)

    install(captures, bind)


def _module(name: str) -> Any:
    __import__(name)
    return sys.modules[name]


__all__ = [
    "Decoder",
    "Encoded",
    "TooLarge",
    "UnstorableValue",
    "decode",
    "describe",
    "encode",
    "encode_parts",
    "install_captures",
    "is_mutable",
    "store",
]
