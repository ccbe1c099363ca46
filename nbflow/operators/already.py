# SPDX-License-Identifier: BSD-3-Clause
"""`--unless-exists URL`: a task whose result is there already, as a file or behind any fsspec URL, does not run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nbflow.core.errors import UserError
from nbflow.operators.bash import render


def found_already(template: str, names: dict[str, Any]) -> str:
    """The rendered URL when something is there, else "". Raises UserError when that cannot be found out."""
    try:
        url = render(template, names).strip()
    except Exception as error:  # templates run expressions over the user's values
        raise UserError(f"--unless-exists {template} cannot be rendered: {error}") from error
    if not url:
        raise UserError(f"--unless-exists {template} names nothing here: write a path or a URL.")
    return url if _exists(url) else ""


def _exists(url: str) -> bool:
    if "://" not in url and "::" not in url:
        return Path(url).expanduser().exists()
    import fsspec  # noqa: PLC0415  only URLs need it

    try:
        files, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
        return bool(files.exists(path))
    except Exception as error:  # whatever a file system raises means the same here
        said = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"--unless-exists {url} cannot be looked at: {said}") from error
