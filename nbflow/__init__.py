# SPDX-License-Identifier: BSD-3-Clause
"""nbflow: notebook cells, and Python functions, as the tasks of a DAG."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbflow.authoring.decorators import group as group
    from nbflow.authoring.decorators import task as task
    from nbflow.authoring.references import chain as chain
    from nbflow.core.context import FailTask as FailTask
    from nbflow.core.context import SkipTask as SkipTask
    from nbflow.core.context import ctx as ctx
    from nbflow.core.errors import NbflowError as NbflowError
    from nbflow.core.errors import RunFailed as RunFailed
    from nbflow.core.errors import UserError as UserError
    from nbflow.operators.mailing import send_email as send_email
    from nbflow.python.flows import flow as flow
    from nbflow.python.flows import load as load
    from nbflow.python.run import Run as Run

__version__ = "0.1.0"

#: Public name -> where it lives; imported when first asked for, so that `import nbflow` costs nothing.
_PLACES = {
    "FailTask": "nbflow.core.context",
    "NbflowError": "nbflow.core.errors",
    "Run": "nbflow.python.run",
    "RunFailed": "nbflow.core.errors",
    "SkipTask": "nbflow.core.context",
    "UserError": "nbflow.core.errors",
    "chain": "nbflow.authoring.references",
    "ctx": "nbflow.core.context",
    "flow": "nbflow.python.flows",
    "group": "nbflow.authoring.decorators",
    "load": "nbflow.python.flows",
    "send_email": "nbflow.operators.mailing",
    "task": "nbflow.authoring.decorators",
}
__all__ = [
    "FailTask",
    "NbflowError",
    "Run",
    "RunFailed",
    "SkipTask",
    "UserError",
    "__version__",
    "chain",
    "ctx",
    "flow",
    "group",
    "load",
    "load_ipython_extension",
    "send_email",
    "task",
    "unload_ipython_extension",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'nbflow' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_PLACES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: Any) -> None:
    """IPython calls this for `%load_ext nbflow`."""
    from nbflow.notebook import load_ipython_extension as load_extension  # noqa: PLC0415 - `import nbflow` stays quick

    load_extension(shell)


def unload_ipython_extension(shell: Any) -> None:
    """IPython calls this for `%unload_ext nbflow`."""
    from nbflow.notebook import unload_ipython_extension as unload_extension  # noqa: PLC0415 - as above

    unload_extension(shell)
