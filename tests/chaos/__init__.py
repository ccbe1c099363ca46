# SPDX-License-Identifier: BSD-3-Clause
"""The kill harness: random flows, a random process killed or stopped at a random instant, resumed until the run ends.

`pytest tests/chaos` runs fifty seeds, `make chaos N=1000` more; `python -m tests.chaos --seed S` replays one and keeps its folder.
"""
