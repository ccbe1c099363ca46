# SPDX-License-Identifier: BSD-3-Clause
"""What a cell reads, binds and changes in place: one construct a row."""

from __future__ import annotations

import sys

import pytest

from nbflow.authoring.cells import analyse

#: construct -> (cell, reads, writes, mutates); names separated by blanks
ASSIGNMENTS = {
    "assignment": ("y = x + 1", "x", "y", ""),
    "chained assignment": ("a = b = c", "c", "a b", ""),
    "unpacking with a star into an element": ("(a, *b), c[0] = z", "z c", "a b", "c"),
    "swap": ("a, b = b, a", "a b", "a b", ""),
    "augmented assignment": ("x += 1", "x", "x", ""),
    "augmented assignment of a name bound before": ("x = 0\nx += 1", "", "x", ""),
    "augmented assignment of an attribute": ("obj.total += n", "obj n", "", "obj"),
    "augmented assignment of an element": ("counts[k] += 1", "counts k", "", "counts"),
    "annotated assignment": ("x: T = v", "T v", "x", ""),
    "annotation alone": ("x: int", "", "", ""),
    "walrus": ("if (n := len(s)) > 3: print(n)", "s", "n", ""),
    "walrus in a comprehension": ("r = [y := f(v) for v in data]\nw = y", "f data", "r y w", ""),
    "walrus in a condition of a comprehension": ("r = [y for v in data if (y := f(v))]", "f data", "r y", ""),
    "rebinding a builtin": ("print(open)\nopen = 3", "", "open", ""),
    "f-string": ("s = f'{a!r:>{w}} {b[k]}'", "a w b k", "s", ""),
    "f-string with =": ("s = f'{a=}'", "a", "s", ""),
    "conditional expression": ("x = a if c else b", "a b c", "x", ""),
    "slice": ("x = a[i:j, ...]", "a i j", "x", ""),
    "star in a call": ("f(*a, **k)", "f a k", "", ""),
    "imports": ("import os.path, numpy as np\nfrom a import b as c", "", "os np c", ""),
    "star import": ("from m import *", "", "", ""),
    "relative import and submodule": ("import a.b\na.b.c = 1\nfrom . import z", "", "a z", "a"),
    "empty cell": ("", "", "", ""),
    "comment": ("# df", "", "", ""),
    "text": ("'df'", "", "", ""),
    "global at the top": ("global x\nx = 1", "", "x", ""),
}
SCOPES = {
    "list comprehension": ("a = [q*k for q in rows if q]", "rows k", "a", ""),
    "nested comprehension": ("a = [x*y for x in xs for y in f(x)]", "xs f", "a", ""),
    "comprehension over a name of the same name": ("x = [x for x in x]", "x", "x", ""),
    "dict and set comprehension": ("m = {k: v for k, v in src.items()}\ns = {w for w in m}", "src", "m s", ""),
    "generator": ("t = sum(p for p in prices)", "prices", "t", ""),
    "comprehension leaves the name outside alone": ("q = 1\na = [q for q in range(3)]", "", "q a", ""),
    "function": ("def f(n):\n    return n + off\nz = f(1)", "off", "f z", ""),
    "function with comprehension": ("def f():\n    return [a for a in b]", "b", "f", ""),
    "local name of a function": ("def f():\n    t = 1\n    return t", "", "f", ""),
    "recursive function": ("def rec(n): return rec(n-1)", "", "rec", ""),
    "name bound after the function": ("def early(): return late\nlate = 2", "", "early late", ""),
    "name bound after the function was called": ("def early(): return late\nearly()\nlate = 2", "late", "early late", ""),
    "global in a function": ("def f():\n    global g\n    g = 1\nf()", "", "f g", ""),
    "global that a function adds to": ("def f():\n    global g\n    g += 1", "g", "f g", ""),
    "nonlocal": ("def f():\n    x = 1\n    def h():\n        nonlocal x\n        x += y\n    return h", "y", "f", ""),
    "closure": ("def f(a):\n    def g(): return a + b\n    return g", "b", "f", ""),
    "import in a function": ("def f():\n    import json\n    return json.dumps(x)", "x", "f", ""),
    "decorator, default and annotations": ("@deco(arg)\ndef f(x: T = d) -> R: return x", "deco arg T d R", "f", ""),
    "lambda with a default": ("lam = lambda a, b=dflt: a + b + c", "dflt c", "lam", ""),
    "lambda that is used at once": ("r = map(lambda v: v + k, xs)\nk = 1", "xs k", "r k", ""),
    "class": ("class K(Base):\n    z = u\n    def m(self): return z2", "Base u z2", "K", ""),
    "class with a comprehension and an annotation": ("class C:\n    xs = [i for i in n]\n    ys: int", "n", "C", ""),
    "class name used in its body": ("class C:\n    a = 1\n    b = a + c", "c", "C", ""),
    "methods do not see names of the class": ("class C:\n    a = 1\n    def m(self): return a", "a", "C", ""),
    "class with metaclass": ("class C(metaclass=M): pass", "M", "C", ""),
    "dataclass field default": ("@dataclass\nclass P:\n    x: int = start", "dataclass start", "P", ""),
    "async function": ("async def f():\n    return await g(u)", "g u", "f", ""),
    "yield": ("def f():\n    yield x", "x", "f", ""),
}
PATHS = {
    "if on one path": ("if c:\n    p = 1\nprint(p)", "c p", "p", ""),
    "if on both paths": ("if c: p = 1\nelse: p = 2\nprint(p)", "c", "p", ""),
    "if that raises otherwise": ("if c: p = 1\nelse: raise E\nprint(p)", "c E", "p", ""),
    "try that binds": ("try:\n    v = g()\nexcept E as e:\n    print(e)\n    v = None", "g E", "v", ""),
    "try that may not bind": ("try:\n    v = g()\nexcept ValueError as e:\n    print(e)\nuse(v)", "g use v", "v", ""),
    "try that raises again": ("try:\n    v = g()\nexcept ValueError:\n    raise\nuse(v)", "g use", "v", ""),
    "try else finally": ("try:\n    a = f()\nexcept E:\n    a = 0\nelse:\n    b = a\nfinally:\n    c = z", "f E z", "a b c", ""),
    "exception group": ("try:\n    v = g()\nexcept* E as e:\n    v = e", "g E", "v", ""),
    "for": ("for i in it:\n    tot = tot + i", "it tot", "i tot", ""),
    "for that may not run": ("for i in it: pass\nprint(i)", "it i", "i", ""),
    "for over something": ("for i in (1, 2): pass\nprint(i)", "", "i", ""),
    "for over a range": ("for i in range(3): last = i\nprint(last)", "", "i last", ""),
    "for else": ("for i in it: break\nelse: d = 1", "it", "i d", ""),
    "while": ("while n: n = f(n)", "n f", "n", ""),
    "while True with a break": ("while True:\n    x = f()\n    if x: break\nuse(x)", "f use", "x", ""),
    "with": ("with open(p) as fh: txt = fh.read()", "p", "fh txt", ""),
    "with several": ("with a() as x, b(x) as (y, z): pass", "a b", "x y z", ""),
    "with that adds to a name": ("with lock: shared += 1", "lock shared", "shared", ""),
    "with suppress": ("with suppress(E): x = f()\nuse(x)", "suppress E f use x", "x", ""),
    "match": ("match cmd:\n    case {'k': val, **rest}: got = val", "cmd", "val rest got", ""),
    "match of a class, with a guard": (
        "match s:\n    case Point(x=0, y=py) if py > limit: pass\n    case [a, *b]: pass",
        "s Point limit",
        "py a b",
        "",
    ),
    "match that takes all": ("match s:\n    case 1: r = 1\n    case _: r = 2\nuse(r)", "s use", "r", ""),
    "short circuit": ("a and (b := c)\nuse(b)", "a c use b", "b", ""),
    "await": ("r = await fetch(u)", "fetch u", "r", ""),
    "async for": ("async for k in src: out = k", "src", "k out", ""),
    "async with": ("async with pool() as c: r = await c.get(u)", "pool u", "c r", ""),
    "async comprehension": ("t = [await g(u) async for u in us]", "g us", "t", ""),
    "del": ("del t", "t", "", ""),
    "del of what was bound": ("t = 1\ndel t", "", "", ""),
    "del and bind again": ("del t\nt = 2", "t", "t", ""),
    "assert and raise": ("assert a, b\nraise E(c) from d", "a b E c d", "", ""),
}
CHANGES = {
    "element": ("df['x'] = 1", "df", "", "df"),
    "attribute": ("obj.a.b = c", "obj c", "", "obj"),
    "element of an attribute": ("df.loc[mask, 'x'] = v", "df mask v", "", "df"),
    "chained elements": ("d['a']['b'].c = 1", "d", "", "d"),
    "del of an element": ("del d[k]", "d k", "", "d"),
    "del of an attribute": ("del o.a", "o", "", "o"),
    "method": ("items.append(v)", "items v", "", "items"),
    "method of an attribute": ("o.items.append(v)", "o v", "", "o"),
    "method of an element": ("groups[k].add(v)", "groups k v", "", "groups"),
    "method of what setdefault gave": ("groups.setdefault(k, []).append(v)", "groups k v", "", "groups"),
    "fit": ("model.fit(X, y)", "model X y", "", "model"),
    "inplace": ("df.dropna(inplace=True)", "df", "", "df"),
    "inplace that is chosen": ("df.dropna(inplace=flag)", "df flag", "", "df"),
    "not inplace": ("clean = df.dropna(inplace=False)", "df", "clean", ""),
    "method that copies": ("b = df.set_index('x')", "df", "b", ""),
    "setter": ("ax.set_title('x')", "ax", "", "ax"),
    "torch": ("t.add_(1)", "t", "", "t"),
    "setattr": ("setattr(x, 'a', 1)", "x", "", "x"),
    "delattr": ("delattr(x.y, 'a')", "x", "", "x"),
    "heapq": ("import heapq\nheapq.heappush(h, 1)", "h", "heapq", "h"),
    "heapq by name": ("from heapq import heappush\nheappush(h, 1)", "h", "heappush", "h"),
    "bisect": ("bisect.insort(xs, 1)", "bisect xs", "", "xs"),
    "random.shuffle": ("random.shuffle(xs)", "random xs", "", "xs"),
    "np.fill_diagonal": ("np.fill_diagonal(m, 0)", "np m", "", "m"),
    "np.put": ("np.put(m, 0, 1)", "np m", "", "m"),
    "ufunc.at": ("np.add.at(m, i, 1)", "np m i", "", "m"),
    "out=": ("np.add(a, b, out=c)", "np a b c", "", "c"),
    "next of an iterator": ("first = next(it)", "it", "first", "it"),
    "unbound method": ("list.append(xs, 1)", "xs", "", "xs"),
    "vars": ("vars(o)['a'] = 1", "o", "", "o"),
    "alias": ("b = a\nb.append(1)", "a", "b", "a b"),
    "alias of an alias": ("b = a\nc = b\nc.append(1)", "a", "b c", "a b c"),
    "alias of an element": ("row = rows[0]\nrow['x'] = 1", "rows", "row", "rows row"),
    "alias that was bound anew": ("b = a\nb = []\nb.append(1)", "a", "b", "b"),
    "alias on one path": ("b = a if c else []\nb.append(1)", "a c", "b", "a b"),
    "alias by unpacking": ("x, y = a, b\nx.append(1)", "a b", "x y", "a x"),
    "alias that is added to": ("b = a\nb += [1]", "a", "b", "a"),
    "number of an element that is added to": ("n = counts[k]\nn += 1", "counts k", "n", ""),
    "elements of a loop": ("for row in rows: row['x'] = 1", "rows", "row", "rows row"),
    "elements of enumerate": ("for i, row in enumerate(rows): row['x'] = i", "rows", "i row", "rows row"),
    "elements of a literal": ("for d in (train, test): d['x'] = 1", "train test", "d", "train test d"),
    "values of a dict": ("for v in d.values(): v.append(1)", "d", "v", "d v"),
    "elements of a comprehension": ("[r.update(a=1) for r in rows]", "rows", "", "rows"),
    "inside a with": ("with open(p) as f: f.write(t)", "p t", "f", "f"),
    "copy that is changed": ("b = a.copy()\nb.append(1)", "a", "b", "b"),
    "in a function": ("def f(): cache['x'] = 1", "cache", "f", ""),
    "in a function that is called": ("def f(): cache['x'] = 1\nf()", "cache", "f", "cache"),
    "argument of a function that changes it": ("def f(d): d['x'] = 1\nf(data)", "data", "f", "data"),
    "keyword argument of such a function": ("def f(a, d): d['x'] = 1\nf(1, d=data)", "data", "f", "data"),
    "argument of a function that copies first": (
        "def f(d):\n    d = d.copy()\n    d['x'] = 1\n    return d\nr = f(data)",
        "data",
        "f r",
        "",
    ),
    "local name in a function": ("def f():\n    xs = []\n    xs.append(1)\n    return xs", "", "f", ""),
    "match": ("match rows:\n    case [first, *_]: first.append(1)", "rows", "first", "rows first"),
}
MAGICS = {
    "%time": ("%time z = q + 1", "q", "z", ""),
    "%time that is assigned": ("z = %time f(q)", "f q", "z", ""),
    "%timeit": ("%timeit -n 10 f(q)", "f q", "", ""),
    "%prun": ("%prun f(q)", "f q", "", ""),
    "%%capture": ("%%capture out\nprint(a)", "a", "out", ""),
    "%%capture with a flag": ("%%capture out --no-stderr\nprint(a)", "a", "out", ""),
    "%%capture without a name": ("%%capture --no-stderr\nx = a", "a", "x", ""),
    "%%time": ("%%time\nz = a + 1", "a", "z", ""),
    "%%time and another line magic": ("%%time\n%matplotlib inline\nz = a", "a", "z", ""),
    "two cell magics": ("%%time\n%%capture out\nz = a", "a", "z out", ""),
    "%%timeit keeps nothing": ("%%timeit\nz = f(a)", "f a", "", ""),
    "%%bash": ("%%bash\nls $x", "", "", ""),
    "%%bash with an output": ("%%bash --out listing\nls", "", "listing", ""),
    "%%bash with an argument": ("%%bash -s {folder}\nls $1", "folder", "", ""),
    "%%writefile": ("%%writefile {name}.txt\nhello df", "name", "", ""),
    "%%html": ("%%html\n<b>{x}</b>", "", "", ""),
    "shell with variables": ("!ls $folder {f(a)} $$HOME", "folder f a", "", ""),
    "shell that is assigned": ("files = !ls {d} $e | awk '{print $1}'", "d e", "files", ""),
    "double shell": ("!!ls $d", "d", "", ""),
    "line magic with variables": ("%cd {base}/x", "base", "", ""),
    "magic that is assigned": ("x = %env $name", "name", "x", ""),
    "%matplotlib": ("%matplotlib inline\nx = 1", "", "x", ""),
    "%run": ("%run script.py {a}", "a", "", ""),
    "%store -r": ("%store -r x y", "", "x y", ""),
    "help": ("obj?", "", "", ""),
    "magic in a block": ("if c:\n    %time x = f()", "c f", "x", ""),
    "indented cell": ("  x = a\n  y = x", "a", "x y", ""),
    "prompts": (">>> x = a\n>>> y = x", "a", "x y", ""),
    "percent of Python": ("x = a % b", "a b", "x", ""),
}
TABLE = {**ASSIGNMENTS, **SCOPES, **PATHS, **CHANGES, **MAGICS}


