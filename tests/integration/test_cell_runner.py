# SPDX-License-Identifier: BSD-3-Clause
"""Cells run in a real child process as a kernel runs them, and one attempt leaves nothing to the next."""

import json
import os
import pickle
import re
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

import pytest

from nbflow.core.job import (
    AttemptBegan,
    Capture,
    CaptureKind,
    Job,
    JobContext,
    Outcome,
    OutputMade,
    ProcessState,
    ProgressMade,
)
from nbflow.core.model import CellRef
from nbflow.core.options import TaskKind
from nbflow.operators.values import decode, store
from nbflow.store.artifacts import open_artifacts

ROOT = Path(__file__).resolve().parents[2]


class Child:
    """Runs jobs in one fresh process, in order."""

    def __init__(self, folder):
        self.folder = folder
        self.artifacts = open_artifacts(str(folder / "artifacts"))
        self.events = []

    def job(self, source, **more):
        from nbflow.core.ids import TaskKey

        more.setdefault("cell", CellRef(number=4, id="c", offset=1))
        context = JobContext(flow="errors", run_id="r1", key=TaskKey(more.pop("task", "clean")), attempt=1, params=more.pop("params", {}))
        return Job(token=uuid.uuid4().hex, context=context, operator=more.pop("operator", "cell"), source=textwrap.dedent(source), **more)

    def run_all(self, *jobs, preload=""):
        files = [self.folder / name for name in ("jobs", "reports")]
        files[0].write_bytes(pickle.dumps(jobs))
        command = [sys.executable, "-m", "tests.integration.cell_child", *map(str, files), str(self.folder / "artifacts"), preload]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
        reports, self.events = pickle.loads(files[1].read_bytes())
        return reports

    def run(self, source, **more):
        return self.run_all(self.job(source, **more))[0]

    def value(self, report, name):
        return decode(report.values[name], self.artifacts)

    def outputs(self, report):
        return list(report.outputs.inline) or json.loads(self.artifacts.get(report.outputs.hash)) if report.outputs.size > 2 else []

    def text(self, report, name="stdout"):
        return "".join(output["text"] for output in self.outputs(report) if output.get("name") == name)

    def ref(self, value, **more):
        return store(value, self.artifacts, **more)


@pytest.fixture
def child(tmp_path):
    return Child(tmp_path)


