# SPDX-License-Identifier: BSD-3-Clause
"""What was heard of an attempt while it ran. The report has everything; this is kept for attempts that never report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nbflow.core.job import OutputsRef

#: Bytes of JSON kept of an attempt that did not report; older outputs go first.
_LIMIT = 256 * 1024


class LiveOutputs:
    """A bounded list of nbformat outputs; neighbouring pieces of one stream are one output."""

    def __init__(self) -> None:
        self._outputs: list[dict[str, Any]] = []

    def add(self, output: Mapping[str, Any]) -> None:
        kind = output.get("output_type")
        if kind == "clear_output":
            self._outputs.clear()
            return
        if kind == "update_display_data":
            return
        last = self._outputs[-1] if self._outputs else None
        if kind == "stream" and last is not None and last["output_type"] == "stream" and last["name"] == output["name"]:
            last["text"] = (last["text"] + output["text"])[-_LIMIT:]
            return
        self._outputs.append({key: value for key, value in output.items() if key != "transient"})

    def ref(self) -> OutputsRef:
        """The outputs as a record keeps them."""
        outputs = list(self._outputs)
        while (size := len(json.dumps(outputs))) > _LIMIT and len(outputs) > 1:
            outputs.pop(0)
        return OutputsRef(inline=tuple(outputs), size=size)
