# SPDX-License-Identifier: BSD-3-Clause
"""What a value of a parameter may be, before a run exists."""

from __future__ import annotations

from datetime import date
from typing import Literal

import pytest

from nbflow import flow, task
from nbflow.core.errors import UserError
from nbflow.core.model import Flow
from nbflow.core.parameters import check_parameters


@task
def one(*values: object) -> None: ...


@flow
def sales(day: date, at: str = "x", size: Literal["s", "m"] = "s") -> None:
    one(day, at, size)


@pytest.fixture
def written() -> Flow:
    return sales.traced({"day": date(2026, 1, 1), "at": "x", "size": "s"}).flow


@pytest.mark.parametrize("given", [{"day": "2026-01-31"}, {"day": date(2026, 1, 31)}, {"size": "m", "at": "5"}])
def test_what_fits(written: Flow, given: dict) -> None:
    check_parameters(written, given)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"day": "tomorrow"}, 'Parameter day of flow sales takes a date such as 2026-01-31, and "tomorrow" is none.'),
        ({"day": 5}, 'Parameter day of flow sales takes a date such as 2026-01-31, and "5" is none.'),
        ({"size": "xl"}, 'Parameter size of flow sales takes one of s, m, and "xl" is none.'),
        ({"at": 5}, 'Parameter at of flow sales takes text, and "5" is none.'),
        ({"sise": "m"}, 'Flow sales has no parameter "sise". Did you mean "size"? It has day, at, size.'),
    ],
)
def test_what_does_not_fit_is_one_sentence(written: Flow, given: dict, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        check_parameters(written, given)
    assert str(caught.value) == sentence
