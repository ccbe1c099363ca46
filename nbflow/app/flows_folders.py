# SPDX-License-Identifier: BSD-3-Clause
"""Flows folders: a notebook that is placed there is deployed, a changed one gets a new version, a broken one keeps its last good version and says why."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nbflow.app.deploying import deploy, read_flow
from nbflow.core.deployments import Deployment
from nbflow.core.errors import NbflowError, UserError
from nbflow.core.ids import FlowName, slug

if TYPE_CHECKING:
    from nbflow.app.workspace import Workspace

_PAGE = 1000


@dataclass
class FlowsFolders:
    """Looks at the folders of the settings. What it remembers only spares work: another process finds the same."""

    workspace: Workspace
    #: Notebook -> the modules it imports.
    _modules: dict[Path, tuple[Path, ...]] = field(default_factory=dict)
    #: Notebook -> what it and its modules looked like when they were read last.
    _seen: dict[Path, str] = field(default_factory=dict)

    def scan(self) -> tuple[str, ...]:
        """Deploy what is new or changed; returns a sentence for each thing that happened."""
        folders = self.workspace.settings.flows_folders
        if not folders:
            return ()
        mine = [each for each in self._deployed() if each.source != "command"]
        by_path = {Path(each.path): each for each in mine}
        told: list[str] = []
        found: set[Path] = set()
        for folder in folders:
            for path in notebooks_in(folder):
                found.add(path)
                told += self._look(path, folder, by_path.get(path))
        for path, deployment in by_path.items():
            if path not in found and deployment.signature and any(Path(deployment.source) == folder for folder in folders):
                told += self._gone(deployment)
        return tuple(told)

    def _deployed(self) -> Iterator[Deployment]:
        after = ""
        while page := self.workspace.store.deployments.find(after=after, limit=_PAGE):
            yield from page
            after = page[-1].name

    def _look(self, path: Path, folder: Path, deployment: Deployment | None) -> list[str]:
        now = signature([path, *self._modules.get(path, ())])
        if self._seen.get(path) == now or (path not in self._seen and deployment is not None and self._is_known(path, deployment)):
            return []
        try:
            read = read_flow(path)
            self._modules[path] = tuple(path.parent / name for name in read.files)
            now = signature([path, *self._modules[path]])
            name = deployment.name if deployment is not None and deployment.version else ""
            done = deploy(self.workspace, path, name=name, source=str(folder), signature=now, by=str(folder))
        except NbflowError as error:
            self._seen[path] = now
            return [self._broken(path, folder, deployment, str(error), now)]
        self._seen[path] = now
        if not done.is_changed:
            return []
        what = "is deployed" if done.is_new else f"has version {done.deployment.number}"
        return [f"{path}: flow {done.deployment.name} {what}."]

    def _is_known(self, path: Path, deployment: Deployment) -> bool:
        """Whether the file is as another process, or an earlier one, has read it."""
        if not deployment.version:
            return deployment.signature == signature([path])
        modules = tuple(path.parent / name for name in self.workspace.store.files(deployment.version))
        self._modules[path] = modules
        if deployment.signature != signature([path, *modules]):
            return False
        self._seen[path] = deployment.signature
        return True

    def _broken(self, path: Path, folder: Path, deployment: Deployment | None, why: str, now: str) -> str:
        deployments = self.workspace.store.deployments
        if deployment is not None:
            deployments.change(deployment.name, lambda stored: replace(stored, error=why, signature=now))
            return f"{path}: {why}"
        at = self.workspace.clock.now()
        for name in (slug(path.stem), slug("_".join(path.relative_to(folder).with_suffix("").parts)), slug(f"{path.stem}_{now[:8]}")):
            broken = Deployment(name=FlowName(name), path=str(path), error=why, signature=now, source=str(folder), deployed_at=at, since=at)
            try:
                deployments.create(broken)
                break
            except UserError:
                continue  # another flow is called so
        return f"{path}: {why}"

    def _gone(self, deployment: Deployment) -> list[str]:
        why = f"{deployment.path} is not there any more: put it back, or type nbflow undeploy {deployment.name}."
        deployments = self.workspace.store.deployments
        if not deployment.version:
            deployments.delete(deployment.name)
            return []
        deployments.change(deployment.name, lambda stored: replace(stored, error=why, next_run=None, signature=""))
        self._seen.pop(Path(deployment.path), None)
        return [why]


def notebooks_in(folder: Path) -> Iterator[Path]:
    """The notebooks below a folder, without hidden folders (checkpoints are in one)."""
    for path in sorted(folder.rglob("*.ipynb")):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts) and path.is_file():
            yield path.resolve()


def signature(files: Sequence[Path]) -> str:
    """What these files look like from outside; changes when one is written."""
    digest = hashlib.sha256()
    for file in files:
        try:
            status = file.stat()
            digest.update(f"{file}\0{status.st_mtime_ns}\0{status.st_size}\n".encode())
        except OSError:
            digest.update(f"{file}\0gone\n".encode())
    return digest.hexdigest()
