# SPDX-License-Identifier: BSD-3-Clause
"""How two values differ, as a person would say it: rows and columns of frames, elements of arrays, numbers in per cent, figures by their pixels."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from nbflow.operators.describe import describe

SAME: Final = "the same"
#: Numbers that differ by less, relatively, are taken as equal.
_TOLERANCE: Final = 1e-9
_SHORT: Final = 60
_NAMES: Final = 5


def compare(a: Any, b: Any) -> tuple[bool, str]:
    """Whether they are the same, and how they differ. Never raises."""
    try:
        return _compare(a, b)
    except Exception:  # noqa: BLE001  a value's own comparison may raise anything
        return False, _described(a, b)


def _compare(a: Any, b: Any) -> tuple[bool, str]:
    if _is_number(a) and _is_number(b):
        return _numbers(a, b)
    if type(a) is not type(b):
        return False, _described(a, b)
    if isinstance(a, str):
        return _texts(a, b)
    kind = type(a).__module__.partition(".")[0]
    if kind == "pandas":
        return _of_pandas(a, b)
    if kind == "numpy" and hasattr(a, "dtype"):
        return _arrays(a, b)
    if kind == "matplotlib" and hasattr(a, "canvas"):
        return _pictures(_pixels_of(a), _pixels_of(b))
    if isinstance(a, Mapping):
        return _mappings(a, b)
    if isinstance(a, (list, tuple)):
        return _sequences(a, b)
    if isinstance(a, (set, frozenset)):
        return _sets(a, b)
    return (True, SAME) if bool(a == b) else (False, _described(a, b))


def _described(a: Any, b: Any) -> str:
    one, two = describe(a), describe(b)
    return f"{one} -> {two}" if one != two else f"another {one}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _numbers(a: float, b: float) -> tuple[bool, str]:
    if a == b or (math.isnan(a) and math.isnan(b)):
        return True, SAME
    if math.isclose(a, b, rel_tol=_TOLERANCE):
        return True, f"equal within {_TOLERANCE:g}"
    return False, f"{a!r} -> {b!r}{_percent(a, b)}"


def _percent(a: float, b: float) -> str:
    if not a or not math.isfinite(a) or not math.isfinite(b):
        return ""
    return f" ({100 * (b - a) / abs(a):+.3g} %)"


def _texts(a: str, b: str) -> tuple[bool, str]:
    if a == b:
        return True, SAME
    if max(len(a), len(b)) <= _SHORT:
        return False, f"{a!r} -> {b!r}"
    first = next((place for place, (one, two) in enumerate(zip(a, b, strict=False)) if one != two), min(len(a), len(b)))
    return False, f"text of {len(a):,} -> {len(b):,} characters, other from character {first + 1:,} on"


def _mappings(a: Mapping[Any, Any], b: Mapping[Any, Any]) -> tuple[bool, str]:
    parts = [*_named("without", [key for key in a if key not in b]), *_named("with", [key for key in b if key not in a])]
    changed = [(key, told) for key in a if key in b for same, told in [compare(a[key], b[key])] if not same]
    parts += [f"{key!r}: {told}" for key, told in changed[:_NAMES]]
    if len(changed) > _NAMES:
        parts.append(f"{len(changed) - _NAMES} more keys differ")
    return (False, "; ".join(parts)) if parts else (True, SAME)


def _sequences(a: Sequence[Any], b: Sequence[Any]) -> tuple[bool, str]:
    parts = [f"{len(a):,} -> {len(b):,} items"] if len(a) != len(b) else []
    changed = [(place, told) for place, pair in enumerate(zip(a, b, strict=False)) for same, told in [compare(*pair)] if not same]
    if changed:
        place, told = changed[0]
        parts.append(f"{len(changed):,} of {min(len(a), len(b)):,} differ, first [{place}]: {told}")
    return (False, "; ".join(parts)) if parts else (True, SAME)


def _sets(a: Any, b: Any) -> tuple[bool, str]:
    parts = [*_named("without", sorted(a - b, key=repr)), *_named("with", sorted(b - a, key=repr))]
    return (False, "; ".join(parts)) if parts else (True, SAME)


def _named(word: str, keys: Sequence[Any]) -> list[str]:
    if not keys:
        return []
    more = f" and {len(keys) - _NAMES} more" if len(keys) > _NAMES else ""
    return [f"{word} {', '.join(map(str, keys[:_NAMES]))}{more}"]


# --- arrays and frames ------------------------------------------------------------------------------------------------------


def _arrays(a: Any, b: Any) -> tuple[bool, str]:
    import numpy as np  # noqa: PLC0415  it is loaded: these are its arrays

    parts = [f"{_size(a.shape)} -> {_size(b.shape)}"] if a.shape != b.shape else []
    parts += [f"{a.dtype} -> {b.dtype}"] if a.dtype != b.dtype else []
    if a.shape == b.shape:
        numeric = a.dtype.kind in "iufcb" and b.dtype.kind in "iufcb"
        equal = np.isclose(a, b, rtol=_TOLERANCE, atol=0, equal_nan=True) if numeric else np.asarray(a == b)
        count = int(np.size(equal) - np.count_nonzero(equal))
        if count:
            far = np.abs(np.where(equal, 0, a.astype(complex) - b.astype(complex))) if numeric else None
            most = f", by at most {float(np.nanmax(far)):.3g}" if far is not None else ""
            parts.append(f"{count:,} of {np.size(equal):,} elements differ{most}")
    return (False, "; ".join(parts)) if parts else (True, SAME)


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "one element"


def _of_pandas(a: Any, b: Any) -> tuple[bool, str]:
    if not hasattr(a, "shape") or not hasattr(a, "to_numpy"):
        return (True, SAME) if a == b else (False, _described(a, b))
    if len(a.shape) == 2:
        return _frames(a, b)
    if len(a) != len(b):
        return False, f"{len(a):,} -> {len(b):,} elements{_percent(len(a), len(b))}"
    parts = [f"{a.dtype} -> {b.dtype}"] if a.dtype != b.dtype else []
    found = _column(a, b)
    parts += [f"{found[0]:,} of {len(a):,} elements differ{found[1]}"] if found[0] else []
    if hasattr(a, "index") and not parts and not a.index.equals(b.index):
        parts.append("another index")
    return (False, "; ".join(parts)) if parts else (True, SAME)


def _frames(a: Any, b: Any) -> tuple[bool, str]:
    parts = [f"{len(a):,} -> {len(b):,} rows{_percent(len(a), len(b))}"] if len(a) != len(b) else []
    parts += [*_named("without column", [one for one in a if one not in b]), *_named("with column", [one for one in b if one not in a])]
    common = [one for one in a if one in b]
    parts += [f"{one}: {a[one].dtype} -> {b[one].dtype}" for one in common if a[one].dtype != b[one].dtype][:_NAMES]
    if len(a) == len(b):
        found = {one: _column(a[one], b[one]) for one in common}
        changed = {one: told for one, told in found.items() if told[0]}
        if changed:
            cells = sum(count for count, _ in changed.values())
            names = [f"{one}{far}" for one, (_, far) in list(changed.items())[:_NAMES]]
            more = f" and {len(changed) - _NAMES} more columns" if len(changed) > _NAMES else ""
            parts.append(f"{cells:,} of {len(a) * len(common):,} cells differ, in {'; '.join(names)}{more}")
        elif not parts and not a.index.equals(b.index):
            parts.append("another index")
        if not parts and list(a) != list(b):
            parts.append("another order of columns")
    return (False, "; ".join(parts)) if parts else (True, SAME)


def _column(a: Any, b: Any) -> tuple[int, str]:
    """How many elements differ, and by how much at most."""
    import numpy as np  # noqa: PLC0415  pandas brings it

    one, two = a.to_numpy(), b.to_numpy()
    if one.dtype.kind in "iuf" and two.dtype.kind in "iuf":
        equal = np.isclose(one, two, rtol=_TOLERANCE, atol=0, equal_nan=True)
        if equal.all():
            return 0, ""
        far = np.abs(np.where(equal, 0, one.astype(float) - two.astype(float)))
        return int((~equal).sum()), f" by at most {float(np.nanmax(far)):.3g}"
    missing = np.asarray(a.isna()) & np.asarray(b.isna())
    equal = missing | np.asarray(one == two, dtype=bool)
    return int((~equal).sum()), ""


# --- pictures -----------------------------------------------------------------------------------------------------------------


def compare_outputs(a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]]) -> tuple[bool, str]:
    """What two attempts showed: figures by their pixels, text by its lines. Never raises."""
    parts = []
    ours, theirs = _images(a), _images(b)
    if len(ours) != len(theirs):
        parts.append(f"{len(ours)} -> {len(theirs)} figures")
    for number, (one, two) in enumerate(zip(ours, theirs, strict=False), start=1):
        same, told = (True, SAME) if one == two else compare_pictures(one, two)
        parts += [] if same else [f"figure {number}: {told}"]
    lines, others = _lines(a), _lines(b)
    if lines != others:
        import difflib  # noqa: PLC0415  only what differs needs it

        changed = sum(1 for line in difflib.ndiff(lines[:2000], others[:2000]) if line[:1] in "+-")
        parts.append(f"{changed} lines of text differ")
    return (False, "; ".join(parts)) if parts else (True, SAME)


def compare_pictures(a: bytes, b: bytes) -> tuple[bool, str]:
    """Two PNG pictures."""
    try:
        return _pictures(_read_picture(a), _read_picture(b))
    except Exception:  # noqa: BLE001  a library that is not there, or no picture
        return False, "another picture"


def _read_picture(data: bytes) -> Any:
    import numpy as np  # noqa: PLC0415  only pictures need them
    from PIL import Image  # noqa: PLC0415

    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


def _pixels_of(figure: Any) -> Any:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=72)
    return _read_picture(buffer.getvalue())


def _pictures(a: Any, b: Any) -> tuple[bool, str]:
    if a.shape != b.shape:
        return False, f"{a.shape[1]} x {a.shape[0]} -> {b.shape[1]} x {b.shape[0]} pixels"
    differ = float((a != b).any(axis=2).mean())
    return (True, SAME) if not differ else (False, f"{100 * differ:.2g} % of the pixels differ")


def _images(outputs: Sequence[Mapping[str, Any]]) -> list[bytes]:
    found = [output.get("data", {}).get("image/png") for output in outputs]
    return [base64.b64decode(image) for image in found if isinstance(image, str)]


def _lines(outputs: Sequence[Mapping[str, Any]]) -> list[str]:
    found: list[str] = []
    for output in outputs:
        text = output.get("text", "") if output.get("output_type") == "stream" else ""
        if not text and "image/png" not in output.get("data", {}):
            text = output.get("data", {}).get("text/plain", "")
        found += ("".join(text) if isinstance(text, list) else str(text)).splitlines()
    return found
