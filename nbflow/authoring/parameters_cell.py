# SPDX-License-Identifier: BSD-3-Clause
"""The cell tagged `parameters`: which parameters a flow has, with their defaults, types and help, as papermill reads them."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Mapping
from typing import Any

from nbflow.authoring.magics import plain_cell
from nbflow.core.model import Parameter

_COMMENT = re.compile(r"#+\s*(?:type:\s*(?P<type>\S+)\s*)?(?P<help>.*)")


def read_parameters(source: str, declared: Mapping[str, Mapping[str, Any]] | None = None) -> tuple[Parameter, ...]:
    """The parameters a cell assigns, in order; `declared` is what `[params.x]` says of them. Raises SyntaxError."""
    cell = plain_cell(source)
    comments = _comments(cell.source)
    found: dict[str, Parameter] = {}
    for node in cell.tree.body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value, annotation=annotation):
                type = ast.unparse(annotation)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                type = ""
            case _:
                continue
        comment = _COMMENT.fullmatch(comments.get(node.end_lineno or 0, ""))
        more = dict((declared or {}).get(name, {}))
        found[name] = Parameter(
            name=name,
            default=ast.get_source_segment(cell.source, value) or ast.unparse(value),
            type=str(more.get("type") or type.strip("'\"") or (comment["type"] or "" if comment else "")),
            help=str(more.get("help") or (comment["help"].strip() if comment else "")),
            minimum=more.get("minimum"),
            maximum=more.get("maximum"),
            choices=tuple(more.get("choices", ())),
        )
    return tuple(found.values())


def _comments(source: str) -> dict[int, str]:
    """Line -> the comment at its end."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (tokenize.TokenError, IndentationError):
        return {}
    return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}
