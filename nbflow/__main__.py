# SPDX-License-Identifier: BSD-3-Clause
"""`python -m nbflow`: the command line."""

from nbflow.cli.main import main

if __name__ == "__main__":
    main()
