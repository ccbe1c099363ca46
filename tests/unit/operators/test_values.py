# SPDX-License-Identifier: BSD-3-Clause
"""Every value comes back exactly as it was, or is refused with a sentence."""

import enum
import io
import math
import random
import socket
import sqlite3
import threading
from collections import OrderedDict, namedtuple
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nbflow.operators.values import Decoder, TooLarge, UnstorableValue, decode, describe, encode, store
from nbflow.store.artifacts import open_artifacts

Pair = namedtuple("Pair", "left right")  # noqa: PYI024  what users write


class Colour(enum.Enum):
    RED = 1


class Number(int):
    pass


@pytest.fixture
def artifacts(tmp_path):
    return open_artifacts(str(tmp_path))


def there_and_back(value, artifacts):
    ref = store(value, artifacts)
    return ref, decode(ref, artifacts)


PLAIN = [None, True, 0, -(2**63), 1.5, -0.0, [], {}, [1, [True, None]], {"a": {"b": [1.0, 1, True]}}, {"ü": "日本\U0001f600"}]


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_a_plain_tree_is_json_and_keeps_every_type(value, artifacts):
    ref, back = there_and_back(value, artifacts)
    assert ref.format == "json"
    assert repr(back) == repr(value)


NOT_JSON = [
    math.inf, 2**63, (1, 2), [(1,)], {1: "a"}, {True: 1}, {None: 1}, Number(3), [Number(3)], OrderedDict(a=1), {1, 2}, frozenset({1}),
    1j, Decimal("1.10"), datetime(2026, 1, 1, tzinfo=UTC), Path("a/b"), "\ud83d\ude00", ["\ud83d"], bytearray(b"x"), range(3), Colour.RED,
    Pair(1, 2), 10**6000, np.float64(1.5), [np.int64(1)], slice(1, 2),
]  # fmt: skip


@pytest.mark.parametrize("value", NOT_JSON, ids=lambda value: f"{type(value).__name__}")
def test_what_json_would_change_is_pickled(value, artifacts):
    ref, back = there_and_back(value, artifacts)
    assert ref.format == "pickle"
    assert type(back) is type(value)
    assert back == value


def test_not_a_number_stays_one(artifacts):
    ref, back = there_and_back([math.nan], artifacts)
    assert ref.format == "pickle"
    assert math.isnan(back[0])


def test_a_list_met_twice_stays_one_object(artifacts):
    inner = [1]
    _, back = there_and_back([inner, inner], artifacts)
    assert back[0] is back[1]


def test_a_cycle_stays_a_cycle(artifacts):
    value = []
    value.append(value)
    _, back = there_and_back(value, artifacts)
    assert back[0] is back


def test_text_and_bytes_are_kept_as_they_are(artifacts):
    assert there_and_back("naïve\r\n", artifacts)[0].format == "text"
    assert there_and_back("naïve\r\n", artifacts)[1] == "naïve\r\n"
    assert there_and_back(b"\x00\xff", artifacts)[0].format == "bytes"


