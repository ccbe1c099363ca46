# SPDX-License-Identifier: BSD-3-Clause
"""pandas frames as Parquet, where Parquet gives back exactly the same frame; everything else about frames is left to pickle."""

from __future__ import annotations

import sys
from typing import Any, Final

#: Frames up to this size are read back and compared; larger ones are trusted to the types below.
_PROVE_LIMIT: Final = 32 * 1024 * 1024
_NUMBERS: Final = frozenset({"bool", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)), "float32", "float64"})
_EXTENSIONS: Final = frozenset({"Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "boolean", "str"})
_UNITS: Final = frozenset({"ms", "us", "ns"})


def parquet_bytes(value: Any, limit: int | None = None) -> bytes | None:
    """The frame as Parquet; None when it is no frame, pyarrow is not there, or it would not come back the same."""
    pandas = sys.modules.get("pandas")
    if pandas is None or type(value) is not getattr(pandas, "DataFrame", None) or not _may_be_exact(value, pandas):
        return None
    try:
        import pyarrow as pa  # noqa: PLC0415  optional, and slow to import
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError:
        return None
    size = int(value.memory_usage(index=True).sum())
    if limit is not None and size > 4 * limit:
        return None  # pickle notices that it is too large without writing it
    try:
        table = pa.Table.from_pandas(value)
        sink = pa.BufferOutputStream()
        # A dictionary of floating point numbers is given up when it is full, after half of the time that writing takes.
        with_dictionary = [field.name for field in table.schema if not pa.types.is_floating(field.type)]
        # Snappy, as Parquet's writers choose: Zstandard takes two to three times as long for numbers, and saves a quarter of them at best.
        pq.write_table(table, sink, compression="snappy", version="2.6", use_dictionary=with_dictionary or False)
        data: bytes = sink.getvalue().to_pybytes()
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        return None
    if size <= _PROVE_LIMIT and not _is_same(value, from_parquet(data), pandas):
        return None
    return data


def from_parquet(data: bytes) -> Any:
    """The frame, with memory of its own."""
    import pyarrow as pa  # noqa: PLC0415  slow to import
    import pyarrow.parquet as pq  # noqa: PLC0415  as above

    frame = pq.read_table(pa.BufferReader(data)).to_pandas()
    return frame.copy() if any(not _owns(block) for block in frame._mgr.blocks) else frame  # noqa: SLF001  no public way to ask


def _owns(block: Any) -> bool:
    flags = getattr(block.values, "flags", None)
    return flags is None or bool(flags.writeable)


def _may_be_exact(frame: Any, pandas: Any) -> bool:
    columns = frame.columns
    return (
        not frame.attrs
        and frame.flags.allows_duplicate_labels
        and type(columns) is pandas.Index
        and columns.name is None
        and columns.is_unique
        and all(type(name) is str for name in columns)
        and all(_is_exact(dtype, pandas) for dtype in frame.dtypes)
        and _index_is_exact(frame.index, pandas)
    )


def _index_is_exact(index: Any, pandas: Any) -> bool:
    if type(index) is pandas.RangeIndex:
        return index.name is None or type(index.name) is str
    if type(index) is pandas.MultiIndex:
        return len(set(index.names)) == index.nlevels and all(
            type(name) is str and _is_exact(level.dtype, pandas) for name, level in zip(index.names, index.levels, strict=True)
        )
    is_named = index.name is None or type(index.name) is str
    return is_named and getattr(index, "freq", None) is None and _is_exact(index.dtype, pandas)


def _is_exact(dtype: Any, pandas: Any) -> bool:
    name = str(dtype)
    if name in _NUMBERS or name in _EXTENSIONS:
        return True
    if isinstance(dtype, pandas.CategoricalDtype):
        return str(dtype.categories.dtype) in {"str", "int64"}
    return getattr(dtype, "kind", "") == "M" and getattr(dtype, "unit", name[-3:-1]) in _UNITS and "[" in name


def _is_same(left: Any, right: Any, pandas: Any) -> bool:
    try:
        pandas.testing.assert_frame_equal(
            left, right, check_exact=True, check_freq=True, check_flags=True, check_index_type="exact", check_column_type="exact"
        )
    except AssertionError:
        return False
    same_types = [str(one) for one in left.dtypes] == [str(other) for other in right.dtypes]
    return bool(same_types and type(left.index) is type(right.index) and left.columns.equals(right.columns) and left.attrs == right.attrs)


def texts(frame: Any) -> bytes:
    """Every text that stands in a frame, once in each column, as it is spelled."""
    columns = [frame.iloc[:, place] for place, dtype in enumerate(frame.dtypes) if dtype.kind == "O"]
    found = (str(value) for column in (*columns, frame.index) if column.dtype.kind == "O" for value in column.dropna().unique())
    return "\0".join(found).encode("utf-8", "surrogatepass")
