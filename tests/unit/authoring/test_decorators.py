# SPDX-License-Identifier: BSD-3-Clause
"""Tasks and flows as functions: what calling them in a flow writes down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest

from nbflow import chain, flow, group, task
from nbflow.authoring.options_reader import LATER_OPTIONS
from nbflow.authoring.python_options import ELSEWHERE, OWN, TaskKeywords
from nbflow.core.errors import UserError
from nbflow.core.model import Flow
from nbflow.core.options import TaskKind, TriggerRule, option_specs


@task
def extract(day: str = "today") -> list[int]:
    """Rows of a day."""
    return [1, 2, 3]


@task
def load(rows, mode="w"):
    return len(rows)


@task
def notify():
    return None


@task(multiple_outputs=True)
def two():
    return {"a": 1, "b": [2, 3]}


def written(function) -> Flow:
    """The graph that this function writes."""
    return flow(function).traced().flow


def edges(function) -> set[tuple[str, str]]:
    return {(edge.upstream, edge.downstream) for edge in written(function).edges}


# --- calls ----------------------------------------------------------------------------------------------------------------


def test_outside_a_flow_a_task_is_its_function() -> None:
    assert load(extract("x")) == 3


def test_a_reference_as_an_argument_is_an_edge_with_the_result_s_name() -> None:
    def f():
        load(extract())

    made = written(f)
    assert [task.id for task in made.tasks] == ["extract", "load"]
    assert made.edges[0].names == ("extract()",)
    assert made.task("extract").demands == ("extract()",)
    assert made.task("load").demands == ()


@pytest.mark.parametrize(
    "wrap",
    [lambda r: [r], lambda r: (1, r), lambda r: {"k": r}, lambda r: {"k": [1, (r, {"deep": r})]}, lambda r: r["a"][0]],
    ids=["list", "tuple", "dict", "nested", "indexed"],
)
def test_references_are_found_wherever_they_stand_in_an_argument(wrap) -> None:
    def f():
        load(wrap(extract()))

    assert edges(f) == {("extract", "load")}


def test_a_key_of_multiple_outputs_travels_by_itself() -> None:
    def f():
        r = two()
        load(r["b"])

    made = written(f)
    assert made.task("load").reads[0].name == "two()['b']"
    assert made.task("two").demands == ("two()['b']",)
    assert made.task("two").writes == ("two()", "two()['b']")


def test_repeated_calls_get_names_of_their_own() -> None:
    def f():
        extract()
        extract()
        with group("g"):
            extract()
            extract()

    assert [task.id for task in written(f).tasks] == ["extract", "extract_2", "g.extract", "g.extract_2"]


def test_override_gives_each_call_its_own_name_and_options() -> None:
    def f():
        for table in ("orders", "items"):
            extract.override(task_id=f"extract_{table}", retries=5)(table)

    made = written(f)
    assert [(task.id, task.options.retries) for task in made.tasks] == [("extract_orders", 5), ("extract_items", 5)]


def test_a_name_given_twice_by_hand_is_refused() -> None:
    def f():
        extract.override(task_id="one")()
        load.override(task_id="one")([])

    with pytest.raises(UserError, match='There are two tasks "one"'):
        written(f)


def test_the_source_of_a_task_is_its_function_and_its_call() -> None:
    def f(day="2026-01-01"):
        load(extract(day), mode="a")

    made = written(f)
    assert made.task("extract").source.endswith("extract(day)\n")
    assert made.task("load").source.endswith("load(extract(), mode='a')\n")
    assert "return len(rows)" in made.task("load").source


def test_the_docstring_is_the_doc() -> None:
    assert written(lambda: extract()).task("extract").doc == "Rows of a day."  # noqa: PLW0108 - a flow is a function


# --- order ----------------------------------------------------------------------------------------------------------------


def test_lists_are_connected_each_to_each() -> None:
    def f():
        a, b, c, d, e = (notify.override(task_id=name)() for name in "abcde")
        a >> [b, c] >> [d, e]

    assert edges(f) == {("a", "b"), ("a", "c"), ("b", "d"), ("b", "e"), ("c", "d"), ("c", "e")}


def test_arrows_point_both_ways() -> None:
    def f():
        a, b, c = (notify.override(task_id=name)() for name in "abc")
        b << a
        [a, b] >> c

    assert edges(f) == {("a", "b"), ("a", "c"), ("b", "c")}


def test_chain_and_set_upstream_say_the_same() -> None:
    def f():
        a, b, c, d = (notify.override(task_id=name)() for name in "abcd")
        chain(a, [b, c], d)

    def g():
        a, b, c, d = (notify.override(task_id=name)() for name in "abcd")
        a.set_downstream([b, c])
        d.set_upstream([b, c])

    assert edges(f) == edges(g) == {("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")}


def test_a_group_is_a_node() -> None:
    def f():
        a, z = notify.override(task_id="a")(), notify.override(task_id="z")()
        with group("g") as g:
            one = notify.override(task_id="one")()
            one >> [notify.override(task_id="two")(), notify.override(task_id="three")()]
        a >> g >> z

    assert edges(f) == {("a", "g.one"), ("g.one", "g.two"), ("g.one", "g.three"), ("g.two", "z"), ("g.three", "z")}


def test_groups_nest_and_carry_options() -> None:
    def f():
        with group("etl", retries=3), group("load", owner="me"):
            notify()
            notify.override(retries=1, task_id="other")()

    made = written(f)
    assert [(t.id, t.options.retries, t.options.owner) for t in made.tasks] == [("etl.load.notify", 3, "me"), ("etl.load.other", 1, "me")]


def test_after_takes_tasks_and_groups_by_name_or_as_they_are() -> None:
    def f():
        first = extract()
        with group("g"):
            notify()
        load.override(after=[first, "g"])([])

    assert edges(f) == {("extract", "load"), ("g.notify", "load")}


def test_a_cycle_is_a_sentence() -> None:
    def f():
        a, b = notify.override(task_id="a")(), notify.override(task_id="b")()
        a >> b >> a

    with pytest.raises(UserError, match="wait for each other: a -> b -> a"):
        written(f)


def test_a_branch_is_connected_to_the_tasks_its_function_names() -> None:
    @task(as_="branch")
    def choose(n):
        assert [letter.upper() for letter in "xy"]
        return ["high", "g"] if n > 3 else low

    @task
    def low(): ...

    def f():
        choose(extract())
        notify.override(task_id="high")() >> low()
        with group("g"):
            notify() >> notify()

    assert {pair for pair in edges(f) if pair[0] == "choose"} == {("choose", "high"), ("choose", "low"), ("choose", "g.notify")}


# --- options ----------------------------------------------------------------------------------------------------------------


def test_every_option_of_a_cell_is_an_option_of_a_function_or_says_what_is_instead() -> None:
    names = {spec.name for spec in option_specs()}
    assert {name.rstrip("_") for name in TaskKeywords.__annotations__} - OWN | set(ELSEWHERE) >= names


def test_values_of_options_are_python_s() -> None:
    @task(
        retries=2,
        retry_delay=timedelta(seconds=10),
        timeout="5m",
        trigger_rule=TriggerRule.ALL_DONE,
        as_="branch",
        retry_on=[ValueError, "KeyError"],
        resources={"GPU": 1},
    )
    def f(): ...

    options = written(lambda: f()).task("f").options  # noqa: PLW0108 - a flow is a function
    assert options.retries == 2
    assert options.retry_delay == timedelta(seconds=10)
    assert options.timeout == timedelta(minutes=5)
    assert options.trigger_rule is TriggerRule.ALL_DONE
    assert options.as_ is TaskKind.BRANCH
    assert options.retry_on == ("builtins.ValueError", "KeyError")
    assert options.resources == {"GPU": "1"}


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"retires": 3}, 'no option "retires". Did you mean "retries"'),
        ({"retries": -1}, 'retries cannot be "-1": it takes a whole number'),
        ({"writes": ["x"]}, "return what it gives"),
        ({next(iter(LATER_OPTIONS)): "x"}, "is not in this version of nbflow yet"),
        ({"task_id": "a b"}, '"a b" cannot be a task name'),
    ],
)
def test_a_wrong_option_is_a_sentence_at_the_decorator(keywords, sentence) -> None:
    with pytest.raises(UserError, match=sentence):
        task(**keywords)(lambda: None)


def test_defaults_of_the_flow_hold_unless_the_task_says_otherwise() -> None:
    @flow(defaults={"retries": 2, "timeout": "1m"}, groups={"g": {"retries": 4}})
    def f():
        notify()
        with group("g"):
            notify()
            notify.override(retries=0, task_id="own")()

    made = f.traced().flow
    assert [made.task(id).options.retries for id in ("notify", "g.notify", "g.own")] == [2, 4, 0]
    assert made.task("notify").options.timeout == timedelta(minutes=1)


class Pendulum(datetime):
    """As pendulum's DateTime: a datetime of its own class, whose zone has a `name`."""


