# SPDX-License-Identifier: BSD-3-Clause
"""Telling people: the rooms `scheduler` (what is to be told) and `notify` (sending it), over the settings and connections of one home."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from nbflow.app.rooms import person
from nbflow.core.addresses import address_hash, is_url, shown
from nbflow.core.deployments import AuditEntry, Deployment
from nbflow.core.errors import FlowError, NbflowError, Problem, SetupError, UserError, nearest
from nbflow.core.model import Flow
from nbflow.core.notices import KEYS, Installation, Topic, audience, read_notify
from nbflow.core.notifications import Notification, Sending
from nbflow.engine.owner import is_dead, me
from nbflow.notify.delivering import Deliverer
from nbflow.scheduler.noticing import Noticing
from nbflow.settings import Settings

if TYPE_CHECKING:
    from nbflow.app.history import History
    from nbflow.app.workspace import Workspace
    from nbflow.core.connections import Connection

_CODE: Final = "notify"


def installation(settings: Settings) -> Installation:
    """What the settings say; they were checked when they were read."""
    notify = json.loads(settings.notify) if settings.notify else {}
    owners = json.loads(settings.owners) if settings.owners else {}
    return Installation(notify=read_notify(notify) if notify else {}, owners={name: tuple(found) for name, found in owners.items()})


class Notifier:
    """Finds out what is to be told, and sends it."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        said = installation(workspace.settings)
        self._settings = {address_hash(address): address for address in said.addresses()}
        self.noticing = Noticing(
            store=workspace.store,
            installation=said,
            zone_of=lambda keys: zone_of(workspace.settings, keys),
            base_url=workspace.settings.base_url,
        )
        self.deliverer = Deliverer(outbox=workspace.store.notifications, owner=me(), send=self._send, is_dead=is_dead)

    def turn(self) -> None:
        """Everything there is to tell now is told."""
        clock = self._workspace.clock
        self.noticing.tick(clock.now())
        self.deliverer.deliver(clock.now)

    def _send(self, one: Notification) -> None:
        from nbflow.notify.sending import send  # noqa: PLC0415 - Apprise is loaded with the first message

        address = one.address or self._settings.get(one.address_hash)
        if address is None:
            raise UserError(f"{one.shown} does not stand in nbflow.toml any more.")
        url = resolved(self._workspace, address)
        send(url, subject=one.subject, text=one.text, markdown=one.markdown, key=one.key, topic=one.topic)


def resolved(workspace: History, address: str) -> str:
    """The URL: of a connection, the one it holds. Raises UserError, SetupError."""
    if is_url(address):
        return address
    connection = workspace.secrets.connection(address)
    return mail_url(connection) if connection.type in {"smtp", "smtps"} else connection.url


def mail_url(connection: Connection) -> str:
    """A mail server that tasks use too, `smtp://login:password@host:587?from=...&to=...`, as Apprise writes it. Raises UserError."""
    extra = connection.extra
    if not extra.get("to"):
        raise UserError(f"{connection} says nobody to write to: add ?from=...&to=... to its URL, or a mailto:// connection.")
    to = extra["to"] if isinstance(extra["to"], str) else ",".join(map(str, extra["to"]))
    said = {
        "smtp": connection.host,
        "from": extra.get("from") or connection.login or "nbflow",
        "to": to,
        "mode": extra.get("mode") or ("ssl" if connection.type == "smtps" else "starttls"),
    }
    login = f"{quote(connection.login, safe='')}:{quote(connection.password, safe='')}@" if connection.login else ""
    port = connection.port or (465 if connection.type == "smtps" else 587)
    scheme = "mailto" if said["mode"] == "insecure" else "mailtos"
    return f"{scheme}://{login}{connection.host}:{port}/?{urlencode(said)}"


def zone_of(settings: Settings, keys: Mapping[str, Any]) -> tzinfo:
    from nbflow.authoring.schedules import read_zone  # noqa: PLC0415 - croniter is loaded when a schedule is read

    return read_zone(str(keys.get("timezone") or settings.timezone))


def send_test(workspace: Workspace, target: str) -> tuple[str, ...]:
    """Send a message to this URL, connection or owner, now; returns what is shown of where it went. Raises UserError, NotSent."""
    from nbflow.notify.sending import check_address, send  # noqa: PLC0415 - as above

    owners = installation(workspace.settings).owners
    addresses = owners.get(target, (target,))
    urls = {}
    for address in addresses:
        urls[address] = _found(workspace, address, owners)
        check_address(urls[address])
    for address, url in urls.items():
        text = f"If you read this, {shown(address)} can be told of runs."
        send(url, subject="nbflow: a test", text=text, markdown="", key=f"test/{workspace.clock.now().isoformat()}", topic="success")
    return tuple(shown(address) for address in urls)


