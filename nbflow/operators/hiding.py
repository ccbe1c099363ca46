# SPDX-License-Identifier: BSD-3-Clause
"""What an attempt reports, without the secrets it was lent."""

from __future__ import annotations

from dataclasses import replace

from nbflow.core.job import ErrorInfo, Report, ValueRef
from nbflow.core.masking import Mask


def without_secrets(report: Report, mask: Mask) -> Report:
    """The report as anybody may read it. Its outputs are masked where they are made, its values refused where they are stored."""
    if not mask:
        return report
    return replace(
        report,
        reason=mask.text(report.reason),
        error=_error(report.error, mask) if report.error else None,
        values={name: _shown(ref, mask) for name, ref in report.values.items()},
        elements={name: tuple(_shown(ref, mask) for ref in refs) for name, refs in report.elements.items()},
        left_out=mask.json(report.left_out),
        decision=mask.json(report.decision),
        already=mask.text(report.already),
        trigger=mask.json(report.trigger),
        warnings=mask.json(report.warnings),
    )


def _error(error: ErrorInfo, mask: Mask) -> ErrorInfo:
    return replace(error, evalue=mask.text(error.evalue), traceback=tuple(map(mask.text, error.traceback)))


def _shown(ref: ValueRef, mask: Mask) -> ValueRef:
    return replace(ref, shown=mask.text(ref.shown))
