# SPDX-License-Identifier: BSD-3-Clause
"""Whether a notebook has anything to do with nbflow, read from its text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

_MARK: Final = re.compile(
    r"^\s*(?:%%(?:task|flow)\b|(?:[\w.]+\s*=\s*)?%nbflow\b|%(?:re)?load_ext\s+nbflow\b|(?:import|from)\s+nbflow\b)",
    re.MULTILINE,
)


def says_nbflow(source: str) -> bool:
    """Whether this code uses nbflow's magics or imports it."""
    return _MARK.search(source) is not None


def mentions_nbflow(cells: Iterable[Any]) -> bool:
    """Whether a code cell of the notebook does."""
    return any(cell.cell_type == "code" and says_nbflow(cell.source) for cell in cells)
