# SPDX-License-Identifier: BSD-3-Clause
"""`python -m nbflow.python.child ANSWER < REQUEST`: imports a person's file and traces its flows, so that no other process has to."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from nbflow.app.tracing import FileTrace, Request
from nbflow.authoring.decorators import FlowFunction
from nbflow.authoring.python_file import Target, flows_of, import_file, pick, place_of, problem_of
from nbflow.core.errors import NbflowError, Problem, SetupError
from nbflow.core.model import Flow
from nbflow.core.protocols import ArtifactStore
from nbflow.python.asking import ask_past
from nbflow.python.travel import captures_of, plain_params


def main() -> None:
    """Answer the request on standard input in the file named on the command line."""
    request = Request(**json.loads(sys.stdin.buffer.read()))
    sys.stdin = open(os.devnull)  # noqa: PTH123, SIM115 - for as long as the process lives
    answer = trace(request)
    Path(sys.argv[1]).write_bytes(pickle.dumps(answer))


def trace(request: Request) -> FileTrace:
    """Whatever the person's code raises is a problem with its line."""
    path = Path(request.path).absolute()
    if request.cwd:
        os.chdir(request.cwd)
    try:
        target = Target(path, request.name)
        flows = flows_of(import_file(path))
        if request.everything and flows and not request.name:
            return _everything(list(flows.values()), request)
        flow = pick(flows, target)
        if request.everything:
            return _everything([flow], request)
        return _for_run(flow, request) if request.for_run else FileTrace(flow=_here(flow.traced(installation=request.defaults).flow, path))
    except SetupError as error:
        return FileTrace(in_the_way=str(error))
    except BaseException as error:  # noqa: BLE001 - importing and tracing run the person's code
        return FileTrace(problems=(_problem(error, path),))


def _here(flow: Flow, path: Path) -> Flow:
    """The flow with the file it stands in, and how it is found there."""
    return replace(flow, path=str(path.resolve()), entry=f"{place_of(path).module}:{flow.name}")


def _everything(flows: Sequence[FlowFunction[Any, Any]], request: Request) -> FileTrace:
    path = Path(request.path).absolute()
    found: list[Flow] = []
    broken: dict[str, Problem] = {}
    for flow in flows:
        try:
            traced = flow.traced(flow.parameters.known(request.params), installation=request.defaults)
            captures_of(traced, cast("ArtifactStore", _Nowhere()))
            found.append(_here(traced.flow, path))
        except Exception as error:  # noqa: BLE001 - as above
            problem = _problem(error, path)
            broken[flow.name] = problem if problem.line else replace(problem, line=flow.function.__code__.co_firstlineno)
    return FileTrace(flows=tuple(found), broken=broken)


def _for_run(flow: FlowFunction[Any, Any], request: Request) -> FileTrace:
    from nbflow.store.artifacts import open_artifacts  # noqa: PLC0415 - only a run keeps anything

    values = flow.parameters.values(request.params, request.texts)
    traced = flow.traced(values, installation=request.defaults)
    captures = captures_of(traced, open_artifacts(request.artifacts_url), cwd=request.cwd)
    params = plain_params(values)
    date = datetime.fromisoformat(request.logical_date) if request.logical_date else datetime.now(UTC)
    flow_here = _here(traced.flow, Path(request.path))
    return FileTrace(flow=flow_here, captures=captures, params=params, logical_date=date, past=ask_past(traced, params, date))


def _problem(error: BaseException, path: Path) -> Problem:
    if not isinstance(error, (NbflowError, SyntaxError, SystemExit)) and not _is_in(error, path):
        traceback.print_exception(error)  # the mistake is in something the file uses: its own lines say more
    return problem_of(error, path)


def _is_in(error: BaseException, path: Path) -> bool:
    frames = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(frames) and os.path.realpath(frames[-1]) == str(path.resolve())


class _Nowhere:
    """Takes artifacts and keeps none: to see whether values can travel."""

    def put(self, data: bytes) -> str:
        return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    main()
