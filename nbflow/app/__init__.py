# SPDX-License-Identifier: BSD-3-Clause
"""The hall: the only place that knows every room. `Workspace` builds them from the settings and offers the use cases the doors need."""

from nbflow.app.rooms import Rooms, RunHandle, SystemClock
from nbflow.app.workspace import Workspace

__all__ = ["Rooms", "RunHandle", "SystemClock", "Workspace"]