ARRAYS = {
    "matrix": np.arange(12.0).reshape(3, 4),
    "no dimension": np.array(5),
    "empty": np.empty((0, 3), dtype="f4"),
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "strided": np.arange(20)[::3],
    "structured": np.array([(1, 2.5, "a")], dtype=[("x", "i4"), ("y", "f8"), ("z", "U3")]),
    "dates": np.array(["2026-01-01", "NaT"], dtype="M8[ns]"),
    "texts": np.array(["a", "bcd"]),
    "booleans": np.array([True, False]),
    "big endian": np.arange(3, dtype=">i4"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_is_npy_and_comes_back_writable(name, artifacts):
    array = ARRAYS[name]
    ref, back = there_and_back(array, artifacts)
    assert ref.format == "npy"
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(back, array)
    assert back.flags.writeable
    assert back.flags.f_contiguous == array.flags.f_contiguous or name == "strided"


@pytest.mark.parametrize(
    "array",
    [
        np.array([1, "a", None], dtype=object),
        np.zeros(2, dtype=np.dtype([("x", "i1"), ("y", "f8")], align=True)),
        np.ma.masked_array([1, 2], mask=[0, 1]),
        np.array(["a"], dtype="T"),
    ],
)
def test_other_arrays_are_pickled(array, artifacts):
    ref, back = there_and_back(array, artifacts)
    assert ref.format == "pickle"
    assert type(back) is type(array)
    assert back.dtype.isalignedstruct == array.dtype.isalignedstruct
    np.testing.assert_array_equal(back, array)


def _with(frame, **changes):
    for name, value in changes.items():
        setattr(frame, name, value)
    return frame


MOMENTS = pd.to_datetime(["2026-01-01", None, "2026-03-29"])
FRAMES = {
    "numbers": pd.DataFrame({"a": [1, 2, 3], "b": [1.5, None, -0.0], "c": np.array([1, 2, 3], "u1")}),
    "texts": pd.DataFrame({"t": ["a", None, "日本"]}),
    "categories": pd.DataFrame({"c": pd.Categorical(["x", None, "y"], categories=["y", "x", "z"], ordered=True)}),
    "moments": pd.DataFrame({"m": MOMENTS}),
    "zones": pd.DataFrame({"m": MOMENTS.tz_localize("UTC").tz_convert("Europe/Zurich")}),
    "nullable": pd.DataFrame({"n": pd.array([1, None, 3], dtype="Int64"), "b": pd.array([True, None, False], dtype="boolean")}),
    "many levels": pd.DataFrame({"v": [1, 2, 3]}, index=pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["k", "i"])),
    "named index": pd.DataFrame({"v": [1, 2]}, index=pd.Index(["x", "y"], name="key")),
    "attributes": _with(pd.DataFrame({"v": [1]}), attrs={"source": "sensor"}),
    "frequency": pd.DataFrame({"v": [1, 2]}, index=pd.date_range("2026-01-01", periods=2, freq="D")),
    "integer columns": pd.DataFrame([[1, 2]]),
    "levels of columns": pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")])),
    "mixed objects": pd.DataFrame({"o": [1, "a", [2]]}),
    "twice the same column": pd.DataFrame([[1, 2]], columns=["a", "a"]),
    "intervals": pd.DataFrame({"i": pd.interval_range(0, 2)}),
    "durations": pd.DataFrame({"d": pd.to_timedelta(["1s", None])}),
    "periods": pd.DataFrame({"p": pd.period_range("2026-01", periods=2, freq="M")}),
    "empty": pd.DataFrame(),
    "no rows": pd.DataFrame({"a": pd.Series([], dtype="int32"), "t": pd.Series([], dtype="str")}),
    "range with a step": pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(5, 9, 2)),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_comes_back_exactly(name, artifacts):
    frame = FRAMES[name]
    _, back = there_and_back(frame, artifacts)
    pd.testing.assert_frame_equal(back, frame, check_exact=True, check_freq=True, check_index_type="exact", check_column_type="exact")
    assert type(back.index) is type(frame.index)
    assert back.attrs == frame.attrs
    assert list(map(str, back.dtypes)) == list(map(str, frame.dtypes))


@pytest.mark.parametrize("name", ["numbers", "texts", "categories", "moments", "zones", "nullable", "many levels", "named index"])
def test_ordinary_frames_are_parquet(name):
    assert encode(FRAMES[name])[0].format == "parquet"


def test_a_decoded_frame_may_be_changed(artifacts):
    _, back = there_and_back(FRAMES["numbers"], artifacts)
    back.loc[0, "b"] = 7.0
    back["a"] += 1
    assert back["b"][0] == 7.0


def test_a_series_comes_back_exactly(artifacts):
    series = pd.Series([1.5, None], index=["a", "b"], name="s")
    pd.testing.assert_series_equal(there_and_back(series, artifacts)[1], series)


def test_a_model_predicts_the_same_afterwards(artifacts):
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
    _, back = there_and_back(model, artifacts)
    assert back.predict([[10.0]]).tolist() == model.predict([[10.0]]).tolist()


def test_a_figure_can_be_stored(artifacts):
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().plot([1, 2, 3])
    _, back = there_and_back(figure, artifacts)
    assert back.axes[0].lines[0].get_ydata().tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "value", [[1, "a"], "text", {"k": [1.5]}, np.arange(5), FRAMES["categories"], {3: "x"}], ids=lambda value: type(value).__name__
)
def test_equal_values_have_equal_bytes(value):
    import copy

    assert encode(value)[0].hash == encode(copy.deepcopy(value))[0].hash


