# SPDX-License-Identifier: BSD-3-Clause
"""nbflow: notebook cells as the tasks of a DAG."""

from typing import Any

from nbflow.core.context import FailTask, SkipTask, ctx

__all__ = ["FailTask", "SkipTask", "__version__", "ctx", "load_ipython_extension", "unload_ipython_extension"]
__version__ = "0.1.0"


def load_ipython_extension(shell: Any) -> None:
    """IPython calls this for `%load_ext nbflow`."""
    from nbflow.notebook import load_ipython_extension as load  # noqa: PLC0415 - `import nbflow` stays quick

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """IPython calls this for `%unload_ext nbflow`."""
    from nbflow.notebook import unload_ipython_extension as unload  # noqa: PLC0415 - as above

    unload(shell)
