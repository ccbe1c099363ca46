# SPDX-License-Identifier: BSD-3-Clause
"""Settings: `nbflow.toml`, then `NBFLOW_*`, then the command line. The only reader of the environment.

The file is found upwards from the working directory, then in Jupyter's configuration folders. A bad setting is refused with its file and line.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from nbflow.core.durations import parse_duration
from nbflow.core.errors import NbflowError, SetupError, UserError, nearest
from nbflow.core.retention import Retention, read_retention
from nbflow.executors.cluster_class import PREFIX, BadCluster, from_table, parse_cluster

FILE_NAME: Final = "nbflow.toml"
_PREFIX: Final = "NBFLOW_"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where things are kept and where tasks run. Every field is a key of `nbflow.toml` and, in capitals, an `NBFLOW_` variable."""

    #: Folder of the database, the artifacts and the local cluster's files.
    home: Path
    #: SQLAlchemy URL; SQLite in `home` by default.
    database_url: str = ""
    #: A folder or any fsspec URL that every worker reaches; a folder in `home` by default.
    artifacts_url: str = ""
    #: `local`, `inline`, an address such as `tcp://host:8786`, `scheduler_file:PATH`, or `cluster:CLASS?ARGUMENTS`, also written as a table.
    dask: str = "local"
    #: How many tasks of all runs of the database may be queued or running at once; 0: any number.
    parallelism: int = 0
    #: Attempts at once on the local cluster; 0: one for each core, at least four.
    workers: int = 0
    #: Seconds after which an idle local cluster of the home stops.
    cluster_idle: float = 600.0
    #: Seconds after which a driver that was not heard of has lost its run.
    lease: float = 30.0
    #: A name that nobody demands is kept when it encodes within this many bytes.
    keep_limit: int = 64 * 1024 * 1024
    #: The time zone of schedules that name none.
    timezone: str = "UTC"
    #: Folders whose notebooks are deployed as they are found; several stand in a list.
    flows_dirs: str = ""
    #: Seconds between two looks at those folders.
    scan_interval: float = 30.0
    #: Seconds between two looks at files that flows wait for.
    watch_interval: float = 10.0
    #: How long history is kept: a time for runs, or the table [retention]; JSON. For ever by default.
    retention: str = ""
    #: The table [defaults]: keys of a schedule, and options of tasks, that hold for every flow that does not say otherwise; JSON.
    defaults: str = ""
    #: The table [notify], or addresses: who is told of every flow; JSON. Addresses may hold secrets.
    notify: str = field(default="", repr=False)
    #: The table [owners]: how the owners of flows and tasks are reached; JSON.
    owners: str = field(default="", repr=False)
    #: Where messages link to; {run_id}, {flow} and {path} are filled in.
    base_url: str = ""
    #: The key of connections where several machines share a database; a file in `home` by default. Two with a comma between them: the first seals.
    secret_key: str = field(default="", repr=False)

    @property
    def flows_folders(self) -> tuple[Path, ...]:
        return tuple(Path(folder) for folder in self.flows_dirs.split(os.pathsep) if folder)

    @property
    def kept(self) -> Retention:
        return read_retention(json.loads(self.retention)) if self.retention else Retention()

    @property
    def flow_defaults(self) -> dict[str, Any]:
        """The keys of a schedule among the defaults."""
        return self._defaults()[0]

    @property
    def task_defaults(self) -> dict[str, Any]:
        """The options of tasks among the defaults, as they are written."""
        return self._defaults()[1]

    def _defaults(self) -> tuple[dict[str, Any], dict[str, Any]]:
        if not self.defaults:
            return {}, {}
        from nbflow.authoring.header import split_defaults  # noqa: PLC0415 - only with such a table

        return split_defaults(json.loads(self.defaults))

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.home / 'nbflow.db'}"

    @property
    def artifacts(self) -> str:
        return self.artifacts_url or str(self.home / "artifacts")


