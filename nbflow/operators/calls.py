# SPDX-License-Identifier: BSD-3-Clause
"""Carries out a call (`core/calls.py`): finds the function, puts values in the places of the arguments, binds the result."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import os
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from nbflow.core.calls import IMPORTING, Applied, Call, Defined, Imported, Joined, Placeholder, Zipped
from nbflow.core.context import FailTask
from nbflow.core.errors import UserError
from nbflow.core.options import TaskKind
from nbflow.operators.attempt import Attempt, Ending
from nbflow.operators.deciding import as_decision
from nbflow.operators.errors import ending_of

_OWN: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep  # noqa: PTH100, PTH120 - compared with texts
#: The argument would come from a task that did not succeed.
_NOTHING: Final = object()


def run_call(attempt: Attempt, call: Call) -> Ending:
    """Call the function as the task's body, in a kernel's shell, so that `display` and figures work in it."""
    from nbflow.operators.shell import current, new_shell  # noqa: PLC0415 - IPython is loaded by then

    inputs = _take_inputs(attempt)
    shell = new_shell(attempt)
    with current(shell):
        try:
            function = find_function(call.function, attempt.namespace)
            args, kwargs = arguments(call, Given(inputs, attempt.namespace), function)
            shell.filename = _filename(function)
            result = _called(function, args, kwargs)
            _bind(call, result, attempt.namespace)
        except BaseException as error:  # noqa: BLE001 - user code may raise anything, and every ending is told
            trace = _from_user_code(error.__traceback__)
            shell.showtraceback((type(error), error, trace))
            return ending_of(error, filename=shell.filename, shown=tuple(shell.shown_traceback))
    if call.then:
        return _carry_out(attempt, call, result)
    if attempt.job.decides is TaskKind.PLAIN:
        return Ending()
    try:
        return Ending(decision=as_decision(_named(result), attempt.job.decides))
    except FailTask as refused:
        return ending_of(refused)


def _take_inputs(attempt: Attempt) -> dict[str, Any]:
    """The values, out of the namespace: they are the call's own, and what it does to them is its affair."""
    namespace = attempt.namespace
    return {name: namespace.pop(name) for name in attempt.job.inputs if name in namespace}


# --- the function --------------------------------------------------------------------------------------------------------


def find_function(function: Imported | Defined | Callable[..., Any], namespace: Mapping[str, Any]) -> Callable[..., Any]:
    """The plain function. Raises UserError when it is not where it was."""
    if isinstance(function, Defined):
        found = namespace.get(function.name)
        if found is None:
            raise UserError(f"The function {function.name} of the notebook did not travel: execute its cell and run the flow again.")
    elif isinstance(function, Imported):
        found = _imported(function)
    else:
        found = function
    plain: Callable[..., Any] = getattr(found, "function", found)
    return plain


def _imported(function: Imported) -> Any:
    token = IMPORTING.set(function.module)
    try:
        found: Any = _module(function)
    finally:
        IMPORTING.reset(token)
    for part in function.qualname.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise UserError(
            f"Module {function.module} has no {function.qualname} here: the worker sees another {function.file or 'file'} than the flow was "
            "written in. Put the file where workers import it from."
        )
    return found


def _module(function: Imported) -> types.ModuleType:
    """The module of that name; when it is another file's, the file itself."""
    module = sys.modules.get(function.module)
    if module is None:
        try:
            module = importlib.import_module(function.module)
        except ModuleNotFoundError as error:
            if error.name != function.module.partition(".")[0] and error.name != function.module:
                raise
            raise UserError(
                f"The worker cannot import {function.module}: put its file where workers find it, or install it there."
            ) from None
    if not function.file or not os.path.exists(function.file) or _same_file(module, function.file):  # noqa: PTH110
        return module
    return _load_file(function)


def _same_file(module: types.ModuleType, file: str) -> bool:
    own = getattr(module, "__file__", None)
    return own is not None and os.path.realpath(own) == os.path.realpath(file)


