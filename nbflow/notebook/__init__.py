# SPDX-License-Identifier: BSD-3-Clause
"""The notebook's door: `%load_ext nbflow` and what it brings."""

from __future__ import annotations

from typing import Any


def load_ipython_extension(shell: Any) -> None:
    """IPython calls this for `%load_ext nbflow`."""
    from nbflow.notebook.extension import load  # noqa: PLC0415 - `import nbflow` stays quick

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """IPython calls this for `%unload_ext nbflow`."""
    from nbflow.notebook.extension import unload  # noqa: PLC0415 - as above

    unload(shell)
