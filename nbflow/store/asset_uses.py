# SPDX-License-Identifier: BSD-3-Clause
"""What is known of each asset, put together from its updates and from who names it: the same for every store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nbflow.core.occasions import AssetUse, Occasion

_FIELDS = {"outlet": "updated_by", "inlet": "read_by", "asset": "starts"}


def asset_uses(updates: Mapping[str, tuple[int, Occasion]], named: Iterable[tuple[str, str, str]]) -> tuple[AssetUse, ...]:
    """`updates`: asset -> how many and the newest; `named`: (asset, role, deployment)."""
    roles: dict[str, dict[str, tuple[str, ...]]] = {asset: {} for asset in updates}
    for asset, role, name in named:
        fields = roles.setdefault(asset, {})
        fields[_FIELDS[role]] = (*fields.get(_FIELDS[role], ()), name)
    found = []
    for asset in sorted(roles):
        count, newest = updates.get(asset, (0, None))
        found.append(AssetUse(name=asset, count=count, newest=newest, **roles[asset]))
    return tuple(found)
