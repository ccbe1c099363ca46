# SPDX-License-Identifier: BSD-3-Clause
"""When does it start? Due flows become runs, each exactly once; runs are taken within their limits and handed to whoever hosts them."""
