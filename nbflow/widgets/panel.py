# SPDX-License-Identifier: BSD-3-Clause
"""The live panel of a flow."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import anywidget
import traitlets

STATIC: Final = Path(__file__).parent / "static"


class FlowPanel(anywidget.AnyWidget):
    """A flow's graph, kept up to date."""

    _esm = STATIC / "widget.js"
    _css = STATIC / "widget.css"
    graph = traitlets.Dict().tag(sync=True)