def _found(workspace: Workspace, address: str, owners: Iterable[str]) -> str:
    known = [one.name for one in workspace.store.secrets.connections()]
    if not is_url(address) and address not in known:
        hint = nearest(address, [*known, *owners]) or " Write a URL such as mailto://..., or make it with nbflow connections set."
        raise UserError(f'"{address}" is no URL, and there is no connection and no owner of that name.{hint}')
    return resolved(workspace, address)


def send_again(workspace: Workspace, id: int) -> Notification:
    """Try a message that failed again, now; returns it as it stands then. Raises UserError for one that waits or was sent."""
    outbox = workspace.store.notifications
    outbox.send_again(id, workspace.clock.now())
    Notifier(workspace).deliverer.deliver(workspace.clock.now, only=[id])
    return outbox.notification(id)


def acknowledge(workspace: Workspace, run_id: str, by: str = "") -> str:
    """Nobody else is told that this run is still broken; returns what there is to say. Raises UserError for an unknown run."""
    run = workspace.run(run_id)
    who = by or person()
    if not workspace.store.notifications.acknowledge(run.run_id, who or "somebody"):
        return f"There is nothing more to tell of run {run.run_id}."
    entry = AuditEntry(at=workspace.clock.now(), by=who, what="acknowledge", about=run.deployment or run.flow, detail=run.run_id)
    workspace.store.deployments.note(entry)
    return f"Nobody else is told of run {run.run_id}."


# --- before anything is told ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where addresses stand."""

    called: str
    addresses: tuple[str, ...]
    cell: int = 0
    line: int = 0


def notice_problems(workspace: History, flow: Flow) -> tuple[Problem, ...]:
    """Addresses of this flow that nothing can be sent to, and owners that nobody can reach."""
    places = (*_of_header(flow), *_of_tasks(flow))
    found = [
        Problem(cell=place.cell, line=place.line, message=f"{place.called}: {wrong}", code=_CODE)
        for place in places
        for wrong in _wrong(workspace, place.addresses)
    ]
    return (*found, *_unknown_owners(workspace, flow), *_for_nobody(workspace, flow))


def refuse_notices(workspace: History, flow: Flow) -> None:
    """Raises FlowError with every problem that is no warning."""
    problems = [problem for problem in notice_problems(workspace, flow) if problem.severity == "error"]
    if problems:
        raise FlowError(problems, flow.path)


def check_settings(workspace: History) -> None:
    """Raises SetupError for an address in the settings that nothing can be sent to."""
    for wrong in _wrong(workspace, installation(workspace.settings).addresses()):
        raise SetupError(f"notify and owners of nbflow.toml: {wrong}")


def _wrong(workspace: History, addresses: Iterable[str]) -> Iterator[str]:
    from nbflow.notify.sending import check_address  # noqa: PLC0415 - as above

    for address in addresses:
        try:
            check_address(resolved(workspace, address))
        except NbflowError as error:
            yield str(error) if is_url(address) or "connection" in str(error) else f"connection {address}: {error}"


def _of_header(flow: Flow) -> Iterator[_Place]:
    document = flow.options.schedule.get("notify") or {}
    named = {("notify", key): tuple(document[key]) for key in KEYS if document.get(key)}
    if "escalate" in document:
        named["notify", "escalate"] = tuple(document["escalate"]["to"])
    if not named:
        return
    cell, lines = _header_lines(flow.path)
    for path, addresses in named.items():
        yield _Place(called=".".join(path), addresses=addresses, cell=cell, line=lines.get(path, 0))


def _header_lines(path: str) -> tuple[int, Mapping[tuple[str, ...], int]]:
    """The cell of the notebook that holds the header, and the lines of its keys; nothing where there is no such file."""
    from nbflow.authoring.header import read_header  # noqa: PLC0415 - as above
    from nbflow.authoring.notebook_file import read_notebook  # noqa: PLC0415 - as above

    if not path.endswith(".ipynb") or not Path(path).is_file():
        return 0, {}
    with contextlib.suppress(UserError):
        for cell in read_notebook(path).cells:
            if cell.source.lstrip().startswith("%%flow"):
                return cell.number, read_header(cell.source, cell.number).lines
    return 0, {}


def _of_tasks(flow: Flow) -> Iterator[_Place]:
    for task in flow.tasks:
        if task.options.notify:
            line = 1 if task.cell.number else 0
            yield _Place(called=f"--notify of task {task.id}", addresses=task.options.notify, cell=task.cell.number, line=line)


