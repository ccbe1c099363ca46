# SPDX-License-Identifier: BSD-3-Clause
"""The demo's shape on real input: nine log files of nine formats, whose counts must be those of a plain sequential script."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import nbformat
import pytest

LOGS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "logs"
APPS = ("Apache", "HDFS", "HPC", "Hadoop", "HealthApp", "Linux", "OpenSSH", "Spark", "Zookeeper")
FORMATS = {
    "Apache": r"\[\w{3} (?P<time>\w{3} \d\d [\d:]{8} \d{4})\] \[(?P<level>\w+)\] (?P<text>.*)",
    "HDFS": r"(?P<time>\d{6} \d{6}) \d+ (?P<level>\w+) (?P<text>.*)",
    "HPC": r"\d+ \S+ \S+ (?P<level>\S+) (?P<time>\d+) \d+ (?P<text>.*)",
    "Hadoop": r"(?P<time>[\d-]{10} [\d:,]{12}) (?P<level>\w+) (?P<text>.*)",
    "HealthApp": r"(?P<time>\d{8}-[\d:]+)\|(?P<level>\w+)\|\d+\|(?P<text>.*)",
    "Linux": r"(?P<time>\w{3} +\d+ [\d:]{8}) \S+ (?P<level>[\w.()/ -]+?)(?:\[\d+\])?: (?P<text>.*)",
    "OpenSSH": r"(?P<time>\w{3} +\d+ [\d:]{8}) \S+ (?P<level>sshd)\[\d+\]: (?P<text>.*)",
    "Spark": r"(?P<time>[\d/]{8} [\d:]{8}) (?P<level>\w+) (?P<text>.*)",
    "Zookeeper": r"(?P<time>[\d-]{10} [\d:,]{12}) - (?P<level>\w+) +(?P<text>.*)",
}
WRONG = r"(?i)\b(error|fail\w*|exception|fatal|denied|invalid)\b"

PLAIN = f"""
import json, re, sqlite3, tempfile, threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args): pass

server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=logs))
threading.Thread(target=server.serve_forever, daemon=True).start()
base_url = f"http://127.0.0.1:{{server.server_address[1]}}"
FORMATS = {FORMATS!r}
WRONG = {WRONG!r}
database = str(Path(tempfile.mkdtemp()) / "events.db")

def fetch(app):
    with urlopen(f"{{base_url}}/{{app}}.log") as answer:
        return answer.read().decode("utf-8", "replace")
"""

TASKS = {
    "drop_exception": """
raw = {{name: text for name, text in [{pairs}]}}
kept = {{name: [line for line in text.splitlines() if line.strip()] for name, text in raw.items()}}
""",
    "create_table": """
with sqlite3.connect(database) as connection:
    connection.execute("CREATE TABLE event (app TEXT, time TEXT, level TEXT, wrong INTEGER, text TEXT)")
table = "event"
""",
    "parse_log": """
rows, strange = [], {}
for app, lines in kept.items():
    pattern = re.compile(FORMATS[app])
    for line in lines:
        found = pattern.fullmatch(line)
        if found is None:
            strange[app] = strange.get(app, 0) + 1
            continue
        rows.append((app, found["time"], found["level"], bool(re.search(WRONG, line)), found["text"]))
with sqlite3.connect(database) as connection:
    connection.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?)", rows)
parsed = len(rows)
""",
    "gen_reports": """
with sqlite3.connect(database) as connection:
    by_app = dict(connection.execute("SELECT app, count(*) FROM event GROUP BY app"))
    wrong = dict(connection.execute("SELECT app, sum(wrong) FROM event GROUP BY app"))
    levels = {f"{app}/{level}": n for app, level, n in connection.execute("SELECT app, level, count(*) FROM event GROUP BY app, level")}
assert sum(by_app.values()) == parsed
""",
    "check_threshold --as branch": '"alert" if sum(wrong.values()) > threshold else "all_quiet"',
    "alert --after check_threshold": 'decision = "alert"',
    "all_quiet --after check_threshold": 'decision = "all quiet"',
}
REPORT = """
Path(report).write_text(json.dumps(
    {"by_app": by_app, "wrong": wrong, "levels": levels, "strange": strange, "decision": decision}, sort_keys=True))
"""


def notebook(path: Path, logs: Path, report: Path) -> None:
    code = nbformat.v4.new_code_cell
    cells = [code("%load_ext nbflow"), code(f"logs = {str(logs)!r}\nreport = {str(report)!r}\nthreshold = 100"), code(PLAIN)]
    cells[1].metadata["tags"] = ["parameters"]
    cells += [code(f'%%task download.{app}\n{app.lower()} = fetch("{app}")') for app in APPS]
    pairs = ", ".join(f'("{app}", {app.lower()})' for app in APPS)
    for line, body in TASKS.items():
        cells.append(code(f"%%task {line}\n{body.format(pairs=pairs).strip() if line == 'drop_exception' else body.strip()}"))
    cells += [code("%nbflow run"), code(REPORT)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


def counted_by_a_plain_script(threshold: int = 100) -> dict[str, object]:
    """The same questions, asked by one loop over the files."""
    by_app: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    levels: Counter[str] = Counter()
    strange: Counter[str] = Counter()
    for app in APPS:
        for line in (LOGS / f"{app}.log").read_bytes().decode("utf-8", "replace").splitlines():
            if not line.strip():
                continue
            found = re.fullmatch(FORMATS[app], line)
            if found is None:
                strange[app] += 1
                continue
            by_app[app] += 1
            wrong[app] += bool(re.search(WRONG, line))
            levels[f"{app}/{found['level']}"] += 1
    decision = "alert" if sum(wrong.values()) > threshold else "all quiet"
    return {"by_app": by_app, "wrong": wrong, "levels": levels, "strange": strange, "decision": decision}


@pytest.mark.skipif(not LOGS.is_dir(), reason="the real logs stand beside the project only where it is developed")
def test_counts_of_nine_real_logs_are_those_of_a_plain_script(tmp_path: Path, home_environment: dict[str, str]) -> None:
    report = tmp_path / "report.json"
    notebook(tmp_path / "real_logs.ipynb", LOGS, report)
    command = [sys.executable, "-m", "nbflow", "run", "real_logs.ipynb", "-o", "out.ipynb", "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=home_environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    run = json.loads(done.stdout)
    states = {task["id"]: task["state"] for task in run["tasks"]}
    assert len(states) == 16
    assert {state for task, state in states.items() if task.startswith("download.")} == {"success"}
    expected = counted_by_a_plain_script()
    assert sum(expected["by_app"].values()) > 17_000  # the formats were understood, not skipped
    assert json.loads(report.read_text()) == json.loads(json.dumps(expected))
    assert {states["alert"], states["all_quiet"]} == {"success", "skipped"}
