# SPDX-License-Identifier: BSD-3-Clause
"""Drawing a flow and a run's records for saved notebooks, terminals and files. Pure: what is drawn depends on the arguments alone."""
