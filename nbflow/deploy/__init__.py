# SPDX-License-Identifier: BSD-3-Clause
"""Files to run nbflow as a service: `python -m nbflow.deploy systemd | compose` prints them."""
