# SPDX-License-Identifier: BSD-3-Clause
"""The setting that names a Dask cluster class: one text, or a table that becomes the same text."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from distributed import SpecCluster

from nbflow.core.errors import SetupError
from nbflow.executors.cluster_class import ClusterSpec, OwnCluster, cluster_class, from_table, parse_cluster


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("cluster:a.B", ClusterSpec(name="a.B")),
        ("cluster:a.B?n=2&big=true", ClusterSpec(name="a.B", arguments={"n": 2, "big": True})),
        ("cluster:a.B?memory=4GB&adapt=0-4", ClusterSpec(name="a.B", arguments={"memory": "4GB"}, adapt={"minimum": 0, "maximum": 4})),
        ('cluster:a.B?cores="2"', ClusterSpec(name="a.B", arguments={"cores": "2"})),
        ('cluster:a.B?env=["A=1", "B=2"]', ClusterSpec(name="a.B", arguments={"env": ["A=1", "B=2"]})),
        ('cluster:a.B?adapt={"maximum": 3, "interval": "1s"}', ClusterSpec(name="a.B", adapt={"maximum": 3, "interval": "1s"})),
    ],
)
def test_a_text_says_class_arguments_and_adapt(text: str, spec: ClusterSpec) -> None:
    assert parse_cluster(text) == spec


@pytest.mark.parametrize(
    "table",
    [
        {"cluster": "a.b.C"},
        {"cluster": "a.b.C", "arguments": {"n_workers": 2, "memory_limit": "4GB", "odd": "2", "url": "s3://x/y?z=1&q=%20+ a"}},
        {"cluster": "a.b.C", "arguments": {"options": {"deep": [1, None, "x"]}}, "adapt": {"minimum": 0, "maximum": 4}},
        {"cluster": "a.b.C", "adapt": {"minimum": 1, "maximum": 4, "wait_count": 9}},
        {"cluster": "a.b.C", "adapt": [{"from": "08:00", "to": "18:00", "maximum": 2}, {"maximum": 8}]},
    ],
)
def test_a_table_and_its_text_mean_the_same(table: dict[str, object]) -> None:
    spec = from_table(table)
    assert parse_cluster(str(spec)) == spec
    assert spec.arguments == table.get("arguments", {})
    assert from_table(table, "Europe/Zurich") == parse_cluster(str(from_table(table, "Europe/Zurich")))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("cluster:LocalCluster", '"LocalCluster" is not the dotted name of a cluster class'),
        ("cluster:a.B?n_workers", '"n_workers" is not written as NAME=VALUE'),
        ("cluster:a.B?adapt=many", 'adapt is "many", but takes MINIMUM-MAXIMUM such as 0-4'),
        ("cluster:a.B?adapt=4-2", "adapt goes from 4 to 2 workers"),
        ("cluster:a.B?adapt=0-0", "the maximum must be at least 1"),
        ('cluster:a.B?adapt={"minimum": "x"}', "minimum of adapt is 'x', but takes a whole number"),
    ],
)
def test_what_means_nothing_is_said(text: str, why: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_cluster(text)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("no_such_module.Cluster", r'^dask = "cluster:no_such_module\.Cluster" names a module that cannot be imported here .*: install it'),
        ("dask.distributed.LocalKluster", r'the module dask\.distributed has no class LocalKluster\. Did you mean "LocalCluster"\?$'),
        ("collections.Counter", r"is no Dask cluster class: name one such as dask\.distributed\.LocalCluster\.$"),
    ],
)
def test_a_class_that_is_not_there_is_one_sentence(name: str, sentence: str) -> None:
    with pytest.raises(SetupError, match=sentence):
        cluster_class(name)


def test_an_argument_the_class_cannot_take_is_one_sentence() -> None:
    with pytest.raises(SetupError) as caught:
        OwnCluster(ClusterSpec(name="dask.distributed.LocalCluster", arguments={"n_workers": "many"}))
    said = str(caught.value)
    assert said.startswith("The Dask cluster dask.distributed.LocalCluster could not be started (")
    assert said.endswith("check the arguments in the setting `dask` (NBFLOW_DASK).")


@pytest.mark.parametrize(
    "arguments",
    [{"n_workrs": 2}, {"n_workrs": 2, "processes": False}, {"memory_limit": "1GB", "n_workrs": 0}],
    ids=["passed on to nannies", "passed on to workers", "beside one of a worker"],
)
@pytest.mark.parametrize("adapt", [None, {"minimum": 0, "maximum": 2}])
def test_an_argument_that_neither_the_cluster_nor_its_workers_know_is_refused_before_any_starts(
    arguments: dict[str, object], adapt: dict[str, int] | None
) -> None:
    with pytest.raises(SetupError) as caught:
        OwnCluster(ClusterSpec(name="dask.distributed.LocalCluster", arguments=arguments, adapt=adapt))
    assert str(caught.value) == (
        'The Dask cluster dask.distributed.LocalCluster takes no argument "n_workrs": correct it in the setting `dask` (NBFLOW_DASK), '
        'or in the table [cluster] of the flow. Did you mean "n_workers"?'
    )
    assert caught.value.__cause__ is None  # Dask was not asked


class ClosedCluster(SpecCluster):
    """Says what it takes."""

    def __init__(self, cores: int = 1) -> None:
        raise AssertionError(cores)


class OpenCluster(SpecCluster):
    """Passes on what it does not know, nobody can say where to: what it raises is told."""

    def __init__(self, **options: object) -> None:
        raise RuntimeError("Nanny failed to start.") from ModuleNotFoundError(f"No module named {options['preload']!r}")


def test_a_class_that_says_what_it_takes_is_believed() -> None:
    with pytest.raises(SetupError, match=r'ClosedCluster takes no argument "coers": .* Did you mean "cores"\?$'):
        OwnCluster(ClusterSpec(name=f"{__name__}.ClosedCluster", arguments={"coers": 2}))


def test_a_class_that_passes_arguments_on_judges_them_itself_and_the_sentence_tells_what_ended_its_worker() -> None:
    with pytest.raises(SetupError, match=r"could not be started \(Nanny failed to start: No module named 'helpers'\): check the arguments"):
        OwnCluster(ClusterSpec(name=f"{__name__}.OpenCluster", arguments={"preload": "helpers"}))


def test_what_a_local_cluster_passes_on_to_its_workers_is_taken() -> None:
    arguments = {
        "n_workers": 0,
        "dashboard_address": None,
        "death_timeout": 60,
        "preload_nanny": [],
        "lifetime": "1h",
        "blocked_handlers": [],
    }
    OwnCluster(ClusterSpec(name="dask.distributed.LocalCluster", arguments=arguments)).close()


def test_the_bounds_of_the_time_of_day_are_applied_and_applied_again() -> None:
    adapt = [
        {"from": "08:00", "to": "18:00", "minimum": 1, "maximum": 1, "interval": "20ms"},
        {"minimum": 2, "maximum": 2, "interval": "20ms"},
    ]
    arguments = {"n_workers": 0, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    clock = [datetime(2026, 1, 10, 16, 59, tzinfo=UTC)]  # 17:59 in Zurich
    spec = from_table({"cluster": "dask.distributed.LocalCluster", "arguments": arguments, "adapt": adapt}, "Europe/Zurich")
    cluster = OwnCluster(spec, now=lambda: clock[0], look=0.02)
    try:
        assert cluster.is_adaptive
        cluster.cluster.wait_for_workers(1, timeout=20)
        assert len(cluster.cluster.scheduler.workers) == 1
        clock[0] = datetime(2026, 1, 10, 17, 0, tzinfo=UTC)
        cluster.cluster.wait_for_workers(2, timeout=20)
    finally:
        cluster.close()
