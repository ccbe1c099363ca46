# SPDX-License-Identifier: BSD-3-Clause
"""How two values differ, said sensibly: a row for each kind."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nbflow.operators.compare import SAME, compare, compare_outputs

FRAME = pd.DataFrame({"city": ["Bern", "Basel"], "kwh": [12.5, 9.25]})


class Odd:
    def __eq__(self, other: object) -> bool:
        raise OSError("not today")

    __hash__ = None  # type: ignore[assignment]


DIFFER: dict[str, tuple[Any, Any, str]] = {
    "numbers": (4, 5, "4 -> 5 (+25 %)"),
    "from nothing": (0, 5, "0 -> 5"),
    "an int and a float": (1, 1.5, "1 -> 1.5 (+50 %)"),
    "short texts": ("a", "b", "'a' -> 'b'"),
    "long texts": ("x" * 99 + "a", "x" * 99 + "bc", "text of 100 -> 101 characters, other from character 100 on"),
    "other types": ([1], "a", "[1] -> 'a'"),
    "truth values": (True, False, "True -> False"),
    "lists": ([1, 2, 3], [1, 5, 3, 4], "3 -> 4 items; 1 of 3 differ, first [1]: 2 -> 5 (+150 %)"),
    "dicts": ({"a": 1, "b": 2}, {"b": 3, "c": 4}, "without a; with c; 'b': 2 -> 3 (+50 %)"),
    "sets": ({1, 2}, {2, 3}, "without 1; with 3"),
    "array shapes": (np.zeros((2, 3)), np.zeros((2, 4)), "2 x 3 -> 2 x 4"),
    "array types": (np.zeros(2), np.zeros(2, dtype="float32"), "float64 -> float32"),
    "array elements": (np.array([1.0, 2, 3]), np.array([1.0, 2.5, 7]), "2 of 3 elements differ, by at most 4"),
    "arrays of texts": (np.array(["a", "b"]), np.array(["a", "c"]), "1 of 2 elements differ"),
    "rows": (FRAME, pd.concat([FRAME, FRAME]), "2 -> 4 rows (+100 %)"),
    "columns": (FRAME, FRAME.rename(columns={"kwh": "mwh"}), "without column kwh; with column mwh"),
    "cells": (FRAME, FRAME.assign(kwh=[12.5, 9.75]), "1 of 4 cells differ, in kwh by at most 0.5"),
    "cells of text": (FRAME, FRAME.assign(city=["Bern", "Biel"]), "1 of 4 cells differ, in city"),
    "types of columns": (FRAME, FRAME.assign(kwh=FRAME["kwh"].astype("float32")), "kwh: float64 -> float32"),
    "the index": (FRAME, FRAME.set_index(pd.Index([5, 6])), "another index"),
    "the order of columns": (FRAME, FRAME[["kwh", "city"]], "another order of columns"),
    "series": (FRAME["kwh"], FRAME["kwh"] + [0, 1], "1 of 2 elements differ by at most 1"),
    "series of another length": (FRAME["kwh"], FRAME["kwh"][:1], "2 -> 1 elements (-50 %)"),
    "what cannot be compared": (Odd(), Odd(), "another Odd"),
}


@pytest.mark.parametrize(("a", "b", "told"), DIFFER.values(), ids=DIFFER)
def test_they_differ(a: Any, b: Any, told: str):
    assert compare(a, b) == (False, told)


@pytest.mark.parametrize(
    "value",
    [
        1,
        1.5,
        float("nan"),
        "a",
        None,
        True,
        [1, [2]],
        {"a": [1]},
        {1},
        np.array([1.0, np.nan]),
        FRAME,
        FRAME["kwh"],
        FRAME.assign(x=np.nan),
    ],
)
def test_they_are_the_same(value: Any):
    again = value.copy() if hasattr(value, "copy") else value
    assert compare(value, again) == (True, SAME)


def test_noise_in_the_last_digit_is_no_difference():
    assert compare(0.1 + 0.2, 0.3)[0]
    assert compare(np.array([0.1 + 0.2]), np.array([0.3])) == (True, SAME)
    assert compare(FRAME, FRAME.assign(kwh=FRAME["kwh"] * (1 + 1e-12))) == (True, SAME)


def test_figures_are_compared_by_their_pixels():
    figure = pytest.importorskip("matplotlib.figure")

    def drawn(*values: float) -> Any:
        made = figure.Figure(figsize=(2, 1))
        made.subplots().plot(values)
        return made

    assert compare(drawn(1, 2), drawn(1, 2)) == (True, SAME)
    same, told = compare(drawn(1, 2), drawn(2, 1))
    assert not same
    assert told.endswith("% of the pixels differ")


def png(colour: int, width: int = 10) -> dict[str, Any]:
    image = pytest.importorskip("PIL.Image")
    buffer = io.BytesIO()
    image.fromarray(np.full((10, width, 3), colour, dtype="uint8")).save(buffer, format="png")
    return {"output_type": "display_data", "data": {"image/png": base64.b64encode(buffer.getvalue()).decode(), "text/plain": "<Figure>"}}


def stream(text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text}


def test_what_was_shown_is_compared_figure_by_figure_and_line_by_line():
    assert compare_outputs([stream("a\nb\n"), png(1)], [stream("a\nb\n"), png(1)]) == (True, SAME)
    assert compare_outputs([png(1)], [png(2)]) == (False, "figure 1: 1e+02 % of the pixels differ")
    assert compare_outputs([png(1)], [png(1, width=20)]) == (False, "figure 1: 10 x 10 -> 20 x 10 pixels")
    assert compare_outputs([png(1)], []) == (False, "1 -> 0 figures")
    assert compare_outputs([stream("a\nb\n")], [stream("a\nc\n")]) == (False, "2 lines of text differ")
