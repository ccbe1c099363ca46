# SPDX-License-Identifier: BSD-3-Clause
"""Values, and instances of the notebook's classes, between the cells of tasks."""

import pytest

from nbflow.core.job import Capture, CaptureKind, Outcome
from tests.integration.cells import definition


def test_names_of_one_object_stay_one_object_through_two_tasks(child):
    first, second, third = child.run_all(
        child.job("rows = [1]\nsame = rows\nother = [1]", demands=("rows", "same", "other")),
        child.job(
            "assert rows is same and rows is not other\nlast = rows",
            inputs={"rows": "rows", "same": "same", "other": "other"},
            demands=("last",),
        ),
        child.job("assert last is rows", inputs={"last": "last", "rows": "rows"}),
    )
    assert [report.outcome for report in (first, second, third)] == [Outcome.SUCCESS] * 3, third.error


def test_siblings_never_see_each_others_changes(child):
    rows = child.ref([1, 2])
    reports = child.run_all(
        *(child.job("rows.append(3)\nn = len(rows)", inputs={"rows": rows}, mutates=("rows",), demands=("n",)) for _ in range(2))
    )
    assert [child.value(report, "n") for report in reports] == [3, 3]


@pytest.mark.parametrize(("make", "change"), [
    ([1], "rows.append(2)"), ({1: {2}}, "rows[1].add(3)"), ("frame", "rows.loc[0, 'a'] = 9"), ("array", "rows[0] = 9"),
])  # fmt: skip
def test_an_input_changed_unseen_gets_a_warning(child, make, change):
    import numpy as np
    import pandas as pd

    value = (
        {"frame": pd.DataFrame({"a": [1, 2], "t": ["x", "y"]}), "array": np.arange(3)}.get(make, make) if isinstance(make, str) else make
    )
    rows = child.ref(value)
    unseen, seen, read = child.run_all(
        child.job(change, inputs={"rows": rows}),
        child.job(change, inputs={"rows": rows}, mutates=("rows",)),
        child.job("text = repr(rows), len(rows), list(rows)", inputs={"rows": rows}),
    )
    assert len(unseen.warnings) == 1
    assert "`rows` was changed in place" in unseen.warnings[0]
    assert "--writes rows" in unseen.warnings[0]
    assert seen.warnings == read.warnings == ()


NOTEBOOK = {
    "dataclass": Capture(name="dataclass", kind=CaptureKind.ATTRIBUTE, module="dataclasses", attribute="dataclass"),
    "enum": Capture(name="enum", kind=CaptureKind.MODULE, module="enum"),
    "namedtuple": Capture(name="namedtuple", kind=CaptureKind.ATTRIBUTE, module="collections", attribute="namedtuple"),
    "Point": definition("Point", "@dataclass\nclass Point:\n    x: int\n    class Inner:\n        pass", needs=("dataclass",)),
    "Level": definition("Level", "class Level(enum.Enum):\n    LOW = 1", needs=("enum",)),
    "Pair": definition("Pair", "class Pair(namedtuple('Pair', 'left right')):\n    pass", needs=("namedtuple",)),
    "Trouble": definition("Trouble", "class Trouble(Exception):\n    pass"),
    "loud": definition("loud", "def loud(f):\n    def wrapper(*args):\n        return 'loud ' + f(*args)\n    return wrapper"),
    "shout": definition("shout", "@loud\ndef shout(text):\n    return text + ping(0)", needs=("loud", "ping")),
    "ping": definition("ping", "def ping(n: Point):\n    return '' if n == 0 else shout(n)", needs=("shout", "Point")),
}


def test_instances_of_notebook_classes_keep_their_identity_across_tasks(child):
    make = """
        made = {"point": Point(1), "level": Level.LOW, "pair": Pair(1, 2), "trouble": Trouble("x"), "inner": Point.Inner(), "kinds": [Point, shout]}
    """
    check = """
        assert isinstance(made["point"], Point) and made["point"] == Point(1)
        assert made["level"] is Level.LOW
        assert type(made["pair"]) is Pair
        assert isinstance(made["trouble"], Trouble) and isinstance(made["inner"], Point.Inner)
        assert made["kinds"] == [Point, shout]
        assert shout("hello") == "loud hello"
    """
    reports = child.run_all(
        child.job(make, captures=NOTEBOOK, demands=("made",)), child.job(check, captures=NOTEBOOK, inputs={"made": "made"})
    )
    assert [report.outcome for report in reports] == [Outcome.SUCCESS] * 2, reports[-1].error
    assert set(reports[0].values["made"].needs) == {"Point", "Level", "Pair", "Trouble", "shout"}  # noqa: PD011  a report, no frame
    assert child.run(check, captures=NOTEBOOK, inputs={"made": reports[0].values["made"]}).outcome is Outcome.SUCCESS  # noqa: PD011  a report, no frame


def test_a_class_defined_in_a_task_travels_with_its_instances(child):
    reports = child.run_all(
        child.job(
            "class Local:\n    def hello(self):\n        return Point(3)\nlocal = Local()", captures=NOTEBOOK, demands=("Local", "local")
        ),
        child.job(
            "assert isinstance(local, Local)\nassert local.hello() == Point(3)",
            captures=NOTEBOOK,
            inputs={"Local": "Local", "local": "local"},
        ),
    )
    assert [report.outcome for report in reports] == [Outcome.SUCCESS] * 2, reports[-1].error


def test_a_class_the_task_defines_anew_is_not_taken_for_the_notebooks(child):
    reports = child.run_all(
        child.job("class Trouble(Exception):\n    new = True\nt = Trouble('x')", captures=NOTEBOOK, demands=("t",)),
        child.job("assert type(t).new\nassert not isinstance(t, Trouble)", captures=NOTEBOOK, inputs={"t": "t"}),
    )
    assert [report.outcome for report in reports] == [Outcome.SUCCESS] * 2, reports[-1].error


def test_a_definition_that_fails_names_its_cell(child):
    report = child.run("bad()", captures={"bad": definition("bad", "@nothing\ndef bad():\n    pass", number=7)})
    assert report.outcome is Outcome.FAILED
    assert "nothing" in report.reason
    assert any("cell 7" in line for line in report.error.traceback)
