# SPDX-License-Identifier: BSD-3-Clause
"""The web page of an executed notebook."""

from __future__ import annotations

from pathlib import Path

from nbflow.core.errors import UserError


def notebook_html(path: Path) -> Path:
    """The web page of an executed notebook, written beside it when it is not there yet or older. Raises UserError."""
    page = path.with_suffix(".html")
    try:
        if page.exists() and page.stat().st_mtime >= path.stat().st_mtime:
            return page.resolve()
        from nbconvert import HTMLExporter  # noqa: PLC0415 - slow to import

        text, _ = HTMLExporter().from_filename(str(path))
        page.write_text(text, encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"The executed notebook {path} is not there any more.") from None
    except OSError as error:
        raise UserError(f"{page} cannot be written: {error.strerror}.") from None
    return page.resolve()
