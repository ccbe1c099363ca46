# SPDX-License-Identifier: BSD-3-Clause
"""Cells run in a real child process as a kernel runs them."""

import pytest

from nbflow.core.job import AttemptBegan, Outcome, OutputMade, ProgressMade


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


def test_what_a_finalizer_prints_amid_another_print_is_there_too(child):
    report = child.run("""
        class Noisy:
            def __init__(self):
                self.itself = self  # garbage that only the collector finds, whenever it comes by
            def __del__(self):
                print("gone")
        for number in range(2000):
            Noisy()
            print(number)
        import gc
        gc.collect()
    """)
    text = child.text(report)
    assert text.replace("gone\n", "") == "".join(f"{number}\n" for number in range(2000))
    assert "gone" in text


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
    assert "".join(event.output["text"] for event in rest if isinstance(event, OutputMade)) == "line\n"
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
