# SPDX-License-Identifier: BSD-3-Clause
"""What is no address of a Dask scheduler is refused before a client is made: one that is half made would complain as the process ends."""

from __future__ import annotations

import gc
import socket
from pathlib import Path

import pytest

from nbflow.core.errors import SetupError
from nbflow.executors import connection
from nbflow.executors.dask_client import open_client
from nbflow.executors.dask_executor import DaskExecutor


@pytest.mark.parametrize(
    ("address", "why"), [("tpc://scheduler:8786", "unknown address scheme 'tpc'"), ("tcp://scheduler", "missing port number in address")]
)
def test_what_is_no_address_is_one_sentence(address: str, why: str) -> None:
    from distributed import Client

    with pytest.raises(SetupError) as caught:
        open_client(address)
    assert str(caught.value).startswith(f"The Dask cluster at {address} cannot be reached ({why}")
    assert str(caught.value).endswith("): start it, or change `dask` (NBFLOW_DASK).")
    assert not [one for one in gc.get_objects() if isinstance(one, Client) and address in repr(vars(one).get("_start_arg"))]


def test_a_scheduler_that_listens_has_more_time_to_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Dask's own client would wait for ever."""
    monkeypatch.setattr(connection, "BUSY_LIMIT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as busy:  # its connections are made, and nobody speaks there
        address = f"tcp://127.0.0.1:{busy.getsockname()[1]}"
        with pytest.raises(SetupError) as caught:
            DaskExecutor(address, home=tmp_path).start(print)
    assert str(caught.value) == (
        f"The Dask cluster at {address} does not answer within 0.3 s, though something listens there: "
        "look whether it hangs, or change `dask` (NBFLOW_DASK)."
    )
