# SPDX-License-Identifier: BSD-3-Clause
"""Attempts on a Dask cluster. Dask is told little and trusted with little: one thin task for each attempt, no retries, nothing kept.

A report comes ahead of the task's result as an event of the worker, in the same stream; the result itself is fetched only when the event was lost.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from nbflow.core.errors import SetupError
from nbflow.core.ids import Token
from nbflow.core.job import AttemptBegan, ExecutorEvent, Job, Report
from nbflow.core.protocols import ArtifactStore
from nbflow.executors import cluster, endings
from nbflow.executors.cluster_class import PREFIX, OwnCluster, parse_cluster
from nbflow.executors.dask_client import (
    CONNECT_LIMIT,
    check_cluster,
    close_quietly,
    import_dask,
    open_client,
    prove_workers,
    resolve,
    topic_of,
)
from nbflow.executors.proof import Challenge

_log = logging.getLogger(__name__)
#: Seconds a worker has to end what was cancelled; more means that it hangs.
CANCEL_LIMIT: Final = 10.0
#: Times the home's cluster may fail to answer in `CONNECT_LIMIT` seconds before it is started again: a busy machine is slow.
HOME_PATIENCE: Final = 4
#: Seconds a worker has to answer once it is known that one of several hangs.
HUNG_LIMIT: Final = 3.0
#: Seconds for which the number of slots of a foreign cluster is believed.
_SLOTS_AGE: Final = 5.0


@dataclass
class _Sent:
    """An attempt whose report is still to come."""

    artifacts_url: str
    future: Any = None
    #: Which one of its bundle it is; None when its Dask task is its own.
    place: int | None = None
    began: AttemptBegan | None = None


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
        self._spec, self._home, self._runner = spec, home, runner
        self._workers, self._memory, self._idle = workers, memory, idle
        self._artifacts = artifacts
        self._challenge = Challenge(url=artifacts_url, opener=opener) if opener is not None and spec != "local" else None
        #: Schedulers whose workers have proved themselves.
        self._proven: set[str] = set()
        self._own: OwnCluster | None = None
        self._lock = threading.Lock()
        self._connecting = threading.Lock()
        self._live: dict[Token, _Sent] = {}
        self._doomed: list[tuple[Token, _Sent]] = []
        self._cancelling = threading.Lock()
        self._client: Any = None
        self._is_broken = False
        self._is_closed = False
        self._slots: tuple[float, int | None] = (0.0, None)
        self._facts: cluster.ClusterFacts | None = None
        self._heard: queue.SimpleQueue[bytes | ExecutorEvent | Callable[[], None] | None] = queue.SimpleQueue()
        self._listener: threading.Thread | None = None
        self._tell: Callable[[ExecutorEvent], None] = lambda _: None

    def slots(self) -> int | None:
        """Threads of all workers; None while there is no worker."""
        if self._facts is not None:
            return self._facts.slots
        age, slots = self._slots
        if self._client is not None and time.monotonic() - age > _SLOTS_AGE:
            with contextlib.suppress(OSError, ValueError):
                slots = sum(self._client.nthreads().values()) or None
                self._slots = (time.monotonic(), slots)
        return slots

    def start(self, tell: Callable[[ExecutorEvent], None]) -> None:
        self._tell = tell
        if self._listener is None:
            self._listener = threading.Thread(target=self._listen, name="nbflow-dask-listener", daemon=True)
            self._listener.start()
        self._connected()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Hand over. Raises SetupError when the cluster went away and cannot be reached again (or, a local one, started again)."""
        if not jobs:
            return
        client = self._connected()
        groups = _alike(jobs)
        with self._lock:  # a cancel may come from here on
            for group in groups:
                is_bundle = self._may_bundle(group)
                self._live.update(
                    (job.token, _Sent(job.artifacts_url, place=place if is_bundle else None)) for place, job in enumerate(group)
                )
        for group in groups:
            missing = self._missing(group[0].resources)
            if missing:
                self._refuse(group, missing)
                continue
            if self._may_bundle(group):
                self._follow(client, [group], [self._send_bundle(client, group)])
            else:
                self._follow(client, [[job] for job in group], self._send(client, group))

    def _may_bundle(self, jobs: Sequence[Job]) -> bool:
        """Several jobs may be one Dask task where one worker holds all slots: wherever they were sent, they would wait for the same children."""
        return self._facts is not None and len(jobs) > 1 and not jobs[0].resources

    def _send(self, client: Any, jobs: Sequence[Job]) -> Sequence[Any]:
        from nbflow.executors.dask_worker import KEY_PREFIX, run_attempt  # noqa: PLC0415 - distributed, loaded with the client

        futures: Sequence[Any] = client.map(
            run_attempt,
            [pickle.dumps(job, protocol=5) for job in jobs],
            key=[KEY_PREFIX + job.token for job in jobs],
            topic=topic_of(client),
            challenge=self._challenge,
            pure=False,
            retries=0,
            priority=jobs[0].priority,
            resources=dict(jobs[0].resources) or None,
        )
        return futures

    @staticmethod
    def _send_bundle(client: Any, jobs: Sequence[Job]) -> Any:
        from nbflow.executors.dask_worker import BUNDLE_PREFIX, run_bundle  # noqa: PLC0415 - as above

        return client.submit(
            run_bundle,
            pickle.dumps(list(jobs), protocol=5),
            key=BUNDLE_PREFIX + jobs[0].token,
            topic=topic_of(client),
            pure=False,
            retries=0,
            priority=jobs[0].priority,
        )

    def cancel(self, tokens: Sequence[Token]) -> None:
        """Forget the tasks and kill what runs; returns when the workers have confirmed it. Callers that come together are served together."""
        with self._lock:
            self._doomed += [(token, self._live.pop(token)) for token in tokens if token in self._live]
        with self._cancelling:  # whoever comes second finds its tokens done
            with self._lock:
                doomed, self._doomed = self._doomed, []
            if doomed:
                self._end(doomed)

    def end(self, tokens: Sequence[Token]) -> None:
        """As `cancel`, for attempts of another client, on whatever worker they run."""
        if not tokens:
            return
        client = self._connected()
        try:
            self._end_on(client, tokens, client.scheduler_info(n_workers=-1)["workers"])
        except (OSError, TimeoutError, ValueError) as error:
            raise SetupError(
                "The Dask cluster does not confirm that the attempts of an earlier driver have ended: "
                f"look after its workers, then try again ({type(error).__name__} {error})."
            ) from None

    def close(self) -> None:
        """Cancel what still runs and disconnect. A local cluster stays for others and stops by itself; one of a class ends here."""
        with self._lock:
            tokens = list(self._live)
            self._is_closed = True
        if self._client is not None:
            self.cancel(tokens)
            self._disconnect(self._client)
            self._client = None
        self._end_own_cluster()
        if self._challenge is not None and self._proven and self._artifacts is not None:
            with contextlib.suppress(SetupError):  # a mark that stays does no harm
                self._artifacts.delete_mark(self._challenge.name)
        if self._listener is not None:
            self._heard.put(None)
            self._listener = None

    # --- the connection --------------------------------------------------------------------------------------------------

    def _connected(self) -> Any:
        """A client that works, made anew after the connection was lost."""
        with self._connecting:
            if self._is_closed:
                raise SetupError("This executor was closed: make a new one.")
            if self._client is not None and not self._is_broken and self._client.status == "running":
                return self._client
            if self._client is not None:
                old, self._client = self._client, None
                threading.Thread(target=close_quietly, args=(old,), daemon=True).start()
            self._client, self._is_broken = self._connect(), False
            return self._client

    def _connect(self) -> Any:
        client = self._home_client() if self._spec == "local" else self._foreign_client(self._address())
        client.scheduler_comm.interval = 0  # stock 10 ms: half of a short task's round trip
        client.subscribe_topic(topic_of(client), self._on_event)
        return client

    def _home_client(self) -> Any:
        """A client of the home's cluster. One that died meanwhile is started again; one that hangs is ended first."""
        importing = threading.Thread(target=import_dask, name="nbflow-import", daemon=True)
        importing.start()  # while the cluster does the same
        silent, was_ended = 0, False
        while True:
            facts = cluster.connect_home_cluster(
                self._home, workers=self._workers, memory=self._memory, idle=self._idle, runner=self._runner
            )
            silent = silent + 1 if facts == self._facts else 1
            self._facts = facts
            importing.join()
            try:
                return open_client(facts.address)
            except SetupError:
                if silent < HOME_PATIENCE:
                    continue
                if was_ended:
                    raise
            _log.warning("the local cluster at %s does not answer: it is started again", facts.address)
            cluster.stop_home_cluster(self._home)
            silent, was_ended = 0, True

    def _foreign_client(self, address: str) -> Any:
        client = None
        try:
            client = open_client(address, self._own.cluster if self._own is not None else None)
            self._prove(client, address)
        except SetupError:
            if client is not None:
                close_quietly(client)
            self._end_own_cluster()
            raise
        return client

    def _address(self) -> str:
        """Of the cluster the setting names; one of a class is started, again when it has ended."""
        if not self._spec.startswith(PREFIX):
            return resolve(self._spec)
        if self._own is not None and not self._own.is_running:
            self._end_own_cluster()
        if self._own is None:
            import_dask()
            try:
                self._own = OwnCluster(parse_cluster(self._spec))
            except ValueError as error:
                raise SetupError(f'dask is "{self._spec}", but {error}.') from None
        return self._own.address

    def _end_own_cluster(self) -> None:
        own, self._own = self._own, None
        if own is not None:
            own.close()

    def _prove(self, client: Any, address: str) -> None:
        """That both sides fit together, once for each scheduler. Raises SetupError."""
        scheduler = client.scheduler_info(n_workers=0)["id"]
        if scheduler in self._proven:
            return
        check_cluster(client, address)
        if self._challenge is not None and self._artifacts is not None:
            prove_workers(client, self._challenge, self._artifacts)
        self._proven.add(scheduler)

    def _disconnect(self, client: Any) -> None:
        from nbflow.executors.dask_worker import drop_topic  # noqa: PLC0415 - loaded with the client

        with contextlib.suppress(OSError, TimeoutError):
            if client.status == "running":
                client.unsubscribe_topic(topic_of(client))
                client.run_on_scheduler(drop_topic, topic_of(client), callback_timeout=CONNECT_LIMIT)
            client.close(timeout=CONNECT_LIMIT)

    # --- what goes out ---------------------------------------------------------------------------------------------------

    def _missing(self, resources: Mapping[str, float]) -> str:
        """A resource that no worker of a local cluster will ever offer; other clusters may grow one."""
        if self._facts is None:
            return ""
        offered = {cluster.HOST_RESOURCE: cluster.HOSTED_NOTEBOOKS}
        return next((f"{name}={amount:g}" for name, amount in resources.items() if amount > offered.get(name, 0)), "")

    def _refuse(self, jobs: Sequence[Job], missing: str) -> None:
        reason = f"the local cluster does not offer {missing}: set `dask` to a cluster whose workers do (dask worker --resources)"
        for job in jobs:
            self._heard.put(endings.unusable(endings.Facts(token=job.token), reason))

    def _follow(self, client: Any, groups: Sequence[Sequence[Job]], futures: Sequence[Any]) -> None:
        unwanted = []
        for jobs, future in zip(groups, futures, strict=True):
            with self._lock:
                waiting = [job.token for job in jobs if job.token in self._live]
                for token in waiting:
                    self._live[token].future = future
            if waiting:
                future.add_done_callback(lambda future, tokens=waiting: self._ended(tokens, future))
            else:
                unwanted.append(future)  # cancelled, or reported already; in both cases nobody waits for it
        if unwanted:
            client.cancel(unwanted, force=True)

    # --- what comes back -------------------------------------------------------------------------------------------------

    def _on_event(self, event: tuple[float, Any]) -> None:
        """In the client's event loop: the listener does the work."""
        self._heard.put(event[1])

    def _listen(self) -> None:
        while (batch := self._heard.get()) is not None:
            if callable(batch):
                batch()
                continue
            events = pickle.loads(batch) if isinstance(batch, bytes) else [batch]  # noqa: S301 - from our own workers
            for event in events:
                try:
                    self._say(event)
                except Exception:  # noqa: BLE001 - whoever listens may fail; the next event must still be heard
                    _log.exception("an event of attempt %s was not heard", event.token)

    def _say(self, event: ExecutorEvent) -> None:
        with self._lock:
            sent = self._live.get(event.token)
            if sent is None:
                return
            if isinstance(event, AttemptBegan):
                sent.began = event
            elif isinstance(event, Report):
                del self._live[event.token]
        self._tell(event)

    def _unheard(self, tokens: Sequence[Token]) -> list[tuple[Token, _Sent]]:
        with self._lock:
            return [(token, self._live[token]) for token in tokens if token in self._live]

    def _ended(self, tokens: Sequence[Token], future: Any) -> None:
        """Dask says that the task is over, on a thread of its own; nearly always the reports are there already."""
        waiting = self._unheard(tokens)
        if waiting:
            heard = threading.Event()
            self._heard.put(heard.set)  # what came before this is heard first
            heard.wait(CONNECT_LIMIT)
            waiting = self._unheard(tokens)
        for token, sent in waiting:
            with contextlib.suppress(Exception):  # whatever Dask raises here, the report below says that it is lost
                report = self._fetch(token, sent, future)
                if report is not None:
                    self._heard.put(report)
        future.release()

    def _fetch(self, token: Token, sent: _Sent, future: Any) -> Report | None:
        status = future.status
        if status == "finished":
            return self._result(token, sent, future)
        if status == "error":
            return self._error(token, sent, future.exception())
        if self._is_closed:
            return None
        self._is_broken = True
        return self._lost(token, sent, "the connection to the Dask scheduler was lost")

    def _result(self, token: Token, sent: _Sent, future: Any) -> Report | None:
        try:
            data = future.result(timeout=CONNECT_LIMIT)
        except Exception as error:  # noqa: BLE001 - the worker is gone with the result, or anything Dask raises
            return self._lost(token, sent, f"its report could not be fetched: {error}")
        if data is not None and sent.place is not None:
            data = data[sent.place]
        if data is None:
            return self._lost(token, sent, "the Dask worker gave it up")
        report: Report = pickle.loads(data)  # noqa: S301 - from our own workers
        return report

    def _error(self, token: Token, sent: _Sent, error: BaseException | None) -> Report:
        from distributed import KilledWorker  # noqa: PLC0415 - loaded with the client

        if isinstance(error, KilledWorker):
            return self._lost(token, sent, f"its Dask worker {getattr(error.last_worker, 'address', '')} died")
        return endings.unusable(endings.Facts(token=token), f"the Dask worker could not run it: {type(error).__name__}: {error}")

    def _lost(self, token: Token, sent: _Sent, reason: str) -> Report:
        """Nothing came back: perhaps the attempt had ended and its manifest says how, else it is lost."""
        report = self._manifest(token)
        if report is not None:
            return report
        began = sent.began
        started_at = began.at if began else self._started_mark(token)
        return endings.lost(endings.Facts(token=token, worker=began.worker if began else "", started_at=started_at), reason)

    def _manifest(self, token: Token) -> Report | None:
        """The report as it was written down where the values are, before it was sent."""
        data = self._artifacts.read_mark(f"{token}.manifest") if self._artifacts is not None else None
        report: Report | None = pickle.loads(data) if data is not None else None  # noqa: S301 - written by our own workers
        return report

    def _started_mark(self, token: Token) -> datetime | None:
        """When user code began, by the mark that stands in the artifact store; its text is an ISO instant, or anything."""
        if self._artifacts is None:
            return None
        mark = self._artifacts.read_mark(f"{token}.started")
        if mark is None:
            return None
        try:
            instant = datetime.fromisoformat(mark.decode())
        except ValueError:
            return datetime.now(UTC)
        return instant if instant.tzinfo else instant.replace(tzinfo=UTC)

    # --- cancel ----------------------------------------------------------------------------------------------------------

    def _end(self, doomed: Iterable[tuple[Token, _Sent]]) -> None:
        from nbflow.executors.dask_worker import KEY_PREFIX, forget  # noqa: PLC0415 - loaded with the client

        pairs = list(doomed)
        client = self._client
        if client is None or client.status != "running":
            return  # the workers end what lost its client by themselves
        tokens = [token for token, _ in pairs]
        futures = [sent.future for _, sent in pairs if sent.future is not None and sent.place is None]
        alone = [KEY_PREFIX + token for token, sent in pairs if sent.place is None]
        try:
            where = client.run_on_scheduler(forget, alone, client.id, callback_timeout=CANCEL_LIMIT) if alone else []
            client.cancel(futures, force=True)
            known = set(client.scheduler_info(n_workers=-1)["workers"])
            # A worker that is told of a bundled job before the bundle arrives will not run it.
            among = known if len(alone) < len(pairs) else set()
            workers = {*where, *among, *(sent.began.worker for _, sent in pairs if sent.began is not None)} & (known | set(where))
            self._end_on(client, tokens, workers)
        except (OSError, TimeoutError, ValueError) as error:
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


def _alike(jobs: Sequence[Job]) -> list[list[Job]]:
    """Jobs that one call to Dask can carry: same priority, same resources."""
    groups: dict[tuple[int, frozenset[tuple[str, float]]], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.priority, _frozen(job.resources)), []).append(job)
    return list(groups.values())


def _frozen(resources: Mapping[str, float]) -> frozenset[tuple[str, float]]:
    return frozenset(resources.items())