def _unknown_owners(workspace: History, flow: Flow) -> Iterator[Problem]:
    """Where owners have addresses, every owner has."""
    owners = installation(workspace.settings).owners
    if not owners:
        return
    named = {flow.options.owner: (0, 0)} if flow.options.owner else {}
    if flow.options.owner and flow.options.owner not in owners:
        cell, lines = _header_lines(flow.path)
        named[flow.options.owner] = (cell, lines.get(("owner",), 0))
    for task in flow.tasks:
        if task.options.owner:
            named.setdefault(task.options.owner, (task.cell.number, 1 if task.cell.number else 0))
    for owner, (cell, line) in named.items():
        if owner not in owners:
            hint = nearest(owner, owners) or " Add it there."
            yield Problem(cell=cell, line=line, message=f'owner "{owner}" is not in [owners] of nbflow.toml.{hint}', code=_CODE)


def _for_nobody(workspace: History, flow: Flow) -> Iterator[Problem]:
    """What is to be told, and nobody is there to hear it."""
    keys = flow.options.schedule
    said = [key for key in ("deadline", "late_start") if keys.get(key)]
    if not said and not any(task.options.deadline for task in flow.tasks):
        return
    found = audience(flow, keys, installation(workspace.settings))
    cell, lines = _header_lines(flow.path) if said else (0, {})
    for key in said:
        if not found.of_run.get(KEYS[f"on_{key}"]):
            who = f"say on_{key} or on_failure in [notify], or an owner who is in [owners] of nbflow.toml"
            message = f"{key} is set, but nobody is told when it is missed: {who}."
            yield Problem(cell=cell, line=lines.get((key,), 0), message=message, code=_CODE, severity="warning")
    for task in flow.tasks:
        if task.options.deadline and not found.of_tasks.get(task.id, {}).get(Topic.DEADLINE):
            message = f"Task {task.id} has a deadline, but nobody is told when it is missed: add --notify URL."
            line = 1 if task.cell.number else 0
            yield Problem(cell=task.cell.number, line=line, message=message, code=_CODE, severity="warning")


# --- what became of it ----------------------------------------------------------------------------------------------------


def not_sent(workspace: History, flow: str = "", since: datetime | None = None) -> tuple[Notification, ...]:
    """Messages that could not be sent, or not yet, the newest first."""
    outbox = workspace.store.notifications
    waiting = [one for one in outbox.notifications(flow=flow, state=Sending.WAITING) if one.reason]
    found = [*waiting, *outbox.notifications(flow=flow, state=Sending.FAILED)]
    return tuple(sorted((one for one in found if since is None or one.created_at >= since), key=lambda one: one.id, reverse=True))


def tells(workspace: Workspace, deployment: Deployment) -> str:
    """`failure: ops-mail; deadline (45m): ops-mail`; "" when nobody is told anything."""
    if not deployment.version:
        return ""
    found = audience(workspace.store.flow(deployment.version), deployment.schedule, installation(workspace.settings))
    skips = f"{found.skips.most} in {found.skips.runs} runs" if found.skips is not None else ""
    when = {Topic.DEADLINE: str(found.deadline), Topic.LATE_START: str(deployment.schedule.get("late_start") or ""), Topic.SKIPS: skips}
    parts = []
    for topic, addresses in found.of_run.items():
        if topic in when and not when[topic]:
            continue
        at = f" ({when[topic]})" if topic in when else ""
        parts.append(f"{topic.value.replace('_', ' ')}{at}: {', '.join(map(shown, addresses))}")
    if found.escalation is not None:
        parts.append(f"escalation: {', '.join(map(shown, found.escalation.to))}")
    tasks = [task for task, told in found.of_tasks.items() if told]
    return "; ".join([*parts, f"tasks: {', '.join(tasks)}"] if tasks else parts)


def say_notifications(workspace: Workspace) -> tuple[bool, str]:
    """For the doctor: whether all is well, and what there is to say. Raises SetupError for an address that cannot be one."""
    check_settings(workspace)
    failing = not_sent(workspace)
    if failing:
        return (
            False,
            f"{len(failing)} could not be sent, the newest to {failing[0].shown}: {failing[0].reason} Look: nbflow notifications list.",
        )
    said = installation(workspace.settings)
    return True, f"{len(said.addresses())} addresses in the settings, everything was sent"


def tell_of(workspace: Workspace, run_id: str) -> tuple[Notification, ...]:
    """Tell people of a run that no scheduler watches, now, and of nothing else; returns what could not be sent."""
    outbox, clock = workspace.store.notifications, workspace.clock
    notifier = Notifier(workspace)
    notifier.noticing.look(outbox.watch(run_id, clock.now()), clock.now())
    notifier.deliverer.deliver(clock.now, only=[one.id for one in outbox.notifications(run_id=run_id, state=Sending.WAITING)])
    return tuple(one for one in outbox.notifications(run_id=run_id) if one.state is not Sending.SENT)
