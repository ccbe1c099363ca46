# SPDX-License-Identifier: BSD-3-Clause
"""History that gives up its large values, or what was printed, before it goes: what remains says what there was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nbflow.core.job import OutputsRef, ValueRef
from nbflow.core.records import AttemptRecord


def without(attempt: AttemptRecord, *, values: bool, outputs: bool) -> AttemptRecord:
    """The attempt without the values that are artifacts, without its outputs. What stands in the record itself, and what a person is shown, stays."""
    if outputs:
        attempt = replace(attempt, outputs=OutputsRef())
    if not values:
        return attempt
    return replace(
        attempt,
        values=_let_go(attempt.values),
        inputs=_let_go(attempt.inputs),
        elements={name: tuple(_without(ref) for ref in refs) for name, refs in attempt.elements.items()},
        error=replace(attempt.error, frames="") if attempt.error is not None else None,
    )


def _let_go(values: Mapping[str, ValueRef]) -> dict[str, ValueRef]:
    return {name: _without(ref) for name, ref in values.items()}


def _without(ref: ValueRef) -> ValueRef:
    """Its hash stays, so that runs can be compared."""
    if ref.format == "list":
        return replace(ref, items=tuple(_without(item) for item in ref.items))
    return ref if ref.inline is not None else replace(ref, let_go=True)
