# SPDX-License-Identifier: BSD-3-Clause
"""`%nbflow backfill A B`: runs for past dates of what is deployed of this notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbflow.core.errors import UserError
from nbflow.notebook.scheduling import Scheduling
from nbflow.notebook.verbs import Asked, read_params

if TYPE_CHECKING:
    from nbflow.app.backfilling import Plan

#: Dates that are shown one by one.
_MOST = 40


class Backfilling(Scheduling):
    """As the other verbs about tonight: in a headless run it does nothing."""

    def backfill(self, asked: Asked) -> None:
        """Make one, say what one would do, or say how the last ones stand."""
        if not self._is_live:
            return
        from nbflow.app import backfilling  # noqa: PLC0415 - loading the extension stays quick
        from nbflow.views.backfill_words import say_made  # noqa: PLC0415 - as above

        name = asked["flow"] or self._deployed().name
        if not asked["dates"]:
            self._list(name)
            return
        if len(asked["dates"]) != 2:
            raise UserError("%nbflow backfill: give the first and the last date, such as %nbflow backfill 2026-01-01 2026-01-31.")
        start, until = asked["dates"]
        planned = backfilling.plan(
            self._workspace,
            name,
            start,
            until,
            reprocess=asked["reprocess"],
            max_active=asked["max_active"],
            reverse=asked["reverse"],
            ignore_past=asked["ignore_depends_on_past"],
            params=read_params(asked["param"]),
        )
        if asked["dry_run"]:
            self._show(planned)
            return
        made = backfilling.create(self._workspace, planned)
        if made is None:
            self._channel.write(backfilling.nothing(planned) + "\n")
            return
        lines = [say_made(made, planned.work, planned.range), *backfilling.later(planned), *backfilling.warnings(self._workspace, name)]
        self._channel.write("\n".join(lines) + "\n")

    def _show(self, planned: Plan) -> None:
        from nbflow.app import backfilling  # noqa: PLC0415 - as above
        from nbflow.views.backfill_words import say_counts, say_date, say_verdict  # noqa: PLC0415 - as above

        lines = [
            f"{say_date(date.logical_date, planned.zone)}  {say_verdict(date)}  {date.run_id}".rstrip() for date in planned.dates[:_MOST]
        ]
        if len(planned.dates) > _MOST:
            lines.append(f"and {len(planned.dates) - _MOST:,} more")
        lines += [f"{planned.asked.flow}, {planned.range}: {say_counts(planned.dates)}. Nothing was done.", *backfilling.later(planned)]
        self._channel.write("\n".join(lines) + "\n")

    def _list(self, name: str) -> None:
        from nbflow.app import backfilling  # noqa: PLC0415 - as above
        from nbflow.views.backfill_words import say_standing  # noqa: PLC0415 - as above

        found = backfilling.find(self._workspace, name, 5)
        lines = [say_standing(one.backfill, one.progress) for one in found]
        self._channel.write("\n".join(lines or [f"{name} has had no backfill: give the first and the last date."]) + "\n")