def plain(error):
    """The traceback without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))


def definition(name, source, *, needs=(), number=2, line=1):
    return Capture(
        name=name, kind=CaptureKind.DEFINITION, source=textwrap.dedent(source).strip(), needs=needs, cell=CellRef(number=number), line=line
    )


# what a cell can do


def test_a_cell_reads_its_inputs_and_gives_what_is_demanded(child):
    report = child.run("total = sum(rows)\nextra = [total]", inputs={"rows": child.ref([1, 2, 3])}, demands=("total",), offers=("extra",))
    assert report.outcome is Outcome.SUCCESS
    assert child.value(report, "total") == 6
    assert child.value(report, "extra") == [6]


def test_the_report_says_when_where_and_at_what_cost(child):
    report = child.run("x = sum(range(10**6))")
    assert report.worker == "child"
    assert report.started_at < report.ended_at
    assert report.cpu_seconds > 0
    assert report.peak_bytes > 10**7
    assert isinstance(child.events[0][0], AttemptBegan)


def test_prints_displays_and_the_last_expression_stand_in_order(child):
    report = child.run("""
        import sys
        from IPython.display import display, HTML
        print("one")
        print("two", file=sys.stderr)
        display(HTML("<b>three</b>"))
        "four"
    """)
    outputs = child.outputs(report)
    assert [output["output_type"] for output in outputs] == ["stream", "stream", "display_data", "execute_result"]
    assert outputs[2]["data"]["text/html"] == "<b>three</b>"
    assert outputs[3]["data"]["text/plain"] == "'four'"


def test_the_outputs_are_valid_in_a_notebook(child):
    import nbformat

    report = child.run("print(1)\ndisplay(2)\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\n1/0")
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("x", outputs=[nbformat.from_dict(one) for one in child.outputs(report)])]
    )
    nbformat.validate(notebook)


def test_a_semicolon_hides_the_last_expression(child):
    assert child.outputs(child.run("1 + 1;")) == []


def test_display_ids_update_in_place_and_clear_output_clears(child):
    report = child.run("""
        from IPython.display import display, clear_output
        print("gone")
        clear_output(wait=True)
        handle = display("old", display_id=True)
        print("between")
        handle.update("new")
    """)
    first, second = child.outputs(report)
    assert first["data"]["text/plain"] == "'new'"
    assert second["text"] == "between\n"


def test_magics_and_shell_commands_work(child):
    report = child.run("""
        %env GREETING=hello
        !echo $GREETING from bash
        files = !echo a.txt
        %time doubled = 2 * 21
        assert get_ipython() is not None
    """, demands=("doubled",))  # fmt: skip
    assert report.outcome is Outcome.SUCCESS, report.error
    assert "hello from bash" in child.text(report)
    assert "Wall time" in child.text(report)
    assert child.value(report, "doubled") == 42


def test_cell_magics_work(child):
    report = child.run("%%time\nx = 1\n", demands=("x",))
    assert child.value(report, "x") == 1
    report = child.run("%%capture caught\nprint('quiet')\n", demands=("caught",))
    assert child.outputs(report) == []
    assert child.value(report, "caught").stdout == "quiet\n"
    assert child.text(child.run("%%bash\necho from bash\n")) == "from bash\n"


@pytest.mark.parametrize("magic", ["", "%matplotlib inline\n"])
def test_figures_are_shown_at_the_end_of_the_cell_in_every_attempt(child, magic):
    job = [
        child.job(f"{magic}import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot([1, 2])\nprint('drawn')") for _ in range(2)
    ]
    for report in child.run_all(*job):
        stream, figure = child.outputs(report)
        assert stream["text"] == "drawn\n"
        assert figure["data"]["image/png"].startswith("iVBOR")


def test_top_level_await_and_background_tasks_work(child):
    report = child.run("""
        import asyncio
        async def double(x):
            await asyncio.sleep(0)
            return 2 * x
        early = asyncio.create_task(double(1))
        a = await early
        b, c = await asyncio.gather(double(2), double(3))
    """, demands=("a", "b", "c"))  # fmt: skip
    assert [child.value(report, name) for name in "abc"] == [2, 4, 6]


def test_logging_appears_under_the_cell(child):
    source = """
        import logging
        from nbflow.core.context import ctx
        logging.getLogger("theirs").warning("careful")
        logging.basicConfig(level="INFO", format="%(levelname)s %(message)s")
        logging.info("now heard")
        ctx.log.info("from ctx")
    """
    for report in child.run_all(child.job(source), child.job(source)):
        text = child.text(report, "stderr")
        assert text.splitlines()[:2] == ["careful", "INFO now heard"]
        assert text.count("from ctx") == 1


def test_what_c_code_and_subprocesses_print_is_caught_in_order(child):
    report = child.run("""
        import ctypes, os, subprocess, sys
        print("1 python")
        os.write(1, b"2 descriptor\\n")
        print("3 python")
        subprocess.run(["echo", "4 subprocess"])
        os.system("echo 5 system")
        ctypes.CDLL(None).puts(b"6 libc")
        os.write(2, b"error\\n")
    """)
    assert child.text(report).splitlines() == ["1 python", "2 descriptor", "3 python", "4 subprocess", "5 system", "6 libc"]
    assert child.text(report, "stderr") == "error\n"


def test_a_subprocess_that_prints_megabytes_does_not_hang(child):
    report = child.run("""
        import subprocess
        subprocess.run(["python3", "-c", "print('x' * 3_000_000)"])
    """)
    assert len(child.text(report)) == 3_000_001


def test_a_progress_bar_is_folded_to_its_last_state(child):
    report = child.run("""
        from tqdm import tqdm
        for _ in tqdm(range(50), mininterval=0):
            pass
    """)
    text = child.text(report, "stderr")
    assert "50/50" in text
    assert "\r" not in text
    assert text.count("it/s") <= 1


def test_threads_of_user_code_print_under_the_cell(child):
    report = child.run("""
        import threading
        thread = threading.Thread(target=print, args=("from a thread",))
        thread.start()
        thread.join()
    """)
    assert child.text(report) == "from a thread\n"


def test_processes_that_user_code_forks_print_under_the_cell(child):
    report = child.run("""
        import multiprocessing
        process = multiprocessing.get_context("fork").Process(target=print, args=("from a fork",))
        process.start()
        process.join()
        print("from the cell")
    """)
    assert child.text(report) == "from a fork\nfrom the cell\n"


@pytest.mark.parametrize("preload", ["", "pandas"])
def test_libraries_show_what_they_show_in_a_notebook(child, preload):
    report = child.run_all(
        child.job("""
            import pandas as pd
            shell = type(get_ipython()).__name__
            columns = pd.get_option("display.max_columns")
            pd.DataFrame({"a": [1]})
        """, demands=("shell", "columns")), preload=preload)[0]  # fmt: skip
    assert child.value(report, "shell") == "ZMQInteractiveShell"
    assert child.value(report, "columns") == 20
    assert "<table" in child.outputs(report)[0]["data"]["text/html"]


def test_no_thread_is_left_when_an_attempt_is_over(child):
    look = "import threading\nn = sorted(thread.name for thread in threading.enumerate() if thread.name != 'MainThread')"
    reports = child.run_all(*(child.job("print('no newline', end='')\n" + look, demands=("n",)) for _ in range(3)))
    assert [child.value(report, "n") for report in reports] == [["nbflow-outputs", "nbflow-pipes"]] * 3


def test_outputs_and_progress_are_told_while_the_cell_runs(child):
    child.run("""
        from nbflow.core.context import ctx
        print("line")
        ctx.progress(0.5, "half")
    """)
    began, *rest = child.events[0]
    assert isinstance(began, AttemptBegan)
    assert [event.output["text"] for event in rest if isinstance(event, OutputMade)] == ["line\n"]
    assert [(event.fraction, event.text) for event in rest if isinstance(event, ProgressMade)] == [(0.5, "half")]


def test_ctx_answers_for_the_attempt(child):
    report = child.run(
        "from nbflow.core.context import ctx\nseen = [ctx.flow, ctx.run_id, ctx.task, ctx.map_index, ctx.attempt, ctx.params['day']]",
        demands=("seen",),
        params={"day": "x"},
    )
    assert child.value(report, "seen") == ["errors", "r1", "clean", -1, 1, "x"]


def test_multiprocessing_works_in_a_cell(child):
    report = child.run("""
        import multiprocessing
        with multiprocessing.get_context("fork").Pool(2) as pool:
            squares = pool.map(abs, [-1, -2])
    """, demands=("squares",))  # fmt: skip
    assert child.value(report, "squares") == [1, 2]


# how a cell fails


def test_a_traceback_shows_the_users_cell_line_and_code_only(child):
    report = child.run("""x = 1