#: Tables and lists of the file, which are JSON elsewhere.
_TABLES: Final = frozenset({"defaults", "notify", "owners", "retention"})
_NAMES: Final = tuple(each.name for each in fields(Settings))
_KINDS: Final[Mapping[str, str]] = {each.name: str(each.type) for each in fields(Settings)}


def load_settings(
    overrides: Mapping[str, Any] | None = None, *, environment: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Settings:
    """The settings in force. `overrides` is the command line. Raises SetupError for an unknown key or a bad value, naming where it stands."""
    environment = os.environ if environment is None else environment
    found: dict[str, tuple[Any, str]] = {}
    path = _find_file(cwd or Path.cwd())
    if path is not None:
        found.update(_read_file(path))
    for name in _NAMES:
        variable = _PREFIX + name.upper()
        if environment.get(variable):
            found[name] = (environment[variable], variable)
    for name, value in (overrides or {}).items():
        if value is not None:
            found[name] = (value, f"--{name.replace('_', '-')}")
    values = {name: _convert(name, value, where) for name, (value, where) in found.items()}
    values.setdefault("home", _default_home())
    return Settings(**values)


def _default_home() -> Path:
    from jupyter_core.paths import jupyter_data_dir  # noqa: PLC0415 - only when no home is given; keeps the CLI quick

    return Path(jupyter_data_dir()) / "nbflow"


def _find_file(cwd: Path) -> Path | None:
    from jupyter_core.paths import jupyter_config_path  # noqa: PLC0415 - as above

    folders = [cwd, *cwd.parents, *(Path(folder) for folder in jupyter_config_path())]
    return next((folder / FILE_NAME for folder in folders if (folder / FILE_NAME).is_file()), None)


def _read_file(path: Path) -> dict[str, tuple[Any, str]]:
    try:
        text = path.read_text(encoding="utf-8")
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, _, place = str(error).partition(" (at ")
        found_line = re.search(r"line (\d+)", place)
        where = f", line {found_line[1]}" if found_line else ""
        raise SetupError(f'{path}{where}: this is not TOML ({what.lower()}). A text stands in quotation marks: dask = "local".') from None
    except UnicodeDecodeError:
        raise SetupError(f"{path} cannot be read: it is not UTF-8 text.") from None
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror or error}.") from None
    found: dict[str, tuple[Any, str]] = {}
    for name, value in table.items():
        where = f"{path}, line {_line_of(text, name)}"
        if name not in _NAMES:
            raise SetupError(f'{where}: there is no setting "{name}".{nearest(name, _NAMES)}')
        is_path = isinstance(value, str) and (name == "home" or (name == "artifacts_url" and "://" not in value))
        found[name] = (str(path.parent / Path(value).expanduser()) if is_path else value, where)
        if name == "dask" and isinstance(value, dict):
            found[name] = (_cluster_text(value, path, text, str(table.get("timezone", "UTC"))), where)
        elif name == "flows_dirs":
            found[name] = (_folders_text(value, path.parent, where), where)
        elif name == "retention":
            found[name] = (_retention_text(value, path, text), where)
        elif name in _TABLES and not isinstance(value, str):
            found[name] = (json.dumps(value, default=str), where)
    return found


def _cluster_text(table: Mapping[str, Any], path: Path, text: str, timezone: str) -> str:
    """The table `[dask]` as the text an environment variable would hold."""
    try:
        return str(from_table(table, timezone))
    except BadCluster as error:
        end = "" if str(error).endswith("?") else "."
        raise SetupError(f"{path}, line {_line_of(text, error.key, 'dask')}: dask is a table in which {error}{end}") from None


def _retention_text(said: Any, path: Path, text: str) -> str:
    """The setting, or the table, as the text an environment variable would hold."""
    try:
        read_retention(said)
    except UserError as error:
        key = (
            next((key for key in said if str(error).startswith((f"{key}:", f"{key} ", f'there is no "{key}"'))), "")
            if isinstance(said, dict)
            else ""
        )
        line = _line_of(text, key, "retention") if key else _line_of(text, "retention")
        end = "" if str(error).endswith("?") else "."
        raise SetupError(f"{path}, line {line}: retention: {error}{end}") from None
    return json.dumps(said)


