# SPDX-License-Identifier: BSD-3-Clause
"""Names of the notebook in an operator's text."""

from __future__ import annotations

import pytest

from nbflow.authoring.templates import template_names

TEXTS = {
    "echo {{ name }}": ("name",),
    "echo {{name}} {{ name }} {{- other -}}": ("name", "other"),
    "{{ a.b['c'] + d }}": ("a", "d"),
    "{{ rows | length }}": ("rows",),
    "{{ a if b else 'c' }}": ("a", "b"),
    "{% for x in xs %}{{ x }}{% endfor %}": ("xs",),
    "{% if a is defined and b %}{% endif %}": ("a", "b"),
    "{% set n = m %}{{ n }}": ("m",),
    "{{ ds }} {{ ctx.run_id }} {{ params.day }}": (),
    "{# {{ hidden }} #}{% raw %}{{ raw }}{% endraw %}": (),
    "echo ${HOME} {x}": (),
}


@pytest.mark.parametrize(("text", "names"), TEXTS.items())
def test_names_of(text: str, names: tuple[str, ...]) -> None:
    assert template_names(text) == names