def inner(value):
    return value["temp_c"]

inner({})
""")
    assert report.outcome is Outcome.FAILED
    error = report.error
    assert (error.ename, error.evalue, error.line) == ("KeyError", "'temp_c'", 4)
    assert error.sentence == report.reason == "KeyError: 'temp_c'"
    text = plain(error)
    assert "Cell 4 (clean), line 6" in text
    assert 'return value["temp_c"]' in text
    assert "----> 4" in text
    for foreign in ("nbflow/operators", "IPython/core", "asyncio"):
        assert foreign not in text
    assert child.outputs(report)[-1]["output_type"] == "error"
    assert {"KeyError", "builtins.KeyError", "LookupError", "Exception"} <= set(error.classes)
    assert "object" not in error.classes


def test_a_traceback_through_a_notebook_function_shows_that_functions_cell(child):
    helper = definition("helper", "def helper(x):\n    return 1 / x", number=2, line=3)
    report = child.run("helper(0)", captures={"helper": helper})
    assert report.error.line == 2
    assert "Cell 2 (helper), line 4" in plain(report.error)
    assert "return 1 / x" in plain(report.error)


def test_a_syntax_error_names_the_line_of_the_cell(child):
    report = child.run("x = 1\ny = (\n")
    assert report.error.ename in {"SyntaxError", "_IncompleteInputError"}
    assert report.error.line == 3


def test_a_group_of_exceptions_is_shown_whole_without_foreign_frames(child):
    report = child.run("raise ExceptionGroup('several', [ValueError('a'), KeyError('b')])")
    assert (report.error.ename, report.error.line) == ("ExceptionGroup", 2)
    (shown,) = child.outputs(report)
    assert "ValueError: a" in plain(report.error)
    assert "interactiveshell" not in plain(report.error)
    assert shown["traceback"] == list(report.error.traceback)


def test_a_wrong_magic_is_one_line(child):
    report = child.run("%nosuchmagic")
    assert report.error.traceback == ("UsageError: Line magic function `%nosuchmagic` not found.",)
    assert len(child.outputs(report)) == 1


def test_an_error_under_a_timing_magic_has_its_line_of_the_cell(child):
    assert child.run("%%time\nx = 1\n1 / 0").error.line == 4


def test_input_is_refused_with_a_sentence(child):
    report = child.run("name = input('who? ')")
    assert "a task runs unattended" in report.reason


@pytest.mark.parametrize(
    "ending", ["import sys; sys.exit(3)", "raise KeyboardInterrupt", "raise BaseException('odd')", "%nosuchmagic", "import nowhere"]
)
def test_every_ending_is_a_report(child, ending):
    report, following = child.run_all(child.job(ending), child.job("x = 1"))
    assert report.outcome is Outcome.FAILED
    assert report.error.ename
    assert following.outcome is Outcome.SUCCESS


@pytest.mark.parametrize("waiting", ["while True:\n    sum(range(1000))", "import asyncio\nawait asyncio.sleep(60)"])
def test_an_interrupt_ends_the_cell_with_a_report(child, waiting):
    alarm = "import os, signal, threading\nthreading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
    report, following = child.run_all(child.job(alarm + waiting), child.job("x = 1"))
    assert (report.outcome, report.error.ename) == (Outcome.FAILED, "KeyboardInterrupt")
    assert following.outcome is Outcome.SUCCESS


def test_leaving_with_zero_is_no_failure(child):
    for report in child.run_all(child.job("import sys\nprint('done')\nsys.exit()"), child.job("print('done')\nexit()\nprint('never')")):
        assert report.outcome is Outcome.SUCCESS
        assert [output["text"] for output in child.outputs(report)] == ["done\n"]


def test_skip_and_fail_end_the_task_as_they_say(child):
    skipped, failed = child.run_all(
        child.job("from nbflow.core.context import SkipTask\nx = 1\nraise SkipTask('nothing new')", offers=("x",)),
        child.job("from nbflow.core.context import FailTask\nraise FailTask('broken for good')"),
    )
    assert (skipped.outcome, skipped.reason, skipped.error, dict(skipped.values)) == (Outcome.SKIPPED, "nothing new", None, {})
    assert child.outputs(skipped) == []
    assert (failed.outcome, failed.error.may_retry, failed.error.evalue) == (Outcome.FAILED, False, "broken for good")


def test_a_name_nobody_gave_says_where_it_would_have_come_from(child):
    sentence = "`model` would come from t2 (skipped)"
    report = child.run("def use():\n    return model\nuse()", unbound={"model": sentence})
    assert (report.error.ename, report.error.evalue) == ("NameError", sentence)


def test_a_demanded_name_that_is_missing_fails_the_attempt(child):
    report = child.run("x = 1", demands=("x", "y"))
    assert report.outcome is Outcome.FAILED
    assert "`y` was not bound by task clean" in report.reason
    assert dict(report.values) == {}


def test_a_demanded_name_that_cannot_be_stored_fails_by_name_with_a_remedy(child):
    report = child.run("rows = (n for n in [])", demands=("rows",))
    assert report.reason == "`rows` is a generator, which cannot be stored: turn it into a list first."


def test_offered_names_that_cannot_be_kept_are_left_out_and_named(child):
    report = child.run("f = open('/dev/null')\nbig = list(range(100_000))\narray = __import__('numpy').zeros(10**6)\nok = 1",
                       offers=("f", "big", "array", "ok", "never"), keep_limit=50_000)  # fmt: skip
    assert report.outcome is Outcome.SUCCESS
    assert set(report.values) == {"ok"}
    assert "an open file" in report.left_out["f"]
    assert set(report.left_out) == {"f", "big", "array"}


def test_a_branch_gives_its_decision(child):
    reports = child.run_all(
        *(child.job(source, decides=TaskKind.BRANCH) for source in ["'alert'", "['a', 'b'];", "import pandas\npandas.DataFrame()", "x = 1"])
    )
    assert reports[0].decision == "alert"
    assert reports[1].decision == ["a", "b"]
    assert reports[2].outcome is Outcome.FAILED
    assert "DataFrame" in reports[2].reason
    assert reports[3].decision is None


# tokens


def test_a_token_runs_once_and_its_report_is_found_again(child):
    job = child.job("open(mark, 'a').write('ran\\n')", inputs={"mark": child.ref(str(child.folder / "ran"))})
    first, second = child.run_all(job, job)
    assert first == second
    assert (child.folder / "ran").read_text() == "ran\n"


def test_a_token_that_was_started_and_left_nothing_is_lost(child):
    job = child.job("x = 1")
    child.artifacts.mark(f"{job.token}.started")
    report = child.run_all(job)[0]
    assert report.outcome is Outcome.LOST
    assert "already started once" in report.reason


# values between tasks


def test_names_of_one_object_stay_one_object_through_two_tasks(child):
    first, second, third = child.run_all(
        child.job("rows = [1]\nsame = rows\nother = [1]", demands=("rows", "same", "other")),
        child.job(
            "assert rows is same and rows is not other\nlast = rows",
            inputs={"rows": "rows", "same": "same", "other": "other"},
            demands=("last",),
        ),
        child.job("assert last is rows", inputs={"last": "last", "rows": "rows"}),
    )
    assert [report.outcome for report in (first, second, third)] == [Outcome.SUCCESS] * 3, third.error


def test_siblings_never_see_each_others_changes(child):
    rows = child.ref([1, 2])
    reports = child.run_all(
        *(child.job("rows.append(3)\nn = len(rows)", inputs={"rows": rows}, mutates=("rows",), demands=("n",)) for _ in range(2))
    )
    assert [child.value(report, "n") for report in reports] == [3, 3]


@pytest.mark.parametrize(("make", "change"), [
    ([1], "rows.append(2)"), ({1: {2}}, "rows[1].add(3)"), ("frame", "rows.loc[0, 'a'] = 9"), ("array", "rows[0] = 9"),
])  # fmt: skip
def test_an_input_changed_unseen_gets_a_warning(child, make, change):
    import numpy as np
    import pandas as pd

    value = (
        {"frame": pd.DataFrame({"a": [1, 2], "t": ["x", "y"]}), "array": np.arange(3)}.get(make, make) if isinstance(make, str) else make
    )
    rows = child.ref(value)
    unseen, seen, read = child.run_all(
        child.job(change, inputs={"rows": rows}),
        child.job(change, inputs={"rows": rows}, mutates=("rows",)),
        child.job("text = repr(rows), len(rows), list(rows)", inputs={"rows": rows}),
    )
    assert len(unseen.warnings) == 1
    assert "`rows` was changed in place" in unseen.warnings[0]
    assert "--writes rows" in unseen.warnings[0]
    assert seen.warnings == read.warnings == ()


NOTEBOOK = {
    "dataclass": Capture(name="dataclass", kind=CaptureKind.ATTRIBUTE, module="dataclasses", attribute="dataclass"),
    "enum": Capture(name="enum", kind=CaptureKind.MODULE, module="enum"),
    "namedtuple": Capture(name="namedtuple", kind=CaptureKind.ATTRIBUTE, module="collections", attribute="namedtuple"),
    "Point": definition("Point", "@dataclass\nclass Point:\n    x: int\n    class Inner:\n        pass", needs=("dataclass",)),
    "Level": definition("Level", "class Level(enum.Enum):\n    LOW = 1", needs=("enum",)),
    "Pair": definition("Pair", "class Pair(namedtuple('Pair', 'left right')):\n    pass", needs=("namedtuple",)),
    "Trouble": definition("Trouble", "class Trouble(Exception):\n    pass"),
    "loud": definition("loud", "def loud(f):\n    def wrapper(*args):\n        return 'loud ' + f(*args)\n    return wrapper"),
    "shout": definition("shout", "@loud\ndef shout(text):\n    return text + ping(0)", needs=("loud", "ping")),
    "ping": definition("ping", "def ping(n: Point):\n    return '' if n == 0 else shout(n)", needs=("shout", "Point")),
}


def test_instances_of_notebook_classes_keep_their_identity_across_tasks(child):
    make = """
        made = {"point": Point(1), "level": Level.LOW, "pair": Pair(1, 2), "trouble": Trouble("x"), "inner": Point.Inner(), "kinds": [Point, shout]}
    """
    check = """
        assert isinstance(made["point"], Point) and made["point"] == Point(1)
        assert made["level"] is Level.LOW
        assert type(made["pair"]) is Pair
        assert isinstance(made["trouble"], Trouble) and isinstance(made["inner"], Point.Inner)
        assert made["kinds"] == [Point, shout]
        assert shout("hello") == "loud hello"
    """
    reports = child.run_all(
        child.job(make, captures=NOTEBOOK, demands=("made",)), child.job(check, captures=NOTEBOOK, inputs={"made": "made"})
    )
    assert [report.outcome for report in reports] == [Outcome.SUCCESS] * 2, reports[-1].error
    assert set(reports[0].values["made"].needs) == {"Point", "Level", "Pair", "Trouble", "shout"}  # noqa: PD011  a report, no frame
    assert child.run(check, captures=NOTEBOOK, inputs={"made": reports[0].values["made"]}).outcome is Outcome.SUCCESS  # noqa: PD011  a report, no frame


def test_a_class_defined_in_a_task_travels_with_its_instances(child):
    reports = child.run_all(
        child.job(
            "class Local:\n    def hello(self):\n        return Point(3)\nlocal = Local()", captures=NOTEBOOK, demands=("Local", "local")
        ),
        child.job(
            "assert isinstance(local, Local)\nassert local.hello() == Point(3)",
            captures=NOTEBOOK,
            inputs={"Local": "Local", "local": "local"},
        ),
    )
    assert [report.outcome for report in reports] == [Outcome.SUCCESS] * 2, reports[-1].error


def test_a_class_the_task_defines_anew_is_not_taken_for_the_notebooks(child):
    reports = child.run_all(
        child.job("class Trouble(Exception):\n    new = True\nt = Trouble('x')", captures=NOTEBOOK, demands=("t",)),
        child.job("assert type(t).new\nassert not isinstance(t, Trouble)", captures=NOTEBOOK, inputs={"t": "t"}),
    )
    assert [report.outcome for report in reports] == [Outcome.SUCCESS] * 2, reports[-1].error


def test_a_definition_that_fails_names_its_cell(child):
    report = child.run("bad()", captures={"bad": definition("bad", "@nothing\ndef bad():\n    pass", number=7)})
    assert report.outcome is Outcome.FAILED
    assert "nothing" in report.reason
    assert any("cell 7" in line for line in report.error.traceback)


# nothing leaks


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


# operators


def test_bash_streams_and_gives_its_last_line(child):
    report = child.run(
        "echo first\necho {{ name }} {{ ctx.task }}\necho warn >&2\n",
        operator="bash",
        inputs={"name": child.ref("world")},
        out="line",
        demands=("line",),
    )
    assert report.outcome is Outcome.SUCCESS, report.error
    assert child.value(report, "line") == "world clean"
    assert child.text(report) == "first\nworld clean\n"
    assert child.text(report, "stderr") == "warn\n"


def test_bash_fails_with_the_code_and_the_last_line_of_stderr(child):
    report = child.run("false\necho still here\necho 'disk full' >&2\nexit 3", operator="bash")
    assert report.outcome is Outcome.FAILED
    assert report.reason == "bash ended with exit code 3: disk full"
    assert child.text(report) == "still here\n"


def test_a_bash_template_that_names_something_unknown_says_so(child):
    report = child.run("echo {{ nobody }}", operator="bash")
    assert report.outcome is Outcome.FAILED
    assert "nobody" in report.reason


def test_a_bash_template_cannot_reach_into_python(child):
    report = child.run("echo {{ ctx.__class__.__mro__ }}", operator="bash")
    assert report.outcome is Outcome.FAILED


def test_the_python_operator_calls_the_function_named_like_the_task(child):
    report = child.run("def load(rows, day, limit=10):\n    return [day, len(rows), limit]", operator="python", task="etl.load",
                       inputs={"rows": child.ref([1])}, params={"day": "mon"}, out="result", demands=("result",))  # fmt: skip
    assert report.outcome is Outcome.SUCCESS, report.error
    assert child.value(report, "result") == ["mon", 1, 10]


def test_the_python_operator_awaits_and_says_when_there_is_no_function(child):
    awaited = child.run("async def clean():\n    return 5", operator="python", out="five", demands=("five",))
    assert child.value(awaited, "five") == 5
    assert "defines no function clean()" in child.run("x = 1", operator="python").reason


def test_an_unknown_operator_names_the_nearest(child):
    assert 'Did you mean "bash"?' in child.run("x", operator="bsh").reason
