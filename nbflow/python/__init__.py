# SPDX-License-Identifier: BSD-3-Clause
"""Flows written in Python: running them, what came of them, and how they travel. A part of the hall: it knows the rooms and the workspace."""