REFUSED = {
    "a generator": lambda: (number for number in []),
    "an open file": lambda: open(__file__),  # noqa: PTH123, SIM115
    "a socket": socket.socket,
    "a lock": threading.Lock,
    "a connection": lambda: sqlite3.connect(":memory:"),
    "a thread": threading.Thread,
    "a memoryview": lambda: memoryview(b"x"),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: {"deep": [value]}], ids=["bare", "within a dict"])
def test_what_cannot_travel_is_refused_by_name_with_a_remedy(what, wrap):
    thing = REFUSED[what]()
    with pytest.raises(UnstorableValue) as refused:
        encode(wrap(thing))
    assert what in str(refused.value)
    assert refused.value.remedy
    if hasattr(thing, "close"):
        thing.close()


def test_a_buffer_in_memory_is_no_open_file(artifacts):
    _, back = there_and_back(io.BytesIO(b"abc"), artifacts)
    assert back.getvalue() == b"abc"


def never():
    raise TypeError("one is missing")


class Stubborn:
    """An exception whose arguments are not those of its constructor is like that, until some library teaches pickle about exceptions."""

    def __reduce__(self):
        return never, ()


def test_what_pickles_but_cannot_be_read_back_is_refused_at_once():
    with pytest.raises(UnstorableValue, match="cannot be unpickled"):
        encode(Stubborn())


def test_an_object_whose_own_pickling_fails_is_refused_with_its_words():
    class Rude:
        def __reduce__(self):
            raise ValueError("not me")

    with pytest.raises(UnstorableValue, match=r"Rude.*not me"):
        encode(Rude())


def test_more_than_the_limit_is_noticed():
    with pytest.raises(TooLarge):
        encode({1: random.randbytes(10_000)}, limit=5_000)
    with pytest.raises(TooLarge):
        encode("x" * 10_000, limit=5_000)


def test_large_buffers_stand_beside_the_pickle_and_are_writable_afterwards(artifacts):
    value = {1: np.arange(100_000), "same": None}
    value["same"] = value[1]
    ref, back = there_and_back(value, artifacts)
    assert ref.format == "pickle"
    assert back[1] is back["same"]
    back[1][0] = 7
    assert ref.size < 810_000


def test_small_values_are_inline_and_large_ones_are_artifacts(artifacts):
    small, large = store("x", artifacts), store("x" * 20_000, artifacts)
    assert small.inline == b"x"
    assert large.inline is None
    assert artifacts.has(large.hash)


def test_refs_with_one_alias_and_hash_are_one_object_and_others_are_copies(artifacts):
    one, two = store([1], artifacts, alias="a"), store([1], artifacts, alias="a")
    other, none = store([1], artifacts, alias="b"), store([1], artifacts)
    read = Decoder(artifacts)
    assert read(one) is read(two)
    assert read(one) is not read(other)
    assert read(none) is not read(none)


SHOWN = [
    (3, "3"),
    ("abc", "'abc'"),
    (FRAMES["numbers"], "DataFrame, 3 rows x 3 columns"),
    (pd.Series([1.0]), "Series, 1 row, float64"),
    (np.zeros((3, 4)), "array, 3 x 4, float64"),
    ([1, 2], "[1, 2]"),
    (list(range(1000)), "list, 1000 items"),
    ({"a": 1}, "{'a': 1}"),
    (math, "module math"),
    (object(), "object"),
    (Colour.RED, "<Colour.RED: 1>"),
]


@pytest.mark.parametrize(("value", "text"), SHOWN, ids=[text for _, text in SHOWN])
def test_a_value_is_described_in_one_line(value, text):
    assert describe(value) == text


def test_describing_never_raises_and_stays_short():
    class Rude(Exception):
        def __repr__(self):
            raise ValueError

    assert describe(Rude()).startswith("<Rude") or describe(Rude()) == "Rude"
    assert len(describe("x" * 10_000)) <= 200
