# SPDX-License-Identifier: BSD-3-Clause
"""nbflow: notebook cells as the tasks of a DAG."""

__version__ = "0.1.0"
