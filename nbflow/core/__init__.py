# SPDX-License-Identifier: BSD-3-Clause
"""The cellar: what a flow, a run and a value *are*, and what happens next. No I/O, no clock, no threads, standard library only."""
