# SPDX-License-Identifier: BSD-3-Clause
"""numpy arrays as `.npy` bytes, written without a copy of the data and read with one."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbflow.operators.pickles import Bytes

#: Kinds of numbers, times, fixed texts and records: those whose bytes mean the same everywhere.
_KINDS = frozenset("biufcmMSUV")


def npy_parts(value: Any) -> tuple[Bytes, ...] | None:
    """Header and data (a view of the array's own memory where it lies in one piece); None for everything that is no plain array."""
    numpy = sys.modules.get("numpy")
    if numpy is None or type(value) is not numpy.ndarray or not _is_exact(value.dtype, numpy):
        return None
    header = io.BytesIO()
    npy = numpy.lib.format
    npy.write_array_header_2_0(header, npy.header_data_from_array_1_0(value))
    return header.getvalue(), _bytes_of(value, numpy)


def _is_exact(dtype: Any, numpy: Any) -> bool:
    if dtype.kind not in _KINDS or dtype.hasobject or dtype.itemsize == 0 or dtype.metadata:
        return False
    if dtype.kind != "V":
        return True
    npy = numpy.lib.format
    again = npy.descr_to_dtype(npy.dtype_to_descr(dtype))
    return bool(again == dtype and again.isalignedstruct == dtype.isalignedstruct)


def _bytes_of(array: Any, numpy: Any) -> Bytes:
    if array.size == 0:
        return b""
    if array.flags.f_contiguous and not array.flags.c_contiguous:
        array = array.T
    flat = numpy.ascontiguousarray(array).reshape(-1)
    return memoryview(flat.view(numpy.uint8))


def from_npy(data: bytes) -> Any:
    """A writable array of its own."""
    import numpy as np  # noqa: PLC0415  start-up: only who reads an array needs it

    stream = io.BytesIO(data)
    np.lib.format.read_magic(stream)
    shape, is_fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    count = int(np.prod(shape, dtype=np.int64))
    flat = np.frombuffer(data, dtype=dtype, count=count, offset=stream.tell()).copy()
    return flat.reshape(shape, order="F" if is_fortran else "C")
