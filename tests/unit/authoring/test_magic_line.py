# SPDX-License-Identifier: BSD-3-Clause
"""The `%%task` line: options, mistakes, help and completion."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest

from nbflow.authoring.magic_line import complete, help_text, parse_task_line, read_task_line
from nbflow.core.errors import UserError
from nbflow.core.options import TaskKind, TaskOptions, TriggerRule, option_specs

LINES: dict[str, dict[str, Any]] = {
    "": {},
    "--retries 2": {"retries": 2},
    "--retries=2": {"retries": 2},
    "--retry-delay 10s": {"retry_delay": timedelta(seconds=10)},
    "--retry-delay 1h30m": {"retry_delay": timedelta(minutes=90)},
    "--timeout 90": {"timeout": timedelta(seconds=90)},
    "--backoff 1.5": {"backoff": 1.5},
    "--after a b --retries 1": {"after": ("a", "b"), "retries": 1},
    "--after a,b": {"after": ("a", "b")},
    "--after a --after b a": {"after": ("a", "b")},
    "--retry-on ValueError KeyError --no-retry-on OSError": {"retry_on": ("ValueError", "KeyError"), "no_retry_on": ("OSError",)},
    "--no-timeout": {"timeout": None},
    "--no-retries": {"retries": 0},
    "--no-resources": {"resources": {}},
    "--run": {"run": True},
    "--no-run": {"run": False},
    "--trigger-rule none_failed": {"trigger_rule": TriggerRule.NONE_FAILED},
    "--as branch": {"as_": TaskKind.BRANCH},
    "--as short_circuit": {"as_": TaskKind.SHORT_CIRCUIT},
    "--no-ignore-downstream-trigger-rules": {"ignore_downstream_trigger_rules": False},
    "--as sensor --poke 30s --soft-fail": {"as_": TaskKind.SENSOR, "poke": timedelta(seconds=30), "soft_fail": True},
    "--resources GPU=1 MEM=4GB": {"resources": {"GPU": "1", "MEM": "4GB"}},
    "-o bash --out made": {"operator": "bash", "out": "made"},
    '--doc "all of it" # a comment': {"doc": "all of it"},
    '--doc "# no comment"': {"doc": "# no comment"},
    "# a comment": {},
}


@pytest.mark.parametrize(("options", "expected"), LINES.items())
def test_a_line_is_read(options: str, expected: dict[str, Any]) -> None:
    assert parse_task_line(f"download.main {options}") == ("download.main", expected)


def test_the_magic_may_stand_before_the_name() -> None:
    assert parse_task_line("%%task a --retries 1") == ("a", {"retries": 1})


def test_the_name_may_stand_after_an_option() -> None:
    assert parse_task_line("--retries 1 a") == ("a", {"retries": 1})


def test_every_option_makes_task_options() -> None:
    for spec in option_specs():
        value = {
            "flag": "",
            "check": "",
            "choice": spec.choices[-1] if spec.choices else "",
            "some": ",".join(spec.choices),
            "deadline": "07:30",
            "resources": "A=1",
            "pairs": "x=xs",
            "duration": "1s",
        }.get(spec.takes, "7")
        undone = "no-" if spec.default is True else ""
        _, overrides = parse_task_line(f"a --{undone}{spec.flag} {value}")
        assert TaskOptions(**overrides) != TaskOptions()


def test_every_option_has_a_form_that_undoes_a_default() -> None:
    for spec in option_specs():
        if f"no-{spec.flag}" not in {other.flag for other in option_specs()}:
            _, overrides = parse_task_line(f"a --no-{spec.flag}")
            chosen = TaskOptions(**overrides)
            assert all(dict(getattr(chosen, f.name)) == {} if f.name == "resources" else True for f in fields(TaskOptions))
            assert overrides.keys() <= {f.name for f in fields(TaskOptions)}


MISTAKES = {
    "": "The task has no name: write %%task NAME [options].",
    "--retries 2": "The task has no name: write %%task NAME [options].",
    "a b": '"b" belongs to no option: write %%task NAME [options].',
    "a/b": '"a/b" cannot be a task name: use letters, digits, "_" or "-", with single dots between groups.',
    "a --retrys 2": 'There is no option "--retrys". Did you mean "--retries"?',
    "a --no-retrys": 'There is no option "--no-retrys". Did you mean "--no-retries"?',
    "a --qqq": 'There is no option "--qqq". Type %%task -h to see all options.',
    "a -x 1": 'There is no option "-x". Type %%task -h to see all options.',
    "a --env py312": "--env is not in this version of nbflow yet: leave it out.",
    "a --retries": "--retries needs a value: --retries N.",
    "a --retries two": '--retries cannot be "two": it takes a whole number, 0 or more.',
    "a --retries -1": '--retries cannot be "-1": it takes a whole number, 0 or more.',
    "a --retries 1.5": '--retries cannot be "1.5": it takes a whole number, 0 or more.',
    "a --backoff x": '--backoff cannot be "x": it takes a number, 0 or more.',
    "a --timeout soon": '--timeout cannot be "soon": it takes a duration such as 30s, 5m, 1h30m or a number of seconds.',
    "a --as brunch": '--as cannot be "brunch": it takes one of task, branch, short-circuit, sensor, setup, teardown, latest-only, approval. Did you mean "branch"?',
    "a --resources GPU": '--resources cannot be "GPU": it takes pairs such as GPU=1 MEM=4GB.',
    "a --run=maybe": '--run cannot be "maybe": it takes true or false.',
    'a --doc "x': 'A quotation mark is missing in: a --doc "x',
}


@pytest.mark.parametrize(("line", "sentence"), MISTAKES.items())
def test_a_mistake_is_a_sentence(line: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_task_line(line)
    assert str(caught.value) == sentence


def test_all_mistakes_of_a_line_are_found() -> None:
    assert len(read_task_line("a b --retrys 1 --retries x --timeout y").mistakes) == 4


def test_help_names_every_option() -> None:
    text = help_text()
    assert all(f"--{spec.flag}" in text and spec.help.split()[0] in text for spec in option_specs())
    assert max(map(len, text.splitlines())) <= 100


COMPLETIONS = {
    "%%task a --tr": ["--trigger-rule"],
    "%%task a --retries 1 --ti": ["--timeout"],
    "%%task a --no-ti": ["--no-timeout"],
    "%%task a --as ": ["approval", "branch", "latest-only", "sensor", "setup", "short-circuit", "task", "teardown"],
    "%%task a --trigger-rule one": ["one_done", "one_failed", "one_success"],
    "%%task a --after ": ["clean", "load"],
    "%%task a --after clean l": ["load"],
    "%%task ": [],
    "a --ow": ["--owner"],
}


@pytest.mark.parametrize(("line", "words"), COMPLETIONS.items())
def test_completion(line: str, words: list[str]) -> None:
    assert complete(line, ["load", "clean"]) == words


def test_completion_after_a_value_offers_options() -> None:
    assert "--timeout" in complete("%%task a --retries 1 ")


def test_completion_looks_left_of_the_cursor() -> None:
    assert complete("%%task a --ow --retries 1", cursor=13) == ["--owner"]


def test_completion_knows_the_pools_there_are() -> None:
    assert complete("%%task a --pool s", named={"pool": lambda: ["sftp", "db"]}) == ["sftp"]
    assert complete("%%task a --conn ", named={"conn": lambda: ["warehouse", "lake"]}) == ["lake", "warehouse"]
