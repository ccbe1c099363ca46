# SPDX-License-Identifier: BSD-3-Clause
"""The way into the worker side: runs one job once, in this process, and always comes back with a Report."""

from __future__ import annotations

import contextlib
import importlib
import pickle
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from nbflow.core.context import ctx
from nbflow.core.errors import NbflowError, SetupError
from nbflow.core.job import AttemptBegan, ErrorInfo, ExecutorEvent, Job, Outcome, OutputMade, OutputsRef, ProgressMade, Report
from nbflow.core.masking import Mask, mask_of
from nbflow.core.options import TaskKind
from nbflow.core.protocols import ArtifactStore
from nbflow.operators import usage
from nbflow.operators.already import found_already
from nbflow.operators.attempt import Attempt, Ending
from nbflow.operators.deciding import answered
from nbflow.operators.errors import ending_of, error_info
from nbflow.operators.giving import Given, Inputs, give
from nbflow.operators.hiding import without_secrets
from nbflow.operators.libraries import draw_inline
from nbflow.operators.outputs import Output, Outputs, keep_outputs
from nbflow.operators.postmortem import with_frames
from nbflow.operators.process_state import fresh_main, isolated
from nbflow.operators.registry import find_operator
from nbflow.operators.streams import captured, stay
from nbflow.operators.values import install_captures

#: Seconds between two progress messages.
_PROGRESS: Final = 0.05

Tell = Callable[[ExecutorEvent], None]


def run_job(job: Job, artifacts: ArtifactStore, tell: Tell, *, worker: str = "") -> Report:
    """Run the job, unless it was started before: user code of one token runs at most once.

    Every way user code can end is a Report. Raises only when the artifact store is not there (SetupError).
    """
    importlib.invalidate_caches()  # modules that were written a moment ago are found
    report, _data = run_kept(job, artifacts, tell, worker=worker)
    return report


def run_kept(job: Job, artifacts: ArtifactStore, tell: Tell, *, worker: str = "") -> tuple[Report, bytes]:
    """Like `run_job`: the report, and the same pickled, as it was written down. Whoever calls it has invalidated Python's caches of folders."""
    if not artifacts.mark(f"{job.token}.started", worker.encode()):
        return _started_before(job, artifacts, worker)
    started_at = datetime.now(UTC)
    measured = usage.Usage()
    hint = _guarded(tell)
    hint(AttemptBegan(token=job.token, at=started_at, worker=worker))
    ending, given, outputs = _attempt(job, artifacts, hint)
    spent = measured.so_far()
    report = Report(
        token=job.token,
        outcome=ending.outcome,
        worker=worker,
        started_at=started_at,
        ended_at=datetime.now(UTC),
        reason=ending.reason,
        error=ending.error,
        values=given.values,
        left_out=given.left_out,
        elements=given.elements,
        outputs=outputs,
        decision=ending.decision,
        already=ending.already,
        trigger=ending.trigger,
        warnings=tuple(dict.fromkeys(given.warnings)),
        peak_bytes=spent.peak_bytes,
        cpu_seconds=spent.cpu_seconds,
    )
    report = without_secrets(report, mask_of(job.lent.hidden))
    data = pickle.dumps(report, protocol=5)
    artifacts.keep_manifest(job.token, data)
    return report, data


def settle_in() -> None:
    """Once, in a process that was forked to do nothing but attempts: what each of them would find set anew is set already."""
    stay()
    usage.stand_alone()
    draw_inline()


def prepare() -> None:
    """Between two attempts: what the next one would otherwise wait for. Changes nothing that user code can see."""
    shell = sys.modules.get("nbflow.operators.shell")
    if shell is not None:  # a process that never ran a cell does without
        with contextlib.suppress(Exception):  # whatever is wrong is said by the attempt that needs it
            shell.prepare()


