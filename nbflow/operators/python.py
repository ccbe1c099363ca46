# SPDX-License-Identifier: BSD-3-Clause
"""The `python` operator: a function is called.

A task written with `@task` comes with its call. A `%%task -o python` cell defines a function named like the task; it is called with the inputs
and parameters its signature names.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Final

from nbflow.core.calls import CALL, Call
from nbflow.core.job import ErrorInfo, Outcome
from nbflow.operators.attempt import Attempt, Ending
from nbflow.operators.calls import run_call
from nbflow.operators.cell import run_source

#: What the result is called when the task does not say.
RESULT: Final = "return_value"


def run_python(attempt: Attempt) -> Ending:
    """Call the function; the result of a cell's is bound to the job's `out` (or `return_value`)."""
    call = attempt.namespace.pop(CALL, None)
    if isinstance(call, Call):
        return run_call(attempt, call)
    job = attempt.job
    name = job.context.key.task_id.rpartition(".")[2]
    try:
        function = _find(ast.parse(job.source), name)
    except SyntaxError:
        return run_source(attempt, job.source)  # which shows it as a cell's
    if function is None:
        sentence = f"The source of task {job.context.key} defines no function {name}(): name one like the task."
        return Ending(outcome=Outcome.FAILED, reason=sentence, error=ErrorInfo(ename="UserError", evalue=sentence, traceback=(sentence,)))
    for parameter, value in job.context.params.items():
        if parameter not in job.inputs and parameter not in job.captures:
            attempt.namespace[parameter] = value
    arguments = ", ".join(_arguments(function.args, attempt.namespace))
    waiting = "await " if isinstance(function, ast.AsyncFunctionDef) else ""
    return run_source(attempt, f"{job.source.rstrip()}\n{job.out or RESULT} = {waiting}{function.name}({arguments})")


def _find(tree: ast.Module, name: str) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    functions = [node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    named = [function for function in functions if function.name == name]
    return named[-1] if named else (functions[0] if len(functions) == 1 else None)


def _arguments(signature: ast.arguments, bound: Iterable[str]) -> list[str]:
    """How each parameter that stands in the namespace is passed; the others keep their defaults."""
    names = set(bound)
    by_position = [argument.arg for argument in signature.posonlyargs]
    by_name = [argument.arg for argument in (*signature.args, *signature.kwonlyargs)]
    return [name for name in by_position if name in names] + [f"{name}={name}" for name in by_name if name in names]
