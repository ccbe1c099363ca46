# SPDX-License-Identifier: BSD-3-Clause
"""Connecting to a Dask cluster: what the setting means, a client that is quiet, and whether both sides fit together."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from nbflow.core.errors import SetupError
from nbflow.core.protocols import ArtifactStore
from nbflow.executors import cluster, proof

#: Seconds a cluster has to answer.
CONNECT_LIMIT: Final = 5.0
#: Seconds a cluster has when something listens at its address; a little more than the connection itself may take.
GREET_LIMIT: Final = CONNECT_LIMIT + 1
#: Seconds a cluster of somebody else has then: its scheduler may be busy for others.
BUSY_LIMIT: Final = 30.0
#: Seconds its workers have to find what this process has written: the first look at a mounted folder or a bucket takes its time.
PROOF_LIMIT: Final = 30.0


def resolve(spec: str) -> str:
    """The address `spec` means. Raises SetupError for a scheduler file that cannot be read and for anything that is no address."""
    if spec.startswith("scheduler_file:"):
        path = Path(spec.partition(":")[2]).expanduser()
        try:
            return str(json.loads(path.read_text(encoding="utf-8"))["address"])
        except (OSError, ValueError, KeyError, TypeError):
            raise SetupError(f"The Dask scheduler file {path} cannot be read: start the scheduler with --scheduler-file {path}.") from None
    if "://" not in spec:
        raise SetupError(
            f'dask = "{spec}" means nothing: write local, inline, an address such as tcp://host:8786, scheduler_file:PATH or cluster:CLASS.'
        )
    return spec


def open_client(address: str, cluster_object: Any = None, *, busy: float = GREET_LIMIT) -> Any:
    """A connected client, through the cluster object when this process has it.

    Raises SetupError when nothing answers in `CONNECT_LIMIT` seconds, or in `busy` where something listens.
    """
    import_dask()
    try:
        from distributed import Client, comm  # noqa: PLC0415 - most of a second: only when a cluster is really used

        if not address.startswith("inproc://"):  # a client of what is no address would be left half made, and say so as the process ends
            comm.get_address_host_port(address)
            if cluster_object is None:
                _greet(address, busy)
        return Client(cluster_object or address, timeout=busy, set_as_default=False, name="nbflow")
    except _Silent:
        raise SetupError(
            f"The Dask cluster at {address} does not answer within {busy:g} s, though something listens there: "
            "look whether it hangs, or change `dask` (NBFLOW_DASK)."
        ) from None
    except (OSError, TimeoutError, ValueError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SetupError(f"The Dask cluster at {address} cannot be reached ({first}): start it, or change `dask` (NBFLOW_DASK).") from None


class _Silent(Exception):
    """Somebody listens, and says nothing."""


def _greet(address: str, busy: float) -> None:
    """Dask's client waits for ever for the greeting of whoever takes its connection: here that has its time.

    Raises OSError when nobody takes it in `CONNECT_LIMIT` seconds, _Silent when nobody greets in `busy`.
    """
    from distributed import Security  # noqa: PLC0415 - as above
    from distributed.comm import connect  # noqa: PLC0415 - as above

    async def greet() -> None:
        greeting = asyncio.ensure_future(connect(address, timeout=CONNECT_LIMIT, **Security().get_connection_args("client")))
        if not (await asyncio.wait({greeting}, timeout=busy))[0]:
            greeting.cancel()
            raise _Silent
        greeting.result().abort()

    with ThreadPoolExecutor(1, thread_name_prefix="nbflow-greeting") as thread:  # a kernel has a loop here already
        thread.submit(asyncio.run, greet()).result()


def import_dask() -> None:
    """Dask's notes about closed connections do not belong under the cells of a kernel, unless it had set up Dask by itself."""
    if "distributed" not in sys.modules:
        import dask  # noqa: PLC0415 - as above

        dask.config.set({"logging": {"distributed": "critical", "distributed.client": "critical"}})
        import distributed  # noqa: F401, PLC0415 - as above


def check_cluster(client: Any, address: str) -> None:
    """Raises SetupError when scheduler or workers have other versions, or no nbflow at all."""
    found = client.get_versions(packages=["jupyter-nbflow"])
    check_parties(found["scheduler"], found["workers"], address)


def check_parties(scheduler: Mapping[str, Any], workers: Mapping[str, Mapping[str, Any]], address: str) -> None:
    """As `check_cluster`, for what Dask found out about them."""
    mine = {**cluster.own_versions(), "cloudpickle": version("cloudpickle")}
    parties = {f"the Dask scheduler at {address}": scheduler}
    parties |= {f"the Dask worker {name}": facts for name, facts in workers.items()}
    for where, facts in parties.items():
        packages = facts["packages"]
        theirs = {**packages, "nbflow": packages["jupyter-nbflow"], "python": ".".join(packages["python"].split(".")[:2])}
        cluster.check_versions(theirs, where, "use one environment for all of them", mine=mine)


def prove_workers(client: Any, challenge: proof.Challenge, artifacts: ArtifactStore) -> None:
    """Every worker that is there reads what this process writes, and the other way round. Raises SetupError for the first that does not."""
    artifacts.write_mark(challenge.name, challenge.secret)
    asked = time.time()
    try:
        answers = client.run(proof.answer, challenge, on_error="return", callback_timeout=PROOF_LIMIT)
    except TimeoutError:
        raise SetupError(
            f"The Dask workers do not say within {PROOF_LIMIT:.0f} s whether they reach {challenge.url}: look after them, or change artifacts_url."
        ) from None
    proof.check_answers(challenge, artifacts, answers, asked, time.time())


def topic_of(client: Any) -> str:
    """Where the workers tell this client what its attempts do."""
    return f"nbflow-{client.id}"


def close_quietly(client: Any) -> None:
    """For a connection that is broken."""
    with contextlib.suppress(Exception):  # the connection is broken already: any error says only that
        client.close(timeout=1)
