# SPDX-License-Identifier: BSD-3-Clause
"""Attempts on a Dask cluster. Dask is told little and trusted with little: no retries, nothing kept.

On the home's own cluster jobs travel over a line (adr/0002); anywhere else, and when a job asks for resources, each is one thin Dask task, whose
report comes ahead of its result as an event of the worker; the result itself is fetched only when the event was lost.
"""

from __future__ import annotations

import logging
import pickle
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from nbflow.core.errors import SetupError
from nbflow.core.ids import Token
from nbflow.core.job import ExecutorEvent, Job
from nbflow.core.protocols import ArtifactStore
from nbflow.core.resources import Offers, unmet
from nbflow.executors import endings
from nbflow.executors.connection import Connection
from nbflow.executors.dask_client import topic_of
from nbflow.executors.line import Line
from nbflow.executors.returns import Returns, Sent
from nbflow.executors.sealed import seal

_log = logging.getLogger(__name__)
#: Seconds a worker has to end what was cancelled; more means that it hangs.
CANCEL_LIMIT: Final = 10.0
#: Seconds a worker has to answer once it is known that one of several hangs.
HUNG_LIMIT: Final = 3.0


class DaskExecutor:
    """`spec` is `local` (the home's cluster, started when there is none), an address, `scheduler_file:PATH`, or `cluster:CLASS?ARGUMENTS`.

    `artifacts` is asked about an attempt whose worker died: its manifest says how it had ended, its started mark that it had begun.
    `opener` opens the artifacts on a worker; with it, the workers of a foreign cluster must prove that they reach them.
    """

    def __init__(
        self,
        spec: str = "local",
        *,
        home: Path,
        artifacts_url: str = "",
        workers: int = 0,
        memory: int | None = None,
        idle: float = 600.0,
        artifacts: ArtifactStore | None = None,
        opener: Callable[[str], ArtifactStore] | None = None,
        runner: str = "",
    ) -> None:
        self.artifacts_url = artifacts_url
        self.connection = Connection(
            spec,
            home=home,
            artifacts_url=artifacts_url,
            workers=workers,
            memory=memory,
            idle=idle,
            artifacts=artifacts,
            opener=opener,
            runner=runner,
            connected=self._connected,
        )
        self.returns = Returns(artifacts)
        self.returns.lost_scheduler = self._lost_scheduler
        self._line: Line | None = None
        self._lining = threading.Lock()
        self._doomed: list[tuple[Token, Sent]] = []
        self._dooming = threading.Lock()
        self._cancelling = threading.Lock()

    def slots(self) -> int | None:
        """Threads of all workers; None while there is no worker."""
        return self.connection.slots()

    def offers(self) -> Offers | None:
        """Of the workers that are there; None while there is none."""
        return self.connection.offers()

    def start(self, tell: Callable[[ExecutorEvent], None]) -> None:
        self.returns.start(tell)
        self.connection.client()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Hand over. Raises SetupError when the cluster went away and cannot be reached again (or, a local one, started again)."""
        if not jobs:
            return
        client = self.connection.client()
        has_line = (
            self._line is not None
        )  # looked at once: another thread may just connect anew, and a job would go out twice, or not at all
        plain = [job for job in jobs if has_line and not job.resources]
        if plain:
            self._send_over_line(client, plain)
        for group in _alike(job for job in jobs if not has_line or job.resources):
            missing = self._missing(group[0].resources)
            self.returns.expect(group)  # a cancel may come from here on
            if missing:
                self._refuse(group, missing)
            else:
                self._send(client, group)

    def cancel(self, tokens: Sequence[Token]) -> None:
        """Forget the tasks and kill what runs; returns when the workers have confirmed it. Callers that come together are served together."""
        with self._dooming:
            self._doomed += self.returns.forget(tokens)
        with self._cancelling:  # whoever comes second finds its tokens done
            with self._dooming:
                doomed, self._doomed = self._doomed, []
            if doomed:
                self._end(doomed)

    def end(self, tokens: Sequence[Token]) -> None:
        """As `cancel`, for attempts of another client, on whatever worker they run."""
        if not tokens:
            return
        client = self.connection.client()
        try:
            self._end_on(client, tokens, client.scheduler_info(n_workers=-1)["workers"])
        except (OSError, TimeoutError, ValueError) as error:
            raise SetupError(
                "The Dask cluster does not confirm that the attempts of an earlier driver have ended: "
                f"look after its workers, then try again ({type(error).__name__} {error})."
            ) from None

    def close(self) -> None:
        """Cancel what still runs and disconnect. A local cluster stays for others and stops by itself; one of a class ends here."""
        self.connection.is_closed = True
        if self.connection.current is not None:
            self.cancel(list(self.returns.live))
        if self._line is not None:
            self._line.close()
        self.connection.close()
        self.returns.stop()

    # --- the connection --------------------------------------------------------------------------------------------------

    def _connected(self, client: Any) -> None:
        """A client is there, the first or another one."""
        line, self._line = self._line, None
        if line is not None:
            line.close()
        client.subscribe_topic(topic_of(client), self._on_event)
        if self.connection.facts is not None:
            self._open_line(client)

    def _on_event(self, event: tuple[float, Any]) -> None:
        """In the client's event loop: pickled events of attempts that are Dask tasks, or which worker holds the line."""
        said, line = event[1], self._line
        if isinstance(said, bytes):
            self.returns.hear(said)
        elif line is not None:
            line.answered(*said)

    def _lost_scheduler(self) -> bool:
        if not self.connection.is_closed:
            self.connection.is_broken = True
        return self.connection.is_closed

    # --- what goes out ---------------------------------------------------------------------------------------------------

    def _open_line(self, client: Any) -> Line:
        line = self._line = Line(client, self.returns.hear_out, self.returns.line_ended)
        line.open(topic_of(client))
        return line

    def _send_over_line(self, client: Any, jobs: Sequence[Job]) -> None:
        with self._lining:
            line = self._line
            while line is None or not self.returns.expect(jobs, line):  # its worker is gone; the nanny starts another
                line = self._open_line(client)
        line.send(jobs)

    def _send(self, client: Any, jobs: Sequence[Job]) -> None:
        from nbflow.executors.dask_worker import KEY_PREFIX, run_attempt  # noqa: PLC0415 - distributed, loaded with the client

        futures: Sequence[Any] = client.map(
            run_attempt,
            [pickle.dumps(seal(job), protocol=5) for job in jobs],
            key=[KEY_PREFIX + job.token for job in jobs],
            topic=topic_of(client),
            challenge=self.connection.challenge,
            pure=False,
            retries=0,
            priority=jobs[0].priority,
            resources=dict(jobs[0].resources) or None,
        )
        unwanted = [future for job, future in zip(jobs, futures, strict=True) if not self.returns.sent(job.token, future)]
        if unwanted:
            client.cancel(unwanted, force=True)

    def _missing(self, resources: Mapping[str, float]) -> str:
        """What no worker of a local cluster will ever offer; other clusters may grow one."""
        offers = self.connection.offers() if resources and self.connection.facts is not None else None
        return "" if offers is None else unmet(resources, offers)

    def _refuse(self, jobs: Sequence[Job], missing: str) -> None:
        reason = f"the local cluster does not offer {missing}: set `dask` to a cluster whose workers do (dask worker --resources)"
        for job in jobs:
            self.returns.hear(endings.unusable(endings.Facts(token=job.token), reason))

    # --- cancel ----------------------------------------------------------------------------------------------------------

    def _end(self, doomed: Sequence[tuple[Token, Sent]]) -> None:
        from nbflow.executors.dask_worker import KEY_PREFIX, forget  # noqa: PLC0415 - loaded with the client

        client = self.connection.current
        if client is None or client.status != "running":
            return  # the workers end what lost its client by themselves
        tokens = [token for token, _ in doomed]
        alone = [KEY_PREFIX + token for token, sent in doomed if sent.line is None]
        lines = {sent.line.address for _, sent in doomed if sent.line is not None}
        try:
            where = client.run_on_scheduler(forget, alone, client.id, callback_timeout=CANCEL_LIMIT) if alone else []
            # With limits, which these calls do not have of their own: a client that is closed meanwhile never answers.
            futures = [sent.future for _, sent in doomed if sent.future is not None]
            client.sync(partial(client.cancel, futures, asynchronous=True, force=True), callback_timeout=CANCEL_LIMIT)
            known = set(client.sync(client.scheduler.identity, n_workers=-1, callback_timeout=CANCEL_LIMIT)["workers"])
            # A worker that is told of a token before its job arrives will not run it; a line that is not open yet opens on any of them.
            among = known if "" in lines else lines
            workers = {*where, *among, *(sent.began.worker for _, sent in doomed if sent.began is not None)} & (known | set(where))
            self._end_on(client, tokens, workers)
        except (OSError, TimeoutError, ValueError, RuntimeError) as error:
            _log.warning("a cancellation was not confirmed by the cluster: %s", error)

    def _end_on(self, client: Any, tokens: Sequence[Token], workers: Iterable[str]) -> None:
        """Returns when nothing of these attempts runs on these workers. One that does not answer is killed by its nanny, its children with it."""
        from nbflow.executors.dask_worker import end_attempts  # noqa: PLC0415 - loaded with the client

        asked = sorted(workers)
        if not asked:
            return
        try:
            client.run(end_attempts, list(tokens), workers=asked, on_error="ignore", callback_timeout=CANCEL_LIMIT)
        except TimeoutError:
            for worker in asked:
                self._end_or_kill(client, tokens, worker)

    @staticmethod
    def _end_or_kill(client: Any, tokens: Sequence[Token], worker: str) -> None:
        from nbflow.executors.dask_worker import end_attempts  # noqa: PLC0415 - as above

        try:
            client.run(end_attempts, list(tokens), workers=[worker], on_error="ignore", callback_timeout=HUNG_LIMIT)
        except TimeoutError:
            _log.warning("the Dask worker %s does not answer: it is restarted", worker)
            client.restart_workers([worker], timeout=CANCEL_LIMIT, raise_for_error=False)


def _alike(jobs: Iterable[Job]) -> list[list[Job]]:
    """Jobs that one call to Dask can carry: same priority, same resources."""
    groups: dict[tuple[int, frozenset[tuple[str, float]]], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.priority, frozenset(job.resources.items())), []).append(job)
    return list(groups.values())
