# SPDX-License-Identifier: BSD-3-Clause
"""Which calls change an object in place, and which expressions hand out (a part of) the object they were given.

A heuristic: a name too many costs an edge too many, a name too few costs a wrong value; so it leans towards the first.
"""

from __future__ import annotations

import ast
from typing import Final

#: Methods that change the object they are called on.
_METHODS: Final = frozenset(
    """
    append extend insert update setdefault pop popitem clear add remove discard sort reverse fill write writelines writerow writerows
    appendleft extendleft popleft intersection_update difference_update symmetric_difference_update
    fit fit_transform fit_predict partial_fit fit_resample load_state_dict zero_grad step backward train compile
    put put_nowait push __setitem__ __delitem__ __setattr__ __delattr__ __iadd__
    """.split()  # noqa: SIM905 - a table of words is easier to read than a list of texts
)
#: Beginnings of methods that change their object: `set_title`, `add_edge`, `remove_node`.
_METHOD_STARTS: Final = ("set_", "add_", "remove_")
#: ... except these, which return a changed copy.
_COPYING: Final = frozenset(
    """
    set_index set_axis set_flags set_geometry set_crs add_prefix add_suffix add_categories remove_categories set_categories
    remove_unused_categories
    """.split()  # noqa: SIM905 - as above
)
#: Functions that change their first argument, whatever module they come from.
_FIRST_ARGUMENT: Final = frozenset(
    """
    setattr delattr next setitem delitem heappush heappop heapify heapreplace heappushpop insort insort_left insort_right shuffle fill_diagonal
    copyto putmask put_along_axis
    """.split()  # noqa: SIM905 - as above
)
#: As above, where the bare name says too little.
_FIRST_ARGUMENT_OF: Final = frozenset(
    {("np", "put"), ("np", "place"), ("numpy", "put"), ("numpy", "place"), ("add", "at"), ("subtract", "at")}
)
_BUILTIN_TYPES: Final = frozenset({"list", "dict", "set", "bytearray", "deque", "object", "defaultdict", "Counter"})
#: Calls that hand out elements of their arguments: changing what they give changes the argument.
_GIVES_PARTS: Final = frozenset(
    {"enumerate", "zip", "reversed", "sorted", "list", "tuple", "iter", "next", "filter", "chain", "islice", "vars", "tqdm"}
)
_GIVES_PARTS_METHODS: Final = frozenset({"get", "setdefault", "values", "items", "view", "reshape", "ravel"})
#: What a process shares and a value does not carry: `from os import environ` and the like.
PROCESS_STATE: Final = frozenset(
    {
        ("os", "environ"),
        ("sys", "path"),
        ("sys", "modules"),
        ("matplotlib", "pyplot"),
        ("matplotlib", "rcParams"),
        ("matplotlib.pyplot", "rcParams"),
    }
)


def mutated_by_call(call: ast.Call) -> tuple[ast.expr, ...]:
    """The expressions whose objects this call changes in place."""
    changed = [keyword.value for keyword in call.keywords if keyword.arg == "out"]
    target = call.func
    if isinstance(target, ast.Attribute):
        owner = _last_word(target.value)
        is_function = (owner in _BUILTIN_TYPES and _is_mutator(target.attr)) or (owner, target.attr) in _FIRST_ARGUMENT_OF
        if call.args and (is_function or target.attr in _FIRST_ARGUMENT):
            changed.append(call.args[0])
        elif not changed and (_is_mutator(target.attr) or _says_in_place(call)):
            changed.append(target.value)
    elif isinstance(target, ast.Name) and call.args and target.id in _FIRST_ARGUMENT:
        changed.append(call.args[0])
    return tuple(changed)


def _last_word(node: ast.expr) -> str:
    """`b` of `a.b`, `a` of `a`."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_mutator(method: str) -> bool:
    if method in _METHODS:
        return True
    if method.startswith(_METHOD_STARTS):
        return method not in _COPYING
    return len(method) > 1 and method.endswith("_") and not method.startswith("_")  # torch: add_(), zero_()


def _says_in_place(call: ast.Call) -> bool:
    """`inplace=`; anything but a literal False counts."""
    return any(word.arg == "inplace" and not (isinstance(word.value, ast.Constant) and not word.value.value) for word in call.keywords)


def parts_of(node: ast.expr) -> tuple[ast.expr, ...]:
    """The expressions whose object (or a part of it) `node` evaluates to; empty when it makes a new one."""
    match node:
        case ast.Name():
            return (node,)
        case ast.Attribute(value=value) | ast.Subscript(value=value) | ast.Starred(value=value) | ast.NamedExpr(value=value):
            return parts_of(value)
        case ast.IfExp(body=body, orelse=orelse):
            return parts_of(body) + parts_of(orelse)
        case ast.BoolOp(values=values):
            return tuple(part for value in values for part in parts_of(value))
        case ast.Call(func=ast.Attribute(value=value, attr=attribute)) if attribute in _GIVES_PARTS_METHODS:
            return parts_of(value)
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=arguments) if name in _GIVES_PARTS:
            return tuple(part for argument in arguments for part in parts_of(argument))
    return ()


def element_parts_of(node: ast.expr) -> tuple[ast.expr, ...]:
    """As `parts_of` for what a loop over `node` hands out: `for frame in [train, test]` gives both."""
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return tuple(part for element in node.elts for part in parts_of(element))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _GIVES_PARTS:
        return tuple(part for argument in node.args for part in element_parts_of(argument))
    return parts_of(node)