def _folders_text(value: Any, base: Path, where: str) -> str:
    folders = [value] if isinstance(value, str) else value
    if not isinstance(folders, list) or not all(isinstance(folder, str) for folder in folders):
        raise SetupError(f'{where}: flows_dirs takes a folder or a list of folders such as ["flows"].')
    return os.pathsep.join(str((base / Path(folder).expanduser()).resolve()) for folder in folders)


def _checked_retention(value: str, where: str) -> str:
    """A time such as 90d, or JSON. Raises SetupError."""
    try:
        said = json.loads(value) if value.lstrip().startswith(("{", '"')) else value
        read_retention(said)
    except ValueError:
        raise SetupError(
            f'{where}: retention is a time such as 90d, or a table: write [retention] and below it lines such as runs = "90d".'
        ) from None
    except UserError as error:
        raise SetupError(f"{where}: retention: {error}{'' if str(error).endswith('?') else '.'}") from None
    return json.dumps(said)


def _checked_defaults(value: str, where: str) -> str:
    """JSON of keys of a schedule and of options of tasks. Raises SetupError for a key or a value that a header would not take either."""
    from nbflow.authoring.header import split_defaults  # noqa: PLC0415 - only with such a table

    try:
        given = json.loads(value)
    except ValueError:
        raise SetupError(f'{where}: defaults is a table: write [defaults] and below it lines such as timezone = "Europe/Zurich".') from None
    try:
        schedule, tasks = split_defaults(given)
        return json.dumps(schedule | tasks)
    except NbflowError as error:
        raise SetupError(f"{where}: [defaults]: {error}") from None


def _checked_table(name: str, value: str, where: str) -> str:
    """Raises SetupError."""
    if name == "retention":
        return _checked_retention(value, where)
    return _checked_defaults(value, where) if name == "defaults" else _checked_addresses(name, value, where)


def _checked_addresses(name: str, value: str, where: str) -> str:
    """JSON of who is told. Raises SetupError, without an address in it."""
    from nbflow.authoring import notify_settings  # noqa: PLC0415 - only where somebody is told

    try:
        return json.dumps(notify_settings.read_notify(value) if name == "notify" else notify_settings.read_owners(value))
    except NbflowError as error:
        raise SetupError(f"{where}: {error}") from None


def _line_of(text: str, name: str, table: str = "") -> int:
    """The line on which `name` is set, below the head of `table` if one is given; of the table itself when it stands in one line."""
    head = re.search(rf'^\s*\[*"?{re.escape(table or name)}\b', text, re.MULTILINE)
    found = re.compile(rf'^\s*\[*(?:{re.escape(table)}\.)?"?{re.escape(name)}\b', re.MULTILINE).search(text, head.start() if head else 0)
    found = found or head
    return text.count("\n", 0, found.end()) + 1 if found else 1


def _whole(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def _convert(name: str, value: Any, where: str) -> Any:
    kind = _KINDS[name]
    try:
        if kind == "Path":
            return Path(str(value)).expanduser().resolve()
        if kind == "int":
            return _whole(str(value))
        if kind == "float":
            return parse_duration(value).total_seconds()
    except (ValueError, NbflowError):
        takes = "a whole number, 0 or more" if kind == "int" else "a duration such as 30s or 10m"
        raise SetupError(f'{where}: {name} is "{value}", but takes {takes}.') from None
    if not isinstance(value, str):
        raise SetupError(f'{where}: {name} is {value!r}, but takes a text such as "local".')
    if name in _TABLES:
        return _checked_table(name, value, where)
    if name == "artifacts_url" and "://" not in value:
        return str(Path(value).expanduser().resolve())  # workers have other working directories
    if name == "dask" and value.startswith(PREFIX):
        _check_cluster(value, where)
    return value


def _check_cluster(value: str, where: str) -> None:
    try:
        parse_cluster(value)
    except BadCluster as error:
        raise SetupError(f'{where}: dask is "{value}", but {error}.') from None