def _load_file(function: Imported) -> types.ModuleType:
    """A file whose name is taken by another module, such as `email.py`."""
    name = f"_nbflow_file_{function.module.replace('.', '_')}"
    spec = importlib.util.spec_from_file_location(name, function.file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


# --- the arguments and the result ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Given:
    """What stands for the placeholders of a call: values of tasks, by name, and the notebook's own functions."""

    inputs: Mapping[str, Any]
    namespace: Mapping[str, Any]


def arguments(call: Call, given: Given, function: Callable[..., Any]) -> tuple[list[Any], dict[str, Any]]:
    """What the function is called with. A value of a task that did not succeed is the parameter's default, or None.

    Raises UserError, and what a function of `.map` raises.
    """
    args = [_filled(value, given) for value in call.args]
    kwargs = {name: _filled(value, given) for name, value in call.kwargs.items()}
    if call.spread is not None:
        kwargs |= _spread(call, _filled(call.spread, given), kwargs)
    if not any(value is _NOTHING for value in (*args, *kwargs.values())):
        return args, kwargs
    parameters = inspect.signature(function).parameters
    defaults = [parameter.default for parameter in parameters.values() if parameter.kind is not parameter.KEYWORD_ONLY]
    for place, value in enumerate(args):
        if value is _NOTHING:
            default = defaults[place] if place < len(defaults) else inspect.Parameter.empty
            args[place] = None if default is inspect.Parameter.empty else default
    for name in [name for name, value in kwargs.items() if value is _NOTHING]:
        if name in parameters and parameters[name].default is not inspect.Parameter.empty:
            del kwargs[name]
        else:
            kwargs[name] = None
    return args, kwargs


def _spread(call: Call, found: Any, others: Mapping[str, Any]) -> dict[str, Any]:
    """The further arguments of one copy."""
    if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
        raise UserError(
            f"{call.result} is mapped with expand_kwargs, which takes dicts of arguments, and this element is a {type(found).__name__}."
        )
    twice = sorted(set(found) & set(others))
    if twice:
        raise UserError(f"{call.result}: {twice[0]} is given twice, once for all copies and once in expand_kwargs.")
    return dict(found)


def _filled(value: Any, inputs: Given) -> Any:
    if isinstance(value, Placeholder):
        return _value_of(value, inputs.inputs)
    if isinstance(value, Applied):
        part = _filled(value.part, inputs)
        return part if part is _NOTHING else find_function(value.function, inputs.namespace)(part)
    if isinstance(value, Zipped):
        parts = [_filled(part, inputs) for part in value.parts]
        return tuple(value.fillvalue if part is _NOTHING else part for part in parts)
    if isinstance(value, Joined):
        return next((part for part in (_filled(part, inputs) for part in value.parts) if part is not _NOTHING), _NOTHING)
    kind = type(value)
    if kind is list or kind is tuple or kind is set or kind is frozenset:
        return kind(_inner(item, inputs) for item in value)
    if kind is dict:
        return {key: _inner(item, inputs) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_make"):
        return value._make([_inner(item, inputs) for item in value])
    return value


def _inner(value: Any, inputs: Given) -> Any:
    found = _filled(value, inputs)
    return None if found is _NOTHING else found


def _value_of(place: Placeholder, inputs: Mapping[str, Any]) -> Any:
    if place.name not in inputs:
        return _NOTHING
    value = inputs[place.name]
    shown = place.name
    for key in place.path:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError) as error:
            raise UserError(f"{shown} has no [{key!r}]: it is a {type(value).__name__} ({type(error).__name__}: {error}).") from None
        shown += f"[{key!r}]"
    return value


def _called(function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    result = function(*args, **kwargs)
    if inspect.iscoroutine(result):
        return asyncio.run(result)
    return result


def _bind(call: Call, result: Any, namespace: dict[str, Any]) -> None:
    namespace[call.result] = result
    for key, name in call.items.items():
        try:
            namespace[name] = result[key]
        except (KeyError, IndexError, TypeError):
            has = f"it has {', '.join(map(repr, result))}" if isinstance(result, Mapping) else f"it is a {type(result).__name__}"
            raise UserError(
                f"{call.result} must return a dict with {key!r}, since it has multiple_outputs and a later task reads it; {has}."
            ) from None


def _named(result: Any) -> Any:
    """What a branch returned, with tasks by their names."""
    if isinstance(result, list | tuple | set | frozenset):
        return [_named(item) for item in result]
    name = getattr(result, "task_id", None)
    return str(name) if isinstance(name, str) and not isinstance(result, str) else result


def _carry_out(attempt: Attempt, call: Call, text: Any) -> Ending:
    """`@task(operator="bash")`: the function wrote what the operator is to do."""
    from nbflow.operators.registry import find_operator  # noqa: PLC0415 - the registry imports the operators

    del attempt.namespace[call.result]
    if not isinstance(text, str):
        sentence = f"Its function must return the text of the {call.then} operator, and it returned a {type(text).__name__}."
        return ending_of(UserError(sentence))
    try:
        operator = find_operator(call.then)
    except UserError as error:
        return ending_of(error)
    ending = operator(replace(attempt, job=replace(attempt.job, operator=call.then, source=text, out=call.result)))
    attempt.namespace.setdefault(call.result, None)
    return ending


# --- errors ----------------------------------------------------------------------------------------------------------------


def _filename(function: Callable[..., Any]) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code.co_filename if code is not None else ""


def _from_user_code(trace: types.TracebackType | None) -> types.TracebackType | None:
    """The traceback without nbflow's frames that lead to the user's code."""
    first = trace
    while first is not None and first.tb_frame.f_code.co_filename.startswith(_OWN):
        first = first.tb_next
    return first or trace
