# SPDX-License-Identifier: BSD-3-Clause
"""What a scheduler answers over HTTP to whoever watches it: `/health` and `/metrics`, nothing else."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from nbflow.app import Workspace
from nbflow.app.health import health, health_json
from nbflow.app.metrics import CONTENT_TYPE, metrics_text
from nbflow.core.errors import NbflowError, SetupError

#: Seconds without a turn after which a scheduler is not well: a turn that fails waits for at most 30 s.
STUCK: Final = 90.0
JSON: Final = "application/json"


class Watched:
    """Serves both on a port until it is closed. `loop` says how long the last turn took, and how long ago it ended."""

    def __init__(self, workspace: Workspace, host: str, port: int, loop: Callable[[], tuple[float, float]]) -> None:
        """Raises SetupError when the port cannot be had."""
        answers = {"/health": lambda: _health(workspace, loop), "/metrics": lambda: _metrics(workspace, loop)}

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10  # whoever says nothing for so long is not listened to

            def do_GET(self) -> None:
                answer = answers.get(self.path.partition("?")[0])
                status, kind, body = answer() if answer is not None else (404, "text/plain", b"There is /health, and /metrics.\n")
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """A scrape is no news."""

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise SetupError(
                f"Health and metrics cannot be served on {host}:{port} ({why}): choose another --metrics-port or --host."
            ) from None
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="nbflow-watched", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _health(workspace: Workspace, loop: Callable[[], tuple[float, float]]) -> tuple[int, str, bytes]:
    """200 while this scheduler turns and the database answers. That something else is late is said, but restarting this process is no help."""
    seconds, ago = loop()
    try:
        told = health_json(health(workspace))
    except NbflowError as error:
        told = {"status": "failing", "problems": [str(error)]}
    if ago > STUCK:
        told["status"] = "failing"
        told["problems"] = [f"The scheduler has not ended a turn for {ago:.0f} s: look at its log.", *told["problems"]]
    told["loop_seconds"] = round(seconds, 4)
    return 503 if told["status"] == "failing" else 200, JSON, json.dumps(told, indent=2).encode() + b"\n"


def _metrics(workspace: Workspace, loop: Callable[[], tuple[float, float]]) -> tuple[int, str, bytes]:
    try:
        return 200, CONTENT_TYPE, metrics_text(workspace, loop()[0])
    except NbflowError as error:
        return 503, "text/plain; charset=utf-8", f"{error}\n".encode()
