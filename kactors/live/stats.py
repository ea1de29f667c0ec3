"""What a running simulation counts, and the predicates on it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from kactors.run import Machine
from protocols.service.commands import Until

COMPARISONS: Mapping[str, Callable[[int, int], bool]] = {">=": operator.ge, "<=": operator.le, "==": operator.eq}

QUANTITIES: Mapping[str, Callable[[Machine], int]] = {
    "faults": lambda machine: machine.counters.faults,
    "spf": lambda machine: machine.counters.spf,
    "spf_aborts": lambda machine: machine.counters.spf_aborts,
    "records": lambda machine: machine.counters.records,
    "ipi_waits": lambda machine: len(machine.ipi.all),
    "ipi_wait_max_ns": lambda machine: machine.ipi.all.max_ns,
    "transient_pages": lambda machine: machine.transient.now,
    "transient_pages_peak": lambda machine: machine.transient.peak,
    "pages_wasted": lambda machine: machine.transient.wasted,
    "free_pages": lambda machine: machine.system.allocator.free_pages,
    "collapses": lambda machine: machine.counters.collapses["succeeded"],
    "oom_kills": lambda machine: machine.counters.oom_kills,
}
"""How each quantity of ``Until`` is read. ``collapses`` are those that succeeded."""


@dataclass(frozen=True, slots=True)
class LiveStats:
    """Where a simulation stands and what it has counted so far."""

    events: int
    now_ns: int
    faults: int
    spf: int
    spf_aborts: int
    records: int
    ipi_waits: int
    ipi_wait_max_ns: int
    transient_pages: int
    transient_pages_peak: int
    pages_wasted: int
    free_pages: int
    collapses: int
    oom_kills: int


def stats_of(machine: Machine) -> LiveStats:
    """Read every quantity."""
    engine = machine.system.engine
    quantities = {name: read(machine) for name, read in QUANTITIES.items()}
    return LiveStats(events=engine.events, now_ns=engine.now_ns, **quantities)


def predicate(machine: Machine, until: Until) -> Callable[[], bool]:
    """Return a function that tells whether the predicate holds now."""
    return partial(_holds, machine, QUANTITIES[until.quantity], COMPARISONS[until.op], until.value)


def _holds(machine: Machine, read: Callable[[Machine], int], compare: Callable[[int, int], bool], value: int) -> bool:
    return compare(read(machine), value)
