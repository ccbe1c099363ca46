# SPDX-License-Identifier: BSD-3-Clause
"""`python -m nbflow.headless.host_process`: see `hosts.py`."""

from __future__ import annotations

import logging
import sys

if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    from nbflow.headless.hosts import serve

    serve()
