# SPDX-License-Identifier: BSD-3-Clause
"""All that the cells of a flow load on their way, for a kernel that is kept warm: importing this module is the point of it."""

from nbflow.authoring import flow_builder, header, schedules
from nbflow.notebook import hosted
from nbflow.operators import definitions, elements, hosting, values
from nbflow.store import artifacts
from nbflow.views import bundles

__all__ = ["artifacts", "bundles", "definitions", "elements", "flow_builder", "header", "hosted", "hosting", "schedules", "values"]