@pytest.mark.parametrize(("cell", "reads", "writes", "mutates"), TABLE.values(), ids=TABLE)
def test_names_of(cell: str, reads: str, writes: str, mutates: str) -> None:
    names = analyse(cell)
    found = (set(names.reads), set(names.writes), set(names.mutates))
    assert found == (set(reads.split()), set(writes.split()), set(mutates.split()))


NEW_SYNTAX = {
    "generic function": ("def f[T](x: T) -> T: return x + k", "k", "f"),
    "generic class": ("class C[T](Base): x: T", "Base", "C"),
    "type alias": ("type X = list[Item]", "Item", "X"),
    "generic type alias": ("type X[T] = dict[T, Item]", "Item", "X"),
}


@pytest.mark.skipif(sys.version_info < (3, 12), reason="syntax of Python 3.12")
@pytest.mark.parametrize(("cell", "reads", "writes"), NEW_SYNTAX.values(), ids=NEW_SYNTAX)
def test_names_of_new_syntax(cell: str, reads: str, writes: str) -> None:
    names = analyse(cell)
    assert (set(names.reads), set(names.writes)) == (set(reads.split()), set(writes.split()))


def test_writes_stand_in_order_of_appearance() -> None:
    assert analyse("c = 1\na = 2\nfor b in x: c = 3").writes == ("c", "a", "b")


