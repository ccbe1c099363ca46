# SPDX-License-Identifier: BSD-3-Clause
"""How is it told? Messages of the outbox, sent by Apprise (nbflow.core.notices says who is told what)."""
