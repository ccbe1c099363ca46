# SPDX-License-Identifier: BSD-3-Clause
"""What plain cells did to the process."""

from __future__ import annotations

import os
import pickle
import sys
import warnings

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from nbflow.notebook.process import Baseline, process_state


@pytest.fixture
def baseline(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    return Baseline(environment=dict(os.environ), sys_path=tuple(sys.path), filters=tuple(warnings.filters))


def test_an_untouched_process_hands_over_only_where_it_is(baseline, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = process_state(baseline, str(tmp_path))
    assert (state.cwd, state.sys_path, dict(state.environment), state.warning_filters) == (str(tmp_path), (str(tmp_path),), {}, None)


def test_variables_set_and_deleted_travel(baseline, monkeypatch):
    monkeypatch.setenv("SET_BY_A_CELL", "1")
    monkeypatch.delenv("HOME")
    assert process_state(baseline).environment == {"SET_BY_A_CELL": "1", "HOME": None}


def test_an_added_import_path_comes_before_the_notebooks_folder(baseline, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(tmp_path / "helpers"))
    assert process_state(baseline, str(tmp_path)).sys_path == (str(tmp_path / "helpers"), str(tmp_path))


def test_changed_options_of_libraries_travel_and_defaults_do_not(baseline):
    before = process_state(baseline).settings
    with mpl.rc_context({"font.size": 19.0}), pd.option_context("display.max_rows", 7), np.printoptions(precision=3):
        settings = process_state(baseline).settings
    changed = {
        library: {name: value for name, value in options.items() if name not in before.get(library, {})}
        for library, options in settings.items()
    }
    assert changed == {"matplotlib": {"font.size": 19.0}, "pandas": {"display.max_rows": 7}, "numpy": {"precision": 3}}


def test_a_new_warning_filter_travels(baseline):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)
        filters = pickle.loads(process_state(baseline).warning_filters)
    assert filters[0][0] == "ignore"
    assert filters[0][2] is UserWarning
