# SPDX-License-Identifier: BSD-3-Clause
"""What an attempt asks of its worker: amounts as people write them, more of them after each failure, and whether any worker has that much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nbflow.core.errors import UserError, nearest
from nbflow.core.options import TaskOptions

_BYTES: Final[Mapping[str, int]] = {
    "": 1,
    "b": 1,
    "k": 1000,
    "kb": 1000,
    "m": 10**6,
    "mb": 10**6,
    "g": 10**9,
    "gb": 10**9,
    "t": 10**12,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
#: Enforced as the limit of an attempt, and counted where workers offer it.
MEMORY: Final = frozenset({"MEM", "MEMORY"})
#: Amounts of these are sizes: 4GB.
_SIZES: Final = MEMORY | {"DISK"}


@dataclass(frozen=True, kw_only=True)
class Offers:
    """What the workers of a cluster have to give."""

    #: As a sentence calls the cluster: "the local cluster".
    where: str
    #: Of each worker that is there.
    workers: tuple[Mapping[str, float], ...] = ()
    #: Others may come, and may have more.
    may_grow: bool = False

    def most(self, name: str) -> float:
        """Most that one worker has; 0 when none has any."""
        return max((worker.get(name, 0.0) for worker in self.workers), default=0.0)


def parse_bytes(text: str) -> int:
    """`4GB`, `512MiB`, `2e9` as bytes. Raises UserError."""
    folded = str(text).strip().lower()
    number = folded.rstrip("bkmgti")
    unit = folded[len(number) :]
    try:
        size = int(float(number) * _BYTES[unit])
    except (ValueError, KeyError, OverflowError):
        size = 0
    if size <= 0:
        raise UserError(f'"{text}" is not a size: write 4GB, 512MB or a number of bytes.')
    return size


def requested(options: TaskOptions, failures: int = 0) -> dict[str, float]:
    """What an attempt asks for after so many failures: each multiplied what `escalate` names. Raises UserError for what cannot be read."""
    factors = {name.upper(): factor for name, factor in dict(options.escalate).items()}
    found = {}
    for name, text in dict(options.resources).items():
        amount = _amount(name, text)
        factor = factors.pop(name.upper(), None)
        found[name] = amount if factor is None else amount * _factor(name, factor) ** failures
    for name in factors:
        hint = nearest(name, found) or f" Write --resources {name}=1 too."
        raise UserError(f"--escalate {name} multiplies what the task asks for, but it asks for no {name}.{hint}")
    return found


def _amount(name: str, text: str) -> float:
    if name.upper() in _SIZES:
        return float(parse_bytes(text))
    try:
        amount = float(text)
    except ValueError:
        amount = 0.0
    if not 0 < amount < float("inf"):
        raise UserError(f"--resources {name}={text} is not a number above 0: write {name}=1.")
    return amount


def _factor(name: str, text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 1 <= factor <= 1000:
        raise UserError(f"--escalate {name}={text} is no factor: write {name}=2 to ask for twice as much after each failure.")
    return factor


def unmet(request: Mapping[str, float], offers: Offers) -> str:
    """The part of a request that no worker has, as it is written; "" when one worker has it all. Memory that no worker offers is not counted."""
    counted = countable(request, offers)
    if any(all(worker.get(name, 0.0) >= amount for name, amount in counted.items()) for worker in offers.workers):
        return ""
    missing = {name: amount for name, amount in counted.items() if offers.most(name) < amount} or counted
    return " ".join(f"{name}={say_amount(name, amount)}" for name, amount in missing.items())


def countable(request: Mapping[str, float], offers: Offers | None) -> dict[str, float]:
    """What a scheduler is asked to count: not the memory where its workers say nothing of it (the limit holds anyway)."""
    return {name: amount for name, amount in request.items() if name.upper() not in MEMORY or (offers is not None and offers.most(name))}


def within(request: Mapping[str, float], offers: Offers | None) -> dict[str, float]:
    """An escalated request, cut to what the largest worker has: more would wait for ever. Where others may come it stays as it is."""
    if offers is None or offers.may_grow:
        return dict(request)
    return {name: min(amount, offers.most(name) or amount) for name, amount in request.items()}


def memory_limit(request: Mapping[str, float]) -> int | None:
    """Bytes that the attempt may use."""
    return next((int(amount) for name, amount in request.items() if name.upper() in MEMORY), None)


def say_amount(name: str, amount: float) -> str:
    """`1`, `0.5`, `4GB`."""
    if name.upper() not in _SIZES:
        return f"{amount:g}"
    for unit in ("", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.3g}{unit}"
        amount /= 1000
    return f"{amount:.3g}TB"


def say_offers(offers: Offers) -> str:
    """`CPU=2, MEM=25.2GB`: the most of each that a worker has, without what nbflow offers for itself."""
    names = dict.fromkeys(name for worker in offers.workers for name in worker if not name.startswith("nbflow_"))
    return ", ".join(f"{name}={say_amount(name, offers.most(name))}" for name in names) or "nothing"


def refusal(task: str, request: Mapping[str, float], offers: Offers) -> str:
    """The sentence about a request that no worker has; "" when one has it, or when there is nobody to ask."""
    missing = unmet(request, offers) if offers.workers else ""
    if not missing:
        return ""
    return (
        f"Task {task} asks for {missing}, which no worker of {offers.where} offers (at most {say_offers(offers)}): "
        "ask for less, or set `dask` to a cluster whose workers have it (dask worker --resources)."
    )
