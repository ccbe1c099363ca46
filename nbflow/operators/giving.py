# SPDX-License-Identifier: BSD-3-Clause
"""What an attempt takes in as private copies, and what it gives: demanded names without fail, offered ones within bounds."""

from __future__ import annotations

import sys
import types
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from nbflow.core.calls import CALL
from nbflow.core.errors import UserError
from nbflow.core.job import CaptureKind, Job, ValueRef
from nbflow.core.masking import Mask, mask_of
from nbflow.core.protocols import ArtifactStore
from nbflow.operators.definitions import NO_DEFINITIONS, DefinitionTable
from nbflow.operators.elements import ELEMENT_INLINE, store_elements
from nbflow.operators.values import Decoder, TooLarge, UnstorableValue, encode_parts, is_mutable, store

#: Formats in which equal values have equal bytes, so that the input's own hash tells whether it changed.
_CANONICAL: Final = frozenset({"json", "text", "bytes", "npy"})


class NotGiven(UserError):
    """A demanded name was not bound, or is bound to what cannot be stored."""


@dataclass(kw_only=True)
class Given:
    """What came of it, filled while it is encoded."""

    values: dict[str, ValueRef] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    elements: dict[str, tuple[ValueRef, ...]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class _Handle:
    """Knows an object again without keeping a large one alive: what cannot be referred to weakly (lists, dicts) is held."""

    def __init__(self, thing: Any) -> None:
        self._find: Callable[[], Any]
        try:
            self._find = weakref.ref(thing)
        except TypeError:
            self._find = lambda: thing

    def is_handle_of(self, thing: Any) -> bool:
        return self._find() is thing


@dataclass(frozen=True, kw_only=True)
class _Taken:
    ref: ValueRef
    handle: _Handle
    #: What the unchanged value hashes to now.
    fingerprint: str


class Inputs:
    """The attempt's private copies, and what is remembered of them to see what the body did."""

    def __init__(self, job: Job, artifacts: ArtifactStore) -> None:
        self.decode = Decoder(artifacts)
        self._job = job
        self._defined: dict[str, Any] = {}
        self._taken: dict[str, _Taken] = {}

    def bind(self, namespace: dict[str, Any]) -> None:
        """Decode every input under its name; captured values are watched as well."""
        captured = {
            name: capture.value
            for name, capture in self._job.captures.items()
            if capture.kind is CaptureKind.VALUE and capture.value is not None
        }
        self._defined = {
            name: namespace.get(name) for name, capture in self._job.captures.items() if capture.kind is CaptureKind.DEFINITION
        }
        for name, ref in self._job.inputs.items():
            namespace[name] = self.decode(ref)
        if CALL in self._job.captures:
            return  # what a function does to its own arguments shows nowhere else
        definitions = self.definitions(namespace)
        for name, ref in {**captured, **self._job.inputs}.items():
            value = namespace[name]
            if is_mutable(value):
                self._taken[name] = _Taken(ref=ref, handle=_Handle(value), fingerprint=_first_fingerprint(value, ref, definitions))

    def definitions(self, namespace: Mapping[str, Any]) -> DefinitionTable:
        """Those that are still the notebook's own: a class the body defines anew under the same name travels by value."""
        if not self._defined:
            return NO_DEFINITIONS
        return DefinitionTable.of_names(name for name, thing in self._defined.items() if namespace.get(name) is thing)

    def alias_of(self, value: Any) -> str:
        """The alias of the input this very object came from; "" when it is a new one."""
        return next((taken.ref.alias for taken in self._taken.values() if taken.ref.alias and taken.handle.is_handle_of(value)), "")

    def changed(self, namespace: Mapping[str, Any]) -> list[str]:
        """Inputs that were changed in place although the analysis of the cell had not seen it."""
        if not self._taken:
            return []
        definitions = self.definitions(namespace)
        expected = {*self._job.mutates, *self._job.demands, *self._job.offers}
        return [
            name
            for name, taken in self._taken.items()
            if name not in expected
            and taken.fingerprint
            and name in namespace
            and taken.handle.is_handle_of(namespace[name])
            and _fingerprint(namespace[name], taken.ref, definitions) != taken.fingerprint
        ]


def _first_fingerprint(value: Any, ref: ValueRef, definitions: DefinitionTable) -> str:
    return ref.hash if ref.format in _CANONICAL else _fingerprint(value, ref, definitions)


def _fingerprint(value: Any, ref: ValueRef, definitions: DefinitionTable) -> str:
    is_canonical = ref.format in _CANONICAL
    try:
        encoded = encode_parts(value, definitions=definitions, as_pickle=not is_canonical)
    except UnstorableValue:
        return "cannot be stored any more"
    return encoded.hash if is_canonical else encoded.checksum


def give(job: Job, namespace: Mapping[str, Any], inputs: Inputs, artifacts: ArtifactStore, given: Given) -> None:
    """Encode and store what the body gives. Raises NotGiven naming a demanded name that is missing or cannot be stored."""
    for name in inputs.changed(namespace):
        given.warnings.append(
            f"`{name}` was changed in place, which nbflow had not seen, so later tasks get it unchanged: add --writes {name} to the task"
        )
    storing = _Storing(job, inputs, artifacts, inputs.definitions(namespace))
    for name in job.demands:
        if name not in namespace:
            raise NotGiven(
                f"`{name}` was not bound by task {job.context.key}, which must give it because a later cell reads it or --writes names it: "
                "bind it on every path through the cell."
            )
        try:
            given.values[name] = storing.keep(name, namespace[name])
        except UnstorableValue as error:
            raise NotGiven(f"`{name}` is {error.what}, which cannot be stored: {error.remedy}.") from error
    for name in job.offers:
        if name in namespace and name not in given.values:
            try:
                _refuse_large(namespace[name], job.keep_limit)
                given.values[name] = storing.keep(name, namespace[name], job.keep_limit)
            except UnstorableValue as error:
                given.left_out[name] = f"left it out: {error}"
            except TooLarge as error:
                given.left_out[name] = f"left it out: it {error}, and no later cell was seen to read it (--writes {name} keeps it)"

    _take_apart(job.splits, namespace, storing, given)


def _take_apart(splits: Mapping[str, str], namespace: Mapping[str, Any], storing: _Storing, given: Given) -> None:
    """Store what mapped tasks map over element by element as well. Raises NotMappable, and NotGiven for an element that cannot be stored."""
    for name, task in splits.items():
        if name not in given.values:
            continue
        try:
            given.elements[name] = store_elements(name, namespace[name], task=task, store=storing.element)
        except UnstorableValue as error:
            what = f"An element of `{name}`, which {task} maps over, is {error.what}"
            raise NotGiven(f"{what}, which cannot be stored: {error.remedy}.") from error


class _Storing:
    """Stores one name after the other; names of one object get one alias."""

    def __init__(self, job: Job, inputs: Inputs, artifacts: ArtifactStore, definitions: DefinitionTable) -> None:
        self._job = job
        self._definitions = definitions
        self._inputs = inputs
        self._artifacts = artifacts
        mask = mask_of(job.lent.hidden)
        self._refuse = (lambda data: _refuse_secrets(data, mask)) if mask else None
        self._stored: dict[int, ValueRef] = {}

    def keep(self, name: str, value: Any, limit: int | None = None) -> ValueRef:
        """Raises UnstorableValue and TooLarge."""
        stored = self._stored.get(id(value))  # ids are those of objects the namespace holds
        if stored is not None:
            return stored
        is_one_object = is_mutable(value) and not isinstance(value, (types.ModuleType, type, types.FunctionType))
        alias = (self._inputs.alias_of(value) or f"{self._job.token}/{name}") if is_one_object else ""
        ref = store(value, self._artifacts, definitions=self._definitions, alias=alias, limit=limit, refuse=self._refuse)
        self._stored[id(value)] = ref
        return ref

    def element(self, value: Any) -> ValueRef:
        """Part of a value: every copy that gets it has it for itself. Raises UnstorableValue."""
        return store(value, self._artifacts, definitions=self._definitions, inline_limit=ELEMENT_INLINE, refuse=self._refuse)


def _refuse_secrets(data: bytes, mask: Mask) -> None:
    """What a connection holds stays with the attempts that were lent it."""
    if mask.is_in(data):
        raise UnstorableValue(
            "a value that holds a secret of a connection or variable",
            "take it from ctx in each task that needs it, and bind what comes of it",
        )


def _refuse_large(value: Any, limit: int) -> None:
    """Arrays and frames say how large they are before they are encoded."""
    size: Any = getattr(value, "nbytes", 0) if type(value).__module__.partition(".")[0] == "numpy" else 0
    frame: Any = getattr(sys.modules.get("pandas"), "DataFrame", ())
    if isinstance(value, frame):
        size = int(value.memory_usage(index=True).sum()) // 8  # Parquet may be that much smaller
    if isinstance(size, int) and size > limit:
        raise TooLarge(limit)
