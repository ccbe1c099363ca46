# SPDX-License-Identifier: BSD-3-Clause
"""A webhook of this process that keeps what it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Webhook:
    """Answers 200 unless told otherwise."""

    port: int = 0
    status: int = 200
    told: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    #: Called before it answers.
    before: Callable[[], None] = lambda: None

    def url(self, path: str = "hook") -> str:
        return f"json://127.0.0.1:{self.port}/{path}"

    def titles(self) -> list[str]:
        return [one["title"] for one in self.told]


@contextmanager
def webhook() -> Iterator[Webhook]:
    kept = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if kept.status == 200:
                kept.told.append(json.loads(body))
                kept.keys.append(self.headers.get("Idempotency-Key", ""))
            kept.before()
            self.send_response(kept.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def mail_url(port: int, to: str) -> str:
    """An address at the mail server of this port."""
    return f"mailto://127.0.0.1:{port}/?from=nbflow@example.org&to={to}&mode=insecure"