def _started_before(job: Job, artifacts: ArtifactStore, worker: str) -> tuple[Report, bytes]:
    manifest = artifacts.manifest(job.token)
    if manifest is not None:
        return pickle.loads(manifest), manifest  # noqa: S301  written by run_kept into the run's own artifacts
    now = datetime.now(UTC)
    reason = "this attempt was already started once and left no result: its worker was lost on the way"
    report = Report(token=job.token, outcome=Outcome.LOST, worker=worker, started_at=now, ended_at=now, reason=reason)
    return report, pickle.dumps(report, protocol=5)


def _guarded(tell: Tell) -> Tell:
    """Live messages are hints: a listener that is gone does not end the attempt."""

    def hint(event: ExecutorEvent) -> None:
        with contextlib.suppress(Exception):
            tell(event)

    return hint


def _attempt(job: Job, artifacts: ArtifactStore, tell: Tell) -> tuple[Ending, Given, OutputsRef]:
    outputs = Outputs(lambda output: tell(OutputMade(token=job.token, output=output)), hidden=job.lent.hidden)
    given = Given()
    try:
        with captured(outputs):
            ending = _run(job, artifacts, tell, outputs, given)
    except BaseException as error:  # noqa: BLE001  an interrupt may arrive anywhere, and every ending is a Report
        ending = ending_of(error)
    if ending.outcome is not Outcome.SUCCESS:
        given.values.clear()
        given.elements.clear()
    try:
        shown = outputs.close()
        _show_error(shown, ending)
        return ending, given, keep_outputs(outputs.mask.json(shown), artifacts)
    except Exception as error:  # noqa: BLE001  outputs that cannot be stored must not turn a success into a lost attempt
        given.warnings.append(f"the outputs could not be stored ({error})")
        return ending, given, OutputsRef()


def _show_error(shown: list[Output], ending: Ending) -> None:
    """The error stands among the outputs, like a cell's, also when nothing of IPython ran."""
    error = ending.error
    if error is not None and not any(output["output_type"] == "error" for output in shown):
        shown.append({"output_type": "error", "ename": error.ename, "evalue": error.evalue, "traceback": list(error.traceback)})


def _run(job: Job, artifacts: ArtifactStore, tell: Tell, outputs: Outputs, given: Given) -> Ending:
    main = fresh_main()
    with isolated(job.process, main) as problems, ctx.during(job.context, _progress(job, tell, outputs.mask), job.lent):
        try:
            if job.lent.problem:
                raise SetupError(job.lent.problem)  # noqa: TRY301  said as everything else that is in the way
            operator = answered if "answer" in job.resumed else find_operator(job.operator)
            inputs = Inputs(job, artifacts)
            install_captures(job.captures, main.__dict__, artifacts, inputs.decode)
            inputs.bind(main.__dict__)
        except NbflowError as error:
            return _refused(error)
        except Exception as error:  # noqa: BLE001  definitions and decoding run user code
            return ending_of(error)
        if job.unless_exists:
            try:
                found = found_already(job.unless_exists, main.__dict__)
            except NbflowError as error:
                return _refused(error)
            if found:
                names = (*job.demands, *job.offers)
                given.left_out.update(dict.fromkeys(names, f"did not run, because {found} exists already"))
                return Ending(already=found)
        ending = operator(Attempt(job=job, main=main, outputs=outputs))
        given.warnings += problems
        if ending.exception is not None:
            return with_frames(ending, job, artifacts)
        not_there_yet = job.decides is TaskKind.SENSOR and not ending.decision
        if ending.outcome is Outcome.SUCCESS and not not_there_yet:
            try:
                give(job, main.__dict__, inputs, artifacts, given)
            except NbflowError as error:
                return _refused(error)
    return ending


def _refused(error: NbflowError) -> Ending:
    info: ErrorInfo = replace(error_info(error), traceback=(str(error),))
    return Ending(outcome=Outcome.FAILED, reason=str(error), error=info)


def _progress(job: Job, tell: Tell, mask: Mask) -> Callable[[float | None, str], None]:
    told_at = 0.0

    def report(fraction: float | None, text: str) -> None:
        nonlocal told_at
        now = time.monotonic()
        if now - told_at >= _PROGRESS or fraction == 1.0:
            told_at = now
            tell(ProgressMade(token=job.token, fraction=fraction, text=mask.text(text)))

    return report