class PendulumZone(tzinfo):
    name = "Europe/Zurich"

    def utcoffset(self, _):
        return timedelta(hours=1)


@pytest.mark.parametrize(
    ("start", "zone"),
    [
        (datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Zurich")), "Europe/Zurich"),
        (Pendulum(2026, 1, 1, tzinfo=PendulumZone()), "Europe/Zurich"),
        (datetime(2026, 1, 1, tzinfo=UTC), None),
        ("2026-01-01", None),
    ],
)
def test_an_aware_start_date_brings_its_time_zone(start, zone) -> None:
    @flow(start_date=start, schedule=timedelta(hours=6), deadline=timedelta(minutes=45))
    def f():
        notify()

    schedule = f.traced().flow.options.schedule
    assert schedule["start_date"].startswith("2026-01-01")
    assert schedule.get("timezone") == zone
    assert schedule["schedule"] == "every 21600s"


def test_a_wrong_key_of_a_flow_is_a_sentence() -> None:
    with pytest.raises(UserError, match=r'@flow f: There is no key "shedule" in @flow\(\.\.\.\).* Did you mean "schedule"'):

        @flow(shedule="@daily")
        def f(): ...


# --- mapping ----------------------------------------------------------------------------------------------------------------


def test_a_mapped_task_reads_the_elements_of_its_source() -> None:
    def f():
        load.partial(mode="a").expand(rows=extract())

    read = written(f).task("load").reads[0]
    assert (read.name, read.writers, read.element) == ("extract()", ("extract",), "(rows)")


def test_partial_may_follow_expand() -> None:
    def f():
        load.expand(rows=[[1], [2]]).partial(mode="a")

    bodies = flow(f).traced().bodies
    assert bodies["load"].call.kwargs["mode"] == "a"
    assert bodies["load"].elements == {"rows": ([1], [2])}


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: load.expand(), "nothing to map over"),  # noqa: PLW0108 - a flow is a function
        (lambda: load.expand(rows=3), "has no elements"),
        (lambda: load.expand(nope=[1]), "nope"),
        (lambda: load.partial(rows=1).expand(rows=[1]), "rows is given twice"),
        (lambda: load.expand(rows=extract()["x"]), "multiple_outputs=True"),
        (lambda: load(extract()).partial(mode="a"), "is not mapped"),
    ],
)
def test_what_cannot_be_mapped_is_a_sentence(call, sentence) -> None:
    with pytest.raises(UserError, match=sentence):
        written(call)


