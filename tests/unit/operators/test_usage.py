# SPDX-License-Identifier: BSD-3-Clause
"""What an attempt cost is its own, not that of the attempts before it in the process, nor of whoever started the process."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

_MB = 1 << 20
#: Prints the peaks of four attempts, which take 200, 0, 100 and 0 MB: in a process that was forked by one which had taken 300, or in that one.
_ATTEMPTS = """
import json, os, sys
from nbflow.operators import usage
taken = bytearray(300 << 20)
del taken
if sys.argv[1] == "forked":
    child = os.fork()
    if child:
        sys.exit(os.waitpid(child, 0)[1])
    usage.stand_alone()
peaks = []
for size in (200, 0, 100, 0):
    attempt = usage.Usage()
    taken = bytearray(size << 20)
    del taken
    peaks.append(attempt.so_far().peak_bytes)
print(json.dumps(peaks))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell")
@pytest.mark.parametrize("where", ["forked", "here"])
def test_the_peak_of_an_attempt_is_its_own(where):
    told = subprocess.run([sys.executable, "-c", _ATTEMPTS, where], check=True, capture_output=True, text=True)
    large, nothing, smaller, again = json.loads(told.stdout)
    assert large - nothing == pytest.approx(200 * _MB, abs=5 * _MB)
    assert smaller - nothing == pytest.approx(100 * _MB, abs=5 * _MB)
    assert again == pytest.approx(nothing, abs=5 * _MB)
