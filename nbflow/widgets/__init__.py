# SPDX-License-Identifier: BSD-3-Clause
"""What is drawn in a notebook through ipywidgets."""

from __future__ import annotations

from nbflow.widgets.panel import FlowPanel

__all__ = ["FlowPanel"]