def test_builtins_are_reported_apart() -> None:
    names = analyse("print(open, x)\ndisplay(x)")
    assert names.reads == {"x"}
    assert names.builtin_reads == {"print", "open", "display"}


def test_deletes_are_the_names_unbound_at_the_end() -> None:
    assert analyse("del a\nb = 1\ndel b\ndel c\nc = 1").deletes == {"a", "b"}


def test_stars_and_magics_are_listed() -> None:
    names = analyse("from numpy import *\n%run other.py\n%matplotlib inline\n!ls")
    assert names.stars == ("numpy", "%run other.py")
    assert names.magics == ("%run", "%matplotlib", "!")


def test_top_level_await_makes_a_cell_async() -> None:
    assert analyse("x = await f()").is_async
    assert not analyse("async def g():\n    await f()").is_async


def test_a_name_bound_on_some_paths_is_a_maybe() -> None:
    assert analyse("if c: x = 1\ny = 2").maybe == {"x"}


def test_reads_of_a_function_nobody_calls_are_deferred() -> None:
    assert analyse("def f(): return a + b\nc = b").deferred == {"a"}
    assert analyse("def f(): return a\nf()").deferred == set()


def test_definitions_carry_their_source_with_decorators() -> None:
    definition = analyse("x = 1\n@cache\ndef f(n):\n    return n + off\n").definitions["f"]
    assert definition.source == "@cache\ndef f(n):\n    return n + off"
    assert definition.line == 2
    assert definition.reads == ("off",)


