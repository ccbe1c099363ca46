# SPDX-License-Identifier: BSD-3-Clause
"""Flows folders: what is placed there is deployed, what changes gets a new version, what breaks keeps its last good version and says why."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nbflow.app.deploying import Wish, prepared, store
from nbflow.app.reading import Read, ReadFile, file_in_root, flow_in_file, read_flows, read_python
from nbflow.app.tracing import NotWanted
from nbflow.authoring.python_file import defines_flows, read_target
from nbflow.core.deployments import Deployment
from nbflow.core.errors import NbflowError, UserError
from nbflow.core.ids import slug

if TYPE_CHECKING:
    from nbflow.app.workspace import Workspace

_PAGE = 1000
#: Folders that hold what nobody wrote as a flow.
_NO_FLOWS = frozenset({"__pycache__", "site-packages", "node_modules"})


@dataclass(frozen=True)
class _Seen:
    """A file, and what it and its modules look like."""

    path: Path
    folder: Path
    signature: str


@dataclass
class FlowsFolders:
    """Looks at the folders of the settings. What it remembers only spares work: another process finds the same."""

    workspace: Workspace
    #: Whether anybody still waits for what a Python file says.
    is_wanted: Callable[[], bool] | None = None
    #: File -> the modules it imports.
    _modules: dict[Path, tuple[Path, ...]] = field(default_factory=dict)
    #: File -> what it and its modules looked like when they were read last.
    _seen: dict[Path, str] = field(default_factory=dict)
    #: Python file -> what it looked like, when it was found to define no flow.
    _plain: dict[Path, str] = field(default_factory=dict)

    def scan(self) -> tuple[str, ...]:
        """Deploy what is new or changed; returns a sentence for each thing that happened. Raises NotWanted in the middle of a file."""
        folders = self.workspace.settings.flows_folders
        if not folders:
            return ()
        by_path: dict[Path, list[Deployment]] = {}
        for each in self._deployed():
            if each.source != "command":
                by_path.setdefault(Path(each.path), []).append(each)
        told: list[str] = []
        found: set[Path] = set()
        for folder in folders:
            for path in self._files_in(folder, by_path):
                found.add(path)
                told += self._look(path, folder, by_path.get(path, []))
        for path, deployments in by_path.items():
            for each in deployments:
                if path not in found and each.signature and any(Path(each.source) == folder for folder in folders):
                    told += self._gone(each, f"{each.path} is not there any more")
        return tuple(told)

    def _deployed(self) -> Iterator[Deployment]:
        after = ""
        while page := self.workspace.store.deployments.find(after=after, limit=_PAGE):
            yield from page
            after = page[-1].name

    def _files_in(self, folder: Path, deployed: Container[Path]) -> Iterator[Path]:
        """Notebooks, and Python files that define flows; other Python files are modules of theirs."""
        for path in files_in(folder):
            if path.suffix == ".ipynb" or path in deployed:
                yield path
            elif self._plain.get(path) != (now := signature([path])):
                if defines_flows(path):
                    yield path
                else:
                    self._plain[path] = now

    def _look(self, path: Path, folder: Path, deployments: Sequence[Deployment]) -> list[str]:
        now = signature([path, *self._modules.get(path, ())])
        if self._seen.get(path) == now or (path not in self._seen and self._is_known(path, deployments)):
            return []
        try:
            read = self._read(path)
        except NotWanted:
            raise
        except NbflowError as error:
            self._seen[path] = now
            seen, found = _Seen(path, folder, now), deployments or (None,)
            return [self._broken(seen, each, str(error)) for each in found][:1]
        self._modules[path] = tuple({root / name for root, name in ((one.root, name) for one in read.reads for name in one.files)})
        self._seen[path] = now = signature([path, *self._modules[path]])
        seen = _Seen(path, folder, now)
        standing = {self._name_in_file(each): each for each in deployments if each.version}
        told, names = [], set()
        for one in read.reads:
            deployment = standing.pop(flow_in_file(one.flow), None)
            names.add(deployment.name if deployment else one.flow.name)
            told += self._deploy(one, seen, deployment)
        for name, why in read.broken.items():
            deployment = standing.pop(name, None)
            names.add(deployment.name if deployment else slug(name))
            told.append(self._broken(seen, deployment, why, name))
        for name, each in standing.items():
            told += self._gone(each, f"{path} does not define {name} any more")
        for each in deployments:
            if not each.version and each.name not in names:
                self.workspace.store.deployments.delete(each.name)  # it stood for the file while that was broken
        return told

    def _read(self, path: Path) -> ReadFile:
        target = read_target(path)
        return (
            ReadFile(reads=read_flows(self.workspace, path))
            if target is None
            else read_python(self.workspace, target, is_wanted=self.is_wanted)
        )

    def _name_in_file(self, deployment: Deployment) -> str:
        """Of a Python flow; a notebook is one flow, which has none."""
        return flow_in_file(self.workspace.store.flow(deployment.version))

    def _deploy(self, read: Read, seen: _Seen, deployment: Deployment | None) -> list[str]:
        folder = str(seen.folder)
        wish = Wish(name=deployment.name if deployment else "", source=folder, by=folder, signature=seen.signature)
        try:
            done = store(self.workspace, prepared(self.workspace, read, wish))
        except NbflowError as error:
            return [self._broken(seen, deployment, str(error), flow_in_file(read.flow))]
        if not done.is_changed:
            return []
        what = "is deployed" if done.is_new else f"has version {done.deployment.number}"
        return [f"{seen.path}: flow {done.deployment.name} {what}."]

    def _is_known(self, path: Path, deployments: Sequence[Deployment]) -> bool:
        """Whether the file is as another process, or an earlier one, has read it."""
        versions = {each.version for each in deployments if each.version}
        modules = tuple({file for version in versions for file in self._files_of(version, path)})
        now = signature([path, *modules])
        if not deployments or any(each.signature != now for each in deployments):
            return False
        self._modules[path], self._seen[path] = modules, now
        return True

    def _files_of(self, version: str, path: Path) -> Iterator[Path]:
        root = path.parents[len(file_in_root(self.workspace.store.flow(version)).parts) - 1]
        return (root / name for name in self.workspace.store.files(version))

    def _broken(self, seen: _Seen, deployment: Deployment | None, why: str, name: str = "") -> str:
        """What is wrong stands with the deployment, or with one that stands for the file until it is right."""
        deployments, path = self.workspace.store.deployments, seen.path
        told = f"{path}: {why}"

        def change(stored: Deployment) -> Deployment:
            return replace(stored, error=why, signature=seen.signature)

        if deployment is not None:
            deployments.change(deployment.name, change)
            return told
        at, source = self.workspace.clock.now(), str(seen.folder)
        inside = "_".join(path.relative_to(seen.folder.resolve()).with_suffix("").parts)
        for word in (slug(name or path.stem), slug(inside), slug(f"{path.stem}_{seen.signature[:8]}")):
            broken = Deployment(name=word, path=str(path), error=why, signature=seen.signature, source=source, deployed_at=at, since=at)
            try:
                deployments.create(broken)
            except UserError:  # a flow is called so
                standing = deployments.get(word)
                if standing.version or standing.path != str(path):
                    continue
                deployments.change(word, change)
            break
        return told

    def _gone(self, deployment: Deployment, what: str) -> list[str]:
        why = f"{what}: put it back, or type nbflow undeploy {deployment.name}."
        deployments = self.workspace.store.deployments
        if not deployment.version:
            deployments.delete(deployment.name)
            return []
        if deployment.error == why:
            return []
        deployments.change(deployment.name, lambda stored: replace(stored, error=why, next_run=None, signature=""))
        self._seen.pop(Path(deployment.path), None)
        return [why]


def files_in(folder: Path) -> Iterator[Path]:
    """The notebooks and Python files below a folder, without hidden folders (checkpoints are in one) and installed packages."""
    for path in sorted([*folder.rglob("*.ipynb"), *folder.rglob("*.py")]):
        if not any(part.startswith(".") or part in _NO_FLOWS for part in path.relative_to(folder).parts) and path.is_file():
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
