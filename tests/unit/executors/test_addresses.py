# SPDX-License-Identifier: BSD-3-Clause
"""What is no address of a Dask scheduler is refused before a client is made: one that is half made would complain as the process ends."""

from __future__ import annotations

import gc

import pytest

from nbflow.core.errors import SetupError
from nbflow.executors.dask_client import open_client


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
