# SPDX-License-Identifier: BSD-3-Clause
"""Who is told in a storm: a real webhook and a real mail server count the messages about every run that ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

from nbflow.app import Workspace
from nbflow.core.ids import FlowName
from nbflow.core.notifications import Sending
from tests.chaos.storm_flows import StormFlow
from tests.mail import mail_server
from tests.receivers import mail_url, webhook


class Alerts:
    """Every end is told to a webhook, every failure to somebody's mailbox, too."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._hook = self._open.enter_context(webhook())
        self._mails = self._open.enter_context(mail_server())
        self.summary = "nobody was told anything"

    def keys(self) -> dict[str, object]:
        """Of a schedule."""
        hook = self._hook.url()
        return {"notify": {"on_failure": [hook, mail_url(self._mails.port, "ada@example.org")], "on_success": [hook]}}

    def all_are_sent(self, workspace: Workspace, flows: Sequence[StormFlow]) -> bool:
        outbox = workspace.store.notifications
        made = len(outbox.notifications(limit=100_000))
        return made >= sum(self._expected(workspace, flows).values()) and not outbox.notifications(state=Sending.WAITING)

    def problems(self, workspace: Workspace, flows: Sequence[StormFlow], struck: Mapping[str, int]) -> Iterator[str]:
        """A message may arrive twice where a scheduler was killed, or the database went away, between sending it and writing that down."""
        received: Counter[tuple[str, str]] = Counter()
        twice = 0
        for place, keys in (("hook", self._hook.keys), ("mail", [str(mail["X-Nbflow-Key"]) for mail in self._mails.messages])):
            arrived = Counter(keys)
            twice += sum(arrived.values()) - len(arrived)
            received.update((place, key.rpartition("/")[0]) for key in arrived)
        expected = self._expected(workspace, flows)
        self.summary = f"{sum(received.values())} messages, {twice} of them twice"
        for about in sorted(expected.keys() | received.keys()):
            if expected[about] != received[about]:
                yield f"{about[1]}: {received[about]} messages by {about[0]}, not {expected[about]}"
        blows = sum(count for what, count in struck.items() if what.startswith(("scheduler: SIGKILL", "database")))
        if twice > blows:
            yield f"{twice} messages arrived twice, and only {blows} blows could have done that"

    @staticmethod
    def _expected(workspace: Workspace, flows: Sequence[StormFlow]) -> Counter[tuple[str, str]]:
        """One for each place and run."""
        runs = [run for flow in flows for run in workspace.store.deployments.ended(FlowName(flow.name), 100_000)]
        failed = [run for run in runs if run.state.value == "failed"]
        return Counter([*(("hook", run.run_id) for run in runs), *(("mail", run.run_id) for run in failed)])

    def close(self) -> None:
        self._open.close()
