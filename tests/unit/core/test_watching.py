# SPDX-License-Identifier: BSD-3-Clause
"""Looks at files, one after the other: what is news, what is not, whatever comes, grows, goes and comes back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.watching import MOST_NEWS, Thing, Watch, failed, looked

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PAUSE = timedelta(seconds=10)
#: What there is at each look: path -> content.
LOOKS = st.lists(st.dictionaries(st.sampled_from("abc"), st.sampled_from("123"), max_size=3), min_size=1, max_size=12)


def follow(looks, *, since=NOW, fails=frozenset()):
    """(number of the look, path, content, change) of all news."""
    watch, told = Watch(name="f", url="*", due=NOW), []
    for number, found in enumerate(looks):
        if number in fails:
            watch = failed(watch, "away", NOW, PAUSE)
            continue
        things = {path: Thing(content, NOW if number == 0 else NOW + PAUSE) for path, content in found.items()}
        watch, news = looked(watch, things, since, NOW, PAUSE)
        told += [(number, each.path, found[each.path], each.change) for each in news]
    return watch, told


@given(LOOKS)
def test_news_is_what_two_looks_found_alike_and_was_not_known(looks):
    _, told = follow(looks)
    expected, known = [], dict(looks[0])
    for number in range(1, len(looks)):
        for path, content in sorted(looks[number].items()):
            if known.get(path) != content and looks[number - 1].get(path) == content:
                expected.append((number, path, content, "changed" if path in known else "new"))
                known[path] = content
    assert told == expected


@given(LOOKS, st.sets(st.integers(0, 11)))
def test_looks_that_fail_change_nothing_of_what_is_told(looks, fails):
    _, told = follow(looks, fails=fails)
    _, without = follow([found for number, found in enumerate(looks) if number not in fails] or [{}])
    assert fails & {0} or [each[1:] for each in told] == [each[1:] for each in without]


@given(LOOKS)
def test_a_file_that_stays_is_told_once_and_in_the_end_nothing_is_left(looks):
    watch, told = follow([*looks, looks[-1], looks[-1]])
    assert watch.settling == {}
    per_content = [(path, content) for _, path, content, _ in told]
    assert all(first != second for first, second in pairwise(per_content))


def test_the_first_look_knows_what_was_there_before():
    watch, news = looked(
        Watch(name="f", url="*", due=NOW),
        {"old": Thing("1", NOW), "later": Thing("1", NOW + PAUSE), "timeless": Thing("1", None)},
        NOW,
        NOW,
        PAUSE,
    )
    assert (news, dict(watch.settling)) == ((), {"later": "1"})
    assert sorted(watch.known) == ["old", "timeless"]
    assert (watch.count, watch.due) == (3, NOW + PAUSE)


def test_many_at_once_are_told_in_several_looks():
    names = [f"{number:03}" for number in range(MOST_NEWS + 20)]
    watch = Watch(name="f", url="*", due=NOW, since=NOW)
    found = {name: Thing("1", NOW) for name in names}
    told = []
    for _ in range(4):
        watch, news = looked(watch, found, NOW, NOW, PAUSE)
        told.append([each.path for each in news])
    assert [len(one) for one in told] == [0, MOST_NEWS, 20, 0]
    assert [path for one in told for path in one] == names


def test_a_place_that_does_not_answer_is_asked_later_each_time():
    watch = Watch(name="f", url="*", due=NOW, known={"a": "1"})
    waits = []
    for _ in range(12):
        watch = failed(watch, "away", NOW, PAUSE)
        waits.append((watch.due - NOW).total_seconds())
    assert waits[:7] == [10, 20, 40, 80, 160, 320, 600]
    assert waits[-1] == 600
    assert (watch.error, watch.failures, watch.known) == ("away", 12, {"a": "1"})


def test_files_that_went_away_are_remembered_up_to_a_number(monkeypatch):
    monkeypatch.setattr("nbflow.core.watching._MOST_GONE", 3)
    watch = Watch(name="f", url="*", due=NOW, since=NOW, known={f"{number}": "1" for number in range(10)})
    watch, _ = looked(watch, {"0": Thing("1", NOW)}, NOW, NOW, PAUSE)
    assert sorted(watch.known) == ["0", "7", "8", "9"]
