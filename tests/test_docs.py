# SPDX-License-Identifier: BSD-3-Clause
"""What can be typed is documented, and what is documented can be typed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import nbflow
from nbflow.cli.main import cli
from nbflow.core.options import option_specs
from nbflow.notebook import verbs
from nbflow.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name)


@pytest.mark.parametrize("words", list(commands(cli)), ids=" ".join)
def test_every_command_has_help_and_stands_in_the_readme(words: tuple[str, ...]) -> None:
    help_text = CliRunner().invoke(cli, [*words, "--help"]).output
    assert "Usage:" in help_text
    assert len(help_text.splitlines()[2].strip()) > 10
    group = " ".join(words[:-1])
    pattern = rf"nbflow {group} [^`\n]*\b{words[-1]}\b" if group else rf"nbflow {words[-1]}\b"
    assert re.search(pattern, README), f"nbflow {' '.join(words)} is not in the README"


@pytest.mark.parametrize("name", [field.name for field in fields(Settings)])
def test_every_setting_stands_in_the_readme(name: str) -> None:
    assert f"`{name}`" in README


@pytest.mark.parametrize("name", list(verbs.VERBS))
def test_every_verb_of_the_magic_stands_in_the_readme(name: str) -> None:
    assert re.search(rf"`(%nbflow )?{name}\b", README), f"%nbflow {name} is not in the README"


def test_every_public_name_stands_in_the_readme_or_is_ipythons() -> None:
    for name in nbflow.__all__:
        if not name.endswith("_ipython_extension") and name != "__version__":
            assert name in README, name


def test_every_option_of_a_task_has_a_sentence() -> None:
    for spec in option_specs():
        assert len(spec.help) > 10, spec.name


def test_the_files_a_reader_is_sent_to_exist() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
