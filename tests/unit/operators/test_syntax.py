# SPDX-License-Identifier: BSD-3-Clause
"""What a cell becomes is what IPython makes of it, whether its tokens are looked at or not."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.inputtransformer2 import EscapedCommand, TransformerManager

from nbflow.operators.syntax import CellTransformer, is_plain

#: Pieces that IPython's transformers tell apart, and pieces that stand in their way.
_CHARACTERS = "%!?,;/=()[]{}\\\"'#:.\t\f\r\n \x00\x85\u2028\ufeffé0ax"
_WORDS = [
    "\n    ",
    "\n  ",
    "def f():",
    '"""',
    "%%",
    "%time ",
    "a = ",
    "a = %pwd",
    "a = !ls",
    "f?",
    "f??",
    ">>> ",
    "... ",
    "In [1]: ",
    "await x",
    "f'{x}'",
]
_BLOCK = "if x:\n        y\n    z"
_PIECES = st.sampled_from([*_CHARACTERS, *_WORDS, _BLOCK])


def outcome(transformer: TransformerManager, source: str) -> object:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            return transformer.transform_cell(source), [str(one.message) for one in heard]
        except Exception as error:  # noqa: BLE001 - the same one is to be raised
            return type(error), str(error)


@given(st.lists(_PIECES, max_size=12).map("".join))
def test_a_cell_is_what_ipython_makes_of_it(source):
    assert outcome(CellTransformer(), source) == outcome(TransformerManager(), source)


@pytest.mark.parametrize("source", ["pass", "x1 = x0 + 1\n", "def f(x):\n    y = x\n    return y\n\nz = f(x=1)\n", "# Grüße\nx = 'ä'\n"])
def test_plain_python_is_not_taken_apart(source):
    assert is_plain(source)


def test_what_somebody_adds_is_asked_for_every_cell():
    class Twice(EscapedCommand):
        @classmethod
        def find(cls, tokens_by_line):
            return cls((1, 0)) if tokens_by_line[0][0].string == "once" else None

        def transform(self, lines):
            return ["twice\n", *lines[1:]]

    transformer = CellTransformer()
    transformer.token_transformers.append(Twice)
    assert transformer.transform_cell("once\n") == "twice\n"
