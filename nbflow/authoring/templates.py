# SPDX-License-Identifier: BSD-3-Clause
"""Which names of the notebook an operator's text refers to: `{{ name }}`, `{% for x in name %}`."""

from __future__ import annotations

import ast
import re
from typing import Final

#: What a template knows by itself.
_OWN: Final = frozenset({"ctx", "ds", "ts", "params", "var", "conn", "loop", "range", "dict", "namespace", "true", "false", "none"})
_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_RAW = re.compile(r"\{%-?\s*raw\s*-?%\}.*?\{%-?\s*endraw\s*-?%\}", re.DOTALL)
_MARK = re.compile(r"\{\{-?(?P<shown>.*?)-?\}\}|\{%-?(?P<statement>.*?)-?%\}", re.DOTALL)
_STATEMENT = re.compile(
    r"\s*(?:(?:el)?if\s+(?P<test>.*)|for\s+(?P<targets>.+?)\s+in\s+(?P<iterated>.*)|set\s+(?P<name>\w+)\s*=(?P<value>.*))", re.DOTALL
)
_TESTS = re.compile(r"\bis\s+(?:not\s+)?\w+")
_FILTER = re.compile(r"\|\s*\w+")
_TEXTS = re.compile(r"'[^']*'|\"[^\"]*\"")
_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*")


def template_names(text: str) -> tuple[str, ...]:
    """In order of appearance, without what the template binds itself."""
    found: dict[str, None] = {}
    bound = set(_OWN)
    for mark in _MARK.finditer(_RAW.sub("", _COMMENT.sub("", text))):
        expressions = [mark["shown"] or ""]
        statement = _STATEMENT.match(mark["statement"] or "")
        if statement:
            expressions = [statement["test"] or statement["iterated"] or statement["value"] or ""]
        own = _NAME.findall((statement["targets"] or statement["name"] or "") if statement else "")
        for name in (name for expression in expressions for name in _names(expression)):
            if name not in bound:
                found[name] = None
        bound.update(own)
    return tuple(found)


def _names(expression: str) -> list[str]:
    """The names of a Jinja expression, whose filters and tests are no names."""
    plain = _TESTS.sub("", _FILTER.sub("", expression)).strip()
    try:
        tree = ast.parse(plain, mode="eval")
    except SyntaxError:
        words = _NAME.findall(_TEXTS.sub("", plain))
        return [word for word in words if word not in {"and", "or", "not", "in", "is", "if", "else", "recursive"}]
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return [node.id for node in sorted(found, key=lambda node: (node.lineno, node.col_offset))]
