# SPDX-License-Identifier: BSD-3-Clause
"""What this machine has to give to the tasks of a local cluster: processors, memory, disk, and graphics processors if there are any."""

from __future__ import annotations

import shutil
from pathlib import Path


def machine_offers(home: Path) -> dict[str, float]:
    """`{"CPU": 8, "MEM": 3.2e10, "DISK": 5e11}`, and `GPU` where there is one; limits of a container count. Imports distributed."""
    from dask.system import CPU_COUNT  # noqa: PLC0415 - a second of imports, wanted only where a task asks for resources
    from distributed.system import MEMORY_LIMIT  # noqa: PLC0415 - as above

    folder = next(folder for folder in (home, *home.parents) if folder.exists())
    found = {"CPU": float(CPU_COUNT), "MEM": float(MEMORY_LIMIT), "DISK": float(shutil.disk_usage(folder).free)}
    gpus = _graphics_processors()
    return {**found, "GPU": float(gpus)} if gpus else found


def _graphics_processors() -> int:
    from distributed.diagnostics import nvml  # noqa: PLC0415 - as above

    try:
        return int(nvml.device_get_count())
    except Exception:  # noqa: BLE001 - whatever a driver that is half installed raises: then there is none to use
        return 0
