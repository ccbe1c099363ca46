# SPDX-License-Identifier: BSD-3-Clause
"""Every kind of task and every way to map from one notebook through the command line, with everything real behind it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.test_mapped import cell, home, nbflow, texts, write  # noqa: F401 - home is a fixture
from tests.unit.authoring.notebooks import errors, flow, warnings

HEADER = """%%flow kinds
[defaults]
retry_delay = "0s"

[groups.each]
map = {region = "regions"}
retries = 1
"""
CELLS = (
    HEADER,
    "regions = ['north', 'south', 'west']\nxs, ys = [1, 2, 3], 'ab'\nys = list(ys)",
    "%load_ext nbflow",
    "%%task make --as setup\nfolder = 'made'",
    "%%task each.load\nif region == 'west':\n    raise ValueError('no west')\nrows = region.upper()",
    "%%task each.score\nrows = rows.lower()\nresult = f'{region} {rows} {folder}'",
    "%%task drop --as teardown --after make each.score\nprint('dropped', folder)",
    "%%task pairs --map x=xs --map y=ys --zip\npair = (x, y)",
    "%%task gate --as short-circuit --after pairs\nlen(pair) > 5",
    "%%task never --after gate --trigger-rule all_done\n1",
    "%%task latest --as latest-only",
    "%%task fresh --after latest\nprint('fresh')",
    "%%task wait -o file --poke 0.01s --out found\n{{ folder }}.txt",
    "%%task late --as sensor --poke 0.01s --timeout 0.05s --soft-fail\nFalse",
    "%%task approve --as approval --timeout 0.05s --default yes --out answer\nprint('look at this')\n'Go on?'",
    "%%task after --after approve\nprint('answered', answer)",
    "%nbflow run",
    "print('the kernel has', result, pair, answer)",
)


def test_all_kinds_run_headlessly(home: Path) -> None:  # noqa: F811 - the fixture
    (home / "made.txt").touch()
    said = nbflow("run", write(home, *CELLS), "--output", home / "out.ipynb", "--json", code=1)
    assert "failed at load[2]" in said
    shown = nbflow("runs", "show", "latest", "--json")
    states = {(row["id"], row["map_index"]): row["state"] for row in shown["tasks"]}
    assert states == {
        ("make", -1): "success",
        **{("each.load", index): "failed" if index == 2 else "success" for index in range(3)},
        **{("each.score", index): "upstream_failed" if index == 2 else "success" for index in range(3)},
        ("drop", -1): "success",
        ("pairs", 0): "success",
        ("pairs", 1): "success",
        ("gate", -1): "success",
        ("never", -1): "skipped",
        ("latest", -1): "success",
        ("fresh", -1): "success",
        ("wait", -1): "success",
        ("late", -1): "skipped",
        ("approve", -1): "success",
        ("after", -1): "success",
    }
    attempts = {(row["id"], row["map_index"]): row["attempt"] for row in shown["tasks"]}
    assert attempts["each.load", 2] == 2
    reasons = {row["id"]: row["reason"] for row in shown["tasks"]}
    assert reasons["never"] == "Skipped: gate said not to go on."
    assert reasons["approve"] == "Answered yes by default."
    assert reasons["late"].startswith("Skipped: it was not there after ")


# --- what is understood ---------------------------------------------------------------------------------------------------


def test_the_tasks_of_a_mapped_group_stand_in_one_chain() -> None:
    made = flow(
        '%%flow f\n[groups.g]\nmap = {x = "xs"}',
        "%%task listed\nxs = [1]",
        "%%task g.a\nx = x + 1\ny = x",
        "%%task g.b\nz = x + y",
        "%%task c\nz",
    )
    assert [(edge.upstream, edge.downstream) for edge in made.edges] == [("listed", "g.a"), ("g.a", "g.b"), ("g.b", "c")]
    assert [task.mapped_group for task in made.tasks] == ["", "g", "g", ""]
    assert [(read.name, read.element) for read in made.task("g.b").reads] == [("x", ""), ("y", ""), ("xs", "(x)")]


#: Cells and what `check` says of them.
MISTAKES = {
    "a mapped task in a mapped group": (
        ('%%flow f\n[groups.g]\nmap = "x=xs"', "xs = ys = [1]", "%%task g.a --map y=ys\nx"),
        "cell 3, line 1: Task g.a stands in group g, which is mapped as a whole: it cannot be mapped again.",
    ),
    "mapped groups in each other": (
        ('%%flow f\n[groups.g]\nmap = {x = "xs"}\n[groups.g.h]\nmap = {y = "ys"}', "xs = ys = [1]", "%%task g.h.a\nx"),
        "cell 1, line 5: Group g.h stands in group g, and both are mapped: map one of them.",
    ),
    "a group that is mapped over what it gives": (
        ('%%flow f\n[groups.g]\nmap = {x = "xs"}', "xs = [1]", "%%task g.a\nxs = [x]", "%%task g.b\nx"),
        "cell 4, line 1: Group g is mapped over `xs`, which its own task g.a gives: a group cannot wait for itself.",
    ),
    "groups that wait for each other": (
        ("%%task g.a --after h\n1", "%%task h.b --after g\n1"),
        "cell 1, line 1: These tasks wait for each other: g.a -> h.b -> g.a. Remove one of these dependencies.",
    ),
    "a pair of one": (
        ("xs = [1]", "%%task a --map x=xs --zip\nx"),
        "cell 2, line 1: --zip pairs the elements of several --map: write --map x=xs --map y=ys --zip.",
    ),
    "two ways to be lenient": (
        ("%%task a --as sensor --soft-fail --never-fail\nTrue",),
        "cell 1, line 1: --soft-fail and --never-fail exclude each other: --never-fail skips after any error, --soft-fail when the time is up.",
    ),
    "a look that is no sensor": (("%%task a --poke 5s\nTrue",), "cell 1, line 1: --poke is for sensors: add --as sensor."),
    "a default that nobody waits for": (
        ("%%task a --as approval --default yes\n1",),
        "cell 1, line 1: --default needs a --timeout: how long a person has to answer.",
    ),
    "a default of another task": (
        ("%%task a --default yes --timeout 1h\n1",),
        "cell 1, line 1: --default is the answer of an approval: add --as approval.",
    ),
    "an address that is no sensor": (
        ("%%task a -o http\nhttp://x",),
        "cell 1, line 1: -o http looks whether something is there: add --as sensor.",
    ),
    "a file that decides": (("%%task a -o file --as branch\nx",), "cell 1, line 1: -o file is a sensor, so it cannot be --as branch."),
    "a task that fails the run anyway": (
        ("%%task a --on-failure-fail-run\n1",),
        "cell 1, line 1: --on-failure-fail-run is for teardowns: any other task fails its run anyway.",
    ),
    "a poke that is no duration": (
        ("%%task a --as sensor --poke often\n1",),
        'cell 1, line 1: --poke cannot be "often": it takes a duration such as 30s, 5m, 1h30m or a number of seconds.',
    ),
}


@pytest.mark.parametrize(("cells", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_said_before_anything_runs(cells: tuple[str, ...], sentence: str) -> None:
    assert errors(*cells) == [sentence]


ADVICE = {
    "nothing below": (
        ("%%task a --as short-circuit\n1", "%nbflow run"),
        "cell 1, line 1: Task a is a short-circuit task and nothing stands below it: add --after a to the tasks that depend on it.",
    ),
    "no setup": (
        ("%%task a --as teardown\n1", "%nbflow run"),
        "cell 1, line 1: Teardown a stands below no setup: add --after with the tasks that are --as setup, if there are any.",
    ),
}


@pytest.mark.parametrize(("cells", "sentence"), ADVICE.values(), ids=ADVICE)
def test_what_is_allowed_and_rarely_meant(cells: tuple[str, ...], sentence: str) -> None:
    assert sentence in warnings(*cells)


def test_outputs_of_copies_and_answers_stand_under_their_cells(home: Path) -> None:  # noqa: F811 - as above
    notebook = write(home, *CELLS[:3], *(text for text in CELLS if "approve" in text), "%nbflow run", "print('answer', answer)")
    nbflow("run", notebook, "--output", home / "out.ipynb", "--json")
    import nbformat

    done = nbformat.read(home / "out.ipynb", as_version=4)
    assert "look at this" in texts(cell(done, "%%task approve"))
    assert "answered yes" in texts(cell(done, "%%task after"))
    assert "answer yes" in texts(cell(done, "print('answer'"))
