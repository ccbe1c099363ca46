# SPDX-License-Identifier: BSD-3-Clause
"""Connecting to a Dask cluster: what the setting means, a client that is quiet, and whether both sides fit together."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any, Final

from nbflow.core.errors import SetupError
from nbflow.executors import cluster

#: Seconds a cluster has to answer.
CONNECT_LIMIT: Final = 5.0


def resolve(spec: str) -> str:
    """The address `spec` means. Raises SetupError for a scheduler file that cannot be read and for anything that is no address."""
    if spec.startswith("scheduler_file:"):
        path = Path(spec.partition(":")[2]).expanduser()
        try:
            return str(json.loads(path.read_text(encoding="utf-8"))["address"])
        except (OSError, ValueError, KeyError, TypeError):
            raise SetupError(f"The Dask scheduler file {path} cannot be read: start the scheduler with --scheduler-file {path}.") from None
    if "://" not in spec:
        raise SetupError(f'dask = "{spec}" means nothing: write local, inline, an address such as tcp://host:8786, or scheduler_file:PATH.')
    return spec


def open_client(address: str) -> Any:
    """A connected client. Raises SetupError when nothing answers within `CONNECT_LIMIT` seconds."""
    import_dask()
    try:
        from distributed import Client  # noqa: PLC0415 - most of a second: only when a cluster is really used

        return Client(address, timeout=CONNECT_LIMIT, set_as_default=False, name="nbflow")
    except (OSError, TimeoutError, ValueError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SetupError(f"The Dask cluster at {address} cannot be reached ({first}): start it, or change `dask` (NBFLOW_DASK).") from None


def import_dask() -> None:
    """Dask's notes about closed connections do not belong under the cells of a kernel, unless it had set up Dask by itself."""
    if "distributed" not in sys.modules:
        import dask  # noqa: PLC0415 - as above

        dask.config.set({"logging": {"distributed": "critical", "distributed.client": "critical"}})
        import distributed  # noqa: F401, PLC0415 - as above


def check_cluster(client: Any, address: str) -> None:
    """Raises SetupError when scheduler or workers have other versions, or no nbflow at all."""
    found = client.get_versions(packages=["jupyter-nbflow"])
    parties = {f"the Dask scheduler at {address}": found["scheduler"]}
    parties |= {f"the Dask worker {name}": facts for name, facts in found["workers"].items()}
    for where, facts in parties.items():
        theirs = {
            **facts["packages"],
            "nbflow": facts["packages"]["jupyter-nbflow"],
            "python": ".".join(facts["packages"]["python"].split(".")[:2]),
        }
        cluster.check_versions(theirs, where, "use one environment for all of them")


def topic_of(client: Any) -> str:
    """Where the workers tell this client what its attempts do."""
    return f"nbflow-{client.id}"


def close_quietly(client: Any) -> None:
    """For a connection that is broken."""
    with contextlib.suppress(Exception):  # the connection is broken already: any error says only that
        client.close(timeout=1)
