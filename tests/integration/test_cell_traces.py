# SPDX-License-Identifier: BSD-3-Clause
"""One attempt leaves nothing to the next, and finds what the plain cells set."""

import os
import pickle

import pytest

from nbflow.core.job import Outcome, ProcessState

LEAVE = """
    import asyncio, builtins, decimal, locale, logging, os, random, signal, sys, threading, warnings
    import numpy as np, pandas as pd, matplotlib.pyplot as plt
    leftover = 1
    os.chdir("/")
    os.umask(0o077)
    os.environ["LEFT"] = "1"; os.environ.pop("HOME", None)
    sys.path.insert(0, "/left"); sys.argv.append("left")
    sys.setrecursionlimit(5000)
    warnings.simplefilter("error")
    plt.rcParams["lines.linewidth"] = 77
    plt.figure(99)
    pd.set_option("display.max_rows", 3)
    np.set_printoptions(precision=1); np.seterr(all="raise")
    logging.basicConfig(level="DEBUG"); logging.getLogger("left").setLevel("ERROR"); logging.disable(logging.INFO)
    builtins.left = 1
    signal.signal(signal.SIGUSR1, lambda *_: None)
    decimal.getcontext().prec = 3
    random.seed(1); np.random.seed(1)
    asyncio.get_running_loop().left = True
    asyncio.get_running_loop().create_task(asyncio.sleep(1000))
    sys.stdout = None
    get_ipython().register_magic_function(lambda line: None, magic_name="left")
"""
LOOK = """
    import asyncio, builtins, decimal, logging, os, random, signal, sys, warnings
    import numpy as np, pandas as pd, matplotlib.pyplot as plt
    seen = {
        "name": "leftover" in globals(), "cwd": os.getcwd() == "/", "env": "LEFT" in os.environ or "HOME" not in os.environ,
        "path": "/left" in sys.path or "left" in sys.argv, "recursion": sys.getrecursionlimit() == 5000,
        "warnings": warnings.filters[0][0] == "error", "rc": plt.rcParams["lines.linewidth"] == 77, "figures": plt.get_fignums() != [],
        "pandas": pd.get_option("display.max_rows") == 3, "numpy": np.get_printoptions()["precision"] == 1 or np.geterr()["over"] == "raise",
        "logging": bool(logging.getLogger().handlers) or logging.getLogger("left").level != 0 or logging.root.manager.disable != 0,
        "builtins": hasattr(builtins, "left"), "signal": signal.getsignal(signal.SIGUSR1) != signal.SIG_DFL, "decimal": decimal.getcontext().prec == 3,
        "loop": hasattr(asyncio.get_running_loop(), "left"), "magic": get_ipython().find_line_magic("left") is not None,
    }
    leaks = sorted(name for name, is_there in seen.items() if is_there)
    draw = [random.random(), float(np.random.rand())]
    print("still printing")
"""


@pytest.mark.parametrize("preload", ["", "numpy,pandas,matplotlib.pyplot"])
def test_nothing_of_an_attempt_is_seen_by_the_next(child, preload):
    look = {"demands": ("leaks", "draw")}
    first, second, third = child.run_all(child.job(LEAVE), child.job(LOOK, **look), child.job(LOOK, **look), preload=preload)
    assert first.outcome is Outcome.SUCCESS, first.error
    assert child.value(second, "leaks") == []
    assert child.text(second) == "still printing\n"
    assert all(one != other for one, other in zip(child.value(second, "draw"), child.value(third, "draw"), strict=True))


def test_a_helper_module_beside_the_notebook_is_imported_anew(child):
    folder = child.folder / "notebook"
    folder.mkdir()
    (folder / "my_helper.py").write_text("calls = []\n")
    source = "import my_helper\nmy_helper.calls.append(1)\nn = len(my_helper.calls)"
    jobs = [child.job(source, demands=("n",), process=ProcessState(sys_path=(str(folder),))) for _ in range(2)]
    assert [child.value(report, "n") for report in child.run_all(*jobs)] == [1, 1]


@pytest.mark.parametrize("preload", ["", "numpy,pandas,matplotlib.pyplot"])
def test_what_plain_cells_set_in_the_process_is_there(child, preload):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        filters = pickle.dumps(warnings.filters)
    folder = child.folder / "work"
    folder.mkdir()
    state = ProcessState(
        cwd=str(folder),
        sys_path=("/added",),
        environment={"STAGE": "test", "HOME": None},
        settings={"matplotlib": {"lines.linewidth": 7.0}, "pandas": {"display.max_rows": 5}, "numpy": {"precision": pickle.dumps(2)}},
        warning_filters=filters,
    )
    report = child.run_all(child.job("""
        import os, sys, warnings
        import numpy as np, pandas as pd, matplotlib as mpl
        warnings.warn("quiet")
        seen = [os.getcwd(), "/added" in sys.path, os.environ["STAGE"], "HOME" in os.environ, mpl.rcParams["lines.linewidth"],
                pd.get_option("display.max_rows"), np.get_printoptions()["precision"]]
    """, demands=("seen",), process=state), preload=preload)[0]  # fmt: skip
    assert report.outcome is Outcome.SUCCESS, report.error
    assert child.value(report, "seen") == [os.fspath(folder), True, "test", False, 7.0, 5, 2]
    assert child.text(report, "stderr") == ""
    assert report.warnings == ()


def test_a_working_directory_that_is_not_there_is_a_warning(child):
    report = child.run("x = 1", process=ProcessState(cwd="/not/here"))
    assert report.outcome is Outcome.SUCCESS
    assert "/not/here" in report.warnings[0]