def test_definitions_say_what_they_bind_and_change() -> None:
    definition = analyse("def f():\n    global n\n    n = 1\n    cache.clear()").definitions["f"]
    assert definition.writes == ("n",)
    assert definition.mutates == ("cache",)


def test_a_class_and_a_named_lambda_are_definitions() -> None:
    definitions = analyse("class C:\n    def m(self): return k\ng = lambda x: x + h").definitions
    assert {name: found.reads for name, found in definitions.items()} == {"C": ("k",), "g": ("h",)}


def test_a_name_bound_anew_is_no_definition() -> None:
    assert not analyse("def f(): pass\nf = 1").definitions


def test_a_definition_below_a_cell_magic_keeps_its_line() -> None:
    assert analyse("%%time\n\ndef f(): pass").definitions["f"].line == 3


def test_a_syntax_error_names_its_line() -> None:
    with pytest.raises(SyntaxError) as caught:
        analyse("x = 1\ny = = 2")
    assert caught.value.lineno == 2


def test_a_syntax_error_beside_a_magic_names_its_line() -> None:
    with pytest.raises(SyntaxError) as caught:
        analyse("%matplotlib inline\nx = 1\ny = = 2")
    assert caught.value.lineno == 3


def test_looking_at_a_cell_warns_about_nothing(recwarn: pytest.WarningsRecorder) -> None:
    analyse("x = '\\d'\nx is 1")
    assert not recwarn.list
