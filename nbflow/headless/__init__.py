# SPDX-License-Identifier: BSD-3-Clause
"""Notebooks without a browser: the same driver as in a kernel, in the process that executes the notebook.

`running` is what the command line calls; `host` is what papermill's engine asks for a run (`operators/notebook_host.py` is the seam).
"""

from nbflow.headless.host import WorkspaceHost, notebook_host
from nbflow.headless.page import notebook_html
from nbflow.headless.running import NotebookOutcome, resume_notebook, run_notebook

__all__ = ["NotebookOutcome", "WorkspaceHost", "notebook_host", "notebook_html", "resume_notebook", "run_notebook"]
