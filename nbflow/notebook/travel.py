# SPDX-License-Identifier: BSD-3-Clause
"""Values of the kernel as encoded bytes, and back: the notebook's use of `nbflow.operators.values`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nbflow.core.errors import NbflowError, UserError
from nbflow.core.job import ValueRef
from nbflow.core.protocols import ArtifactStore


def encode_all(values: Mapping[str, Any], definitions: Iterable[str], artifacts: ArtifactStore) -> dict[str, ValueRef | str]:
    """Each value's reference, or the words that say why it cannot travel. Names of one mutable object stay one object where they are decoded.

    `definitions` names the functions and classes of the notebook: values refer to them, they do not carry them.
    """
    from nbflow.operators.definitions import DefinitionTable  # noqa: PLC0415 - loading the extension stays quick
    from nbflow.operators.values import UnstorableValue, is_mutable, store  # noqa: PLC0415 - as above

    table = DefinitionTable.of_names(definitions)
    shared = Counter(id(value) for value in values.values() if is_mutable(value))
    first_name: dict[int, str] = {}
    encoded: dict[str, ValueRef | str] = {}
    for name, value in values.items():
        alias = f"kernel:{first_name.setdefault(id(value), name)}" if shared[id(value)] > 1 else ""
        try:
            encoded[name] = store(value, artifacts, definitions=table, alias=alias)
        except UnstorableValue as error:
            encoded[name] = f"it is {error.what}. Remedy: {error.remedy}."
    return encoded


def encode_elements(name: str, value: Any, task: str, definitions: Iterable[str], artifacts: ArtifactStore) -> tuple[ValueRef, ...]:
    """The elements of a value that `task` maps over. Raises UserError when it has none, too many, or one that cannot travel."""
    from nbflow.operators.definitions import DefinitionTable  # noqa: PLC0415 - as above
    from nbflow.operators.elements import ELEMENT_INLINE, store_elements  # noqa: PLC0415 - as above
    from nbflow.operators.values import UnstorableValue, store  # noqa: PLC0415 - as above

    table = DefinitionTable.of_names(definitions)

    def keep(element: Any) -> ValueRef:
        return store(element, artifacts, definitions=table, inline_limit=ELEMENT_INLINE)

    try:
        return store_elements(name, value, task=task, store=keep)
    except UnstorableValue as error:
        raise UserError(
            f"Task {task} maps over `{name}`, of which an element cannot be sent to a worker: it is {error.what}. Remedy: {error.remedy}."
        ) from None


def decode_each(
    values: Mapping[str, ValueRef], artifacts: ArtifactStore, namespace: Mapping[str, Any]
) -> Iterator[tuple[str, Any | NbflowError]]:
    """Each value by name, or why it cannot be had. What others are made of (a class that a task defined) comes first, to be bound at once."""
    from nbflow.operators.values import Decoder  # noqa: PLC0415 - as above

    decoder = Decoder(artifacts)
    for name in _needed_first(values):
        missing = [need for need in values[name].needs if need not in namespace]
        if missing:
            yield name, UserError(f"it is made of `{missing[0]}`, which is not defined here: execute the cell that defines it.")
            continue
        try:
            value = decoder(values[name])
        except NbflowError as error:
            yield name, error
        else:
            yield name, value


def _needed_first(values: Mapping[str, ValueRef]) -> list[str]:
    ordered: list[str] = []
    entered: set[str] = set()

    def visit(name: str) -> None:
        if name in entered:
            return
        entered.add(name)
        for need in values[name].needs:
            if need in values:
                visit(need)
        ordered.append(name)

    for name in values:
        visit(name)
    return ordered
