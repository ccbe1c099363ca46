# SPDX-License-Identifier: BSD-3-Clause
"""IPython's own syntax (`%magic`, `!command`, `name?`), which is looked for only in text that may have some.

IPython takes every cell apart into Python's tokens to find it, which takes longer than running a short cell.
"""

from __future__ import annotations

import re
from typing import Any, Final

from IPython.core.inputtransformer2 import TransformerManager

#: What its syntax is made of, and what else the search for it would stumble over: whitespace that is no space, ends of lines that Python has not.
_MAY_HAVE: Final = re.compile(r"[%!?\t\f\r\v\x00\x1c-\x1e\x85\u2028\u2029]|^ *[,;/]", re.MULTILINE)
_INDENT: Final = re.compile(r"^ +(?=\S)", re.MULTILINE)


class CellTransformer(TransformerManager):  # type: ignore[misc]  # IPython is not typed
    """What IPython makes of a cell."""

    def __init__(self) -> None:
        super().__init__()
        self._known = list(self.token_transformers)

    def do_token_transforms(self, lines: list[str]) -> Any:
        """The same lines, where nothing can be found and nothing can go wrong."""
        if self.token_transformers == self._known and is_plain("".join(lines)):
            return lines
        return super().do_token_transforms(lines)


def is_plain(source: str) -> bool:
    """Whether no syntax of IPython's is in it, nor an indentation that could be refused: that of a block within a block may not fit."""
    return _MAY_HAVE.search(source) is None and len(set(_INDENT.findall(source))) <= 1
