# SPDX-License-Identifier: BSD-3-Clause
"""Where an attempt and the process that hosts it meet, in a test."""

import threading

began, said = threading.Event(), threading.Event()
