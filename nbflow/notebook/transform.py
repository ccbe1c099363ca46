# SPDX-License-Identifier: BSD-3-Clause
"""What nbflow changes in a cell's text before it runs.

Above all, a blocking `%nbflow run` (or `retry`) becomes an `await`, so that the kernel goes on serving messages (a panel's buttons) while the run lasts.
Only a statement at the top level of a cell is rewritten: inside a function, an indented block or a string it is left as it is and blocks.
Tokens tell these apart, as in IPython's own transformers.
"""

from __future__ import annotations

import tokenize
from collections.abc import Sequence
from typing import Any

from IPython.core.inputtransformer2 import TokenTransformBase, assemble_continued_line, find_end_of_continued_line

#: What the rewritten line awaits. `assigned` says whether its value has a name, since a bare one shows nothing.
CALL = "await get_ipython().magics_manager.registry['NbflowMagics'].run_awaiting({line!r}, assigned={assigned!r})"

Token = tokenize.TokenInfo


class AwaitRun(TokenTransformBase):  # type: ignore[misc] # IPython is untyped
    """Rewrites `%nbflow run ...`, `%nbflow retry ...` and `x = %nbflow run ...`."""

    #: Before IPython's own transformers at the same place, which would make an ordinary call of it.
    priority = 4

    @classmethod
    def find(cls, tokens_by_line: Sequence[Sequence[Token]]) -> AwaitRun | None:
        """The first such line of the cell, or None."""
        for line in tokens_by_line:
            start = _percent(line)
            if start is not None and _is_run(line[start:]) and "--background" not in line[start].line and not line[-2].string.endswith("?"):
                return cls(line[start].start)
        return None

    def transform(self, lines: list[str]) -> list[str]:
        """The cell with that one line rewritten."""
        row, column = self.start_line, self.start_col
        target = lines[row][:column]
        end = find_end_of_continued_line(lines, row)
        words = assemble_continued_line(lines, (row, column), end)
        asked = words.lstrip("%").split("nbflow", 1)[1].strip()
        call = CALL.format(line=asked, assigned=bool(target.strip()))
        return [*lines[:row], target + call + "\n", *lines[end + 1 :]]


def _percent(line: Sequence[Token]) -> int | None:
    """Where the `%` of a magic stands in this logical line: first, or right after one top-level assignment; None elsewhere."""
    if not line or line[0].type in {tokenize.INDENT, tokenize.DEDENT} or line[0].start[1] != 0:
        return None
    if line[0].string == "%":
        return 0
    depth = 0
    for index, token in enumerate(line[:-1]):
        depth += (token.string in {"(", "[", "{"}) - (token.string in {")", "]", "}"})
        if depth == 0 and token.string == "=":
            return index + 1 if line[index + 1].string == "%" else None
        if depth == 0 and token.string == ":":
            return None  # the head of a block
    return None


def _is_run(tokens: Sequence[Token]) -> bool:
    return len(tokens) > 2 and tokens[1].string == "nbflow" and tokens[2].string in {"run", "retry"}


def allow_empty_body(lines: list[str]) -> list[str]:
    """A `%%task` or `%%flow` line alone in its cell: IPython refuses a cell magic without a body, but a task may be empty and a header short."""
    written = [line for line in lines if line.strip()]
    if len(written) == 1 and written[0].split()[0] in {"%%task", "%%flow"}:
        return [written[0].rstrip("\n") + "\n", "\n"]
    return lines


def install(shell: Any) -> None:
    """Rewrite from now on in this shell; what it cannot await, it runs as an ordinary call."""
    cleanup = shell.input_transformer_manager.cleanup_transforms
    if allow_empty_body not in cleanup:
        cleanup.insert(0, allow_empty_body)
    if shell.autoawait and AwaitRun not in shell.input_transformer_manager.token_transformers:
        shell.input_transformer_manager.token_transformers.insert(0, AwaitRun)


def uninstall(shell: Any) -> None:
    """Stop rewriting."""
    cleanup = shell.input_transformer_manager.cleanup_transforms
    if allow_empty_body in cleanup:
        cleanup.remove(allow_empty_body)
    transformers = shell.input_transformer_manager.token_transformers
    if AwaitRun in transformers:
        transformers.remove(AwaitRun)