# --- what would silently be wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("use", "sentence"),
    [
        (bool, "asked whether it is true"),
        (list, "looped over"),
        (lambda r: f"{r}", "stand in a text"),
        (lambda r: r == 3, "compared"),
        (lambda r: r(), "called"),
        (lambda r: load(), "missing a required argument"),
        (lambda r: load(1, 2, 3), "too many positional"),
        (lambda r: r >> 3, "Only tasks and groups"),
        (lambda r: r >> notify, "before it is called"),
        (lambda r: notify >> r, "before it is called"),
    ],
)
def test_a_later_value_used_at_once_is_a_sentence(use, sentence) -> None:
    with pytest.raises(UserError, match=sentence):
        written(lambda: use(extract()))


def test_an_attribute_of_a_later_value_says_that_it_has_none_yet() -> None:
    with pytest.raises(AttributeError, match="has no value yet"):
        written(lambda: extract().shape)


def test_a_reference_of_another_flow_is_refused() -> None:
    kept = []
    written(lambda: kept.append(extract()))
    with pytest.raises(UserError, match="belongs to another flow"):
        written(lambda: load(kept[0]))


def test_a_task_is_no_flow() -> None:
    with pytest.raises(UserError, match="@flow stands above a function"):
        flow(extract)


def test_a_flow_without_tasks_is_refused() -> None:
    with pytest.raises(UserError, match="calls no task"):
        written(lambda: None)
