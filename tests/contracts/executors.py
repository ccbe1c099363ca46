# SPDX-License-Identifier: BSD-3-Clause
"""What the executor tests listen with."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

from nbflow.core.ids import Token
from nbflow.core.job import AttemptBegan, ExecutorEvent, OutputMade, Report
from nbflow.core.protocols import Executor
from tests.unit.executors.runner import job

LIMIT = 120.0


class Heard:
    """Everything an executor has told, in order."""

    def __init__(self) -> None:
        self.events: list[ExecutorEvent] = []
        self._changed = threading.Condition()

    def __call__(self, event: ExecutorEvent) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def wait(self, is_there: Callable[[], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(is_there, LIMIT), f"not heard: {self.events}"

    def reports(self, token: str = "") -> list[Report]:
        return [event for event in self.events if isinstance(event, Report) and token in ("", event.token)]

    def report(self, token: str) -> Report:
        self.wait(lambda: self.reports(token))
        return self.reports(token)[0]

    def began(self, token: str) -> AttemptBegan:
        found = [event for event in self.events if isinstance(event, AttemptBegan) and event.token == token]
        if not found:
            self.wait(lambda: any(isinstance(event, AttemptBegan) and event.token == token for event in self.events))
            return self.began(token)
        return found[0]

    def text(self, token: str) -> str:
        return "".join(event.output["text"] for event in self.events if isinstance(event, OutputMade) and event.token == token)

    def line(self, token: str) -> str:
        """The first complete live line."""
        self.wait(lambda: "\n" in self.text(token))
        return self.text(token).split("\n")[0]


class Bench:
    """An executor and what it told, with tokens that are used once although every test calls its job "busy"."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.heard = Heard()
        self._own = uuid.uuid4()
        executor.start(self.heard)

    def token(self, name: str) -> Token:
        return Token(uuid.uuid5(self._own, name).hex)

    def submit(self, name: str, source: str, **facts: Any) -> None:
        self.executor.submit([job(source, token=self.token(name), **facts)])

    def cancel(self, *names: str) -> None:
        self.executor.cancel([self.token(name) for name in names])

    def began(self, name: str) -> AttemptBegan:
        return self.heard.began(self.token(name))

    def report(self, name: str) -> Report:
        return self.heard.report(self.token(name))

    def reports(self, name: str) -> list[Report]:
        return self.heard.reports(self.token(name))

    def line(self, name: str) -> str:
        return self.heard.line(self.token(name))
