# SPDX-License-Identifier: BSD-3-Clause
"""Where settings come from, and that a bad one is refused where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbflow.core.errors import SetupError
from nbflow.settings import Settings, load_settings

TABLE = """\
home = "place"

[dask]
cluster = "dask.distributed.LocalCluster"
arguments = { n_workers = 2, memory_limit = "4GB" }
adapt = { minimum = 0, maximum = 4 }
"""


def load(folder: Path, text: str, **environment: str) -> object:
    (folder / "nbflow.toml").write_text(text, encoding="utf-8")
    return load_settings(environment=environment, cwd=folder)


def refused(folder: Path, text: str, **environment: str) -> str:
    with pytest.raises(SetupError) as caught:
        load(folder, text, **environment)
    return str(caught.value)


def test_a_table_of_a_cluster_class_is_the_text_an_environment_variable_would_hold(tmp_path: Path) -> None:
    text = "cluster:dask.distributed.LocalCluster?n_workers=2&memory_limit=4GB&adapt=0-4"
    assert load(tmp_path, TABLE).dask == text
    assert load(tmp_path, "", NBFLOW_HOME=str(tmp_path), NBFLOW_DASK=text).dask == text


def test_tables_of_their_own_say_the_same(tmp_path: Path) -> None:
    text = '[dask]\ncluster = "a.B"\n[dask.arguments]\nn_workers = 2\n[dask.adapt]\nminimum = 1\nmaximum = 2\n'
    assert load(tmp_path, text, NBFLOW_HOME=str(tmp_path)).dask == "cluster:a.B?n_workers=2&adapt=1-2"


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        (TABLE.replace("adapt", "adopt"), 6, 'the table has no "adopt", only cluster, arguments, adapt. Did you mean "adapt"?'),
        (TABLE.replace("maximum = 4", "maximum = 0"), 6, "the maximum must be at least 1"),
        (TABLE.replace("dask.distributed.LocalCluster", "LocalCluster"), 4, '"LocalCluster" is not the dotted name of a cluster class'),
        (TABLE.replace('{ n_workers = 2, memory_limit = "4GB" }', "3"), 5, "arguments is 3, but takes a table"),
        ("\n\ndask = { arguments = { n = 1 } }\n", 3, "is not the dotted name of a cluster class"),
    ],
)
def test_a_bad_table_is_refused_with_its_file_and_line(tmp_path: Path, text: str, line: int, why: str) -> None:
    said = refused(tmp_path, text)
    assert said.startswith(f"{tmp_path}/nbflow.toml, line {line}: dask is a table in which ")
    assert why in said
    assert "\n" not in said


def test_a_bad_text_is_refused_where_it_stands(tmp_path: Path) -> None:
    said = refused(tmp_path, "", NBFLOW_DASK="cluster:dask.distributed.LocalCluster?adapt=lots")
    assert said.startswith('NBFLOW_DASK: dask is "cluster:dask.distributed.LocalCluster?adapt=lots", but adapt is "lots"')
    assert refused(tmp_path, '\ndask = "cluster:x"').startswith(f"{tmp_path}/nbflow.toml, line 2: dask is ")


def test_an_unknown_setting_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    assert refused(tmp_path, '\nartifact_url = "x"') == (
        f'{tmp_path}/nbflow.toml, line 2: there is no setting "artifact_url". Did you mean "artifacts_url"?'
    )


def test_a_folder_of_artifacts_does_not_depend_on_who_reads_the_setting(tmp_path: Path) -> None:
    assert load(tmp_path, 'home = "h"\nartifacts_url = "values"').artifacts == str(tmp_path / "values")
    assert load(tmp_path, 'home = "h"\nartifacts_url = "file:///values"').artifacts == "file:///values"


def test_flows_folders_are_found_from_where_the_file_stands(tmp_path: Path) -> None:
    assert load(tmp_path, 'flows_dirs = ["flows", "/srv/flows"]\nscan_interval = "5s"').flows_folders == (
        tmp_path / "flows",
        Path("/srv/flows"),
    )
    assert load(tmp_path, 'flows_dirs = "flows"').flows_folders == (tmp_path / "flows",)
    assert load(tmp_path, "").flows_folders == ()
    assert refused(tmp_path, "flows_dirs = 3").endswith('flows_dirs takes a folder or a list of folders such as ["flows"].')


def test_defaults_of_all_flows_are_keys_of_a_schedule_and_options_of_tasks(tmp_path: Path) -> None:
    text = '[defaults]\ntimezone = "Europe/Zurich"\nstart_date = 2026-01-01\nmax_active_runs = 2'
    assert load(tmp_path, text).flow_defaults == {"timezone": "Europe/Zurich", "start_date": "2026-01-01", "max_active_runs": 2}
    told = refused(tmp_path, '[defaults]\ntimezon = "UTC"')
    assert told.endswith('line 1: [defaults]: "timezon" is neither a key of a schedule nor an option of a task. Did you mean "timezone"?')
    both = load(tmp_path, text + '\nretries = 2\nretry_delay = "10s"')
    assert (both.flow_defaults["max_active_runs"], both.task_defaults) == (2, {"retries": 2, "retry_delay": "10s"})
    assert "[defaults]: retries cannot be" in refused(tmp_path, '[defaults]\nretries = "many"')
    assert '"after" belongs to one task, so it cannot stand in [defaults]' in refused(tmp_path, '[defaults]\nafter = "x"')
    assert '[defaults]: catchup must be "latest", "all" or "none"' in refused(tmp_path, '[defaults]\ncatchup = "some"')


def test_what_goes_to_another_process_arrives_whole_and_shows_no_secret(tmp_path: Path) -> None:
    import json
    import pickle

    from nbflow.headless.hosts import settings_as_json, settings_from_json

    settings = Settings(home=tmp_path, database_url="postgresql://me:TopSecret1@db/x", secret_key="TopSecret2")
    assert "TopSecret2" not in repr(settings)
    document = settings_as_json(settings)
    assert "TopSecret" not in repr(document)
    for travelled in (pickle.loads(pickle.dumps(document)), json.loads(json.dumps(document))):
        assert settings_from_json(travelled) == settings
