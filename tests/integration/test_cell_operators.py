# SPDX-License-Identifier: BSD-3-Clause
"""bash and Python functions instead of cells."""

from nbflow.core.job import Outcome


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
