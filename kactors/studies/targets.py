"""For which figures each machine is known, and how to simulate each: what its profile may be held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from kactors.studies.published import EBIZZY_ZEN4, MAIL, PAGE_FAULT1_ZEN4, SRCU_2014
from protocols.scenario import OptionValue, Scenario

SRCU_SECONDS: Final = 60
LONE_FAULT_NS: Final = {"skylake-2s-112": 1740, "skylake-4s-192": 1740, "rome-2s-256": 750}
"""A minor anonymous fault of 4 KiB, one thread, loop included; Ivy Bridge's is a row of 2014."""


@dataclass(frozen=True)
class Target:
    """One figure.

    Attributes:
        machine: name of the profile.
        workload: what runs.
        options: its options.
        threads: how many workers.
        policy: under which.
        per_s: what was published: units of the workload's own a second.
        source: where this stands.
    """

    machine: str
    workload: str
    threads: int
    policy: str
    per_s: float
    source: str
    options: Mapping[str, OptionValue] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it is, in a few words."""
        return f"{self.workload}, {self.threads} thread{'s' if self.threads != 1 else ''}, {self.policy}"

    def scenario(self, seed: int, costs: Mapping[str, int] | None = None) -> Scenario:
        """Return what simulates it.

        Args:
            seed: of the run.
            costs: values of the profile to replace.
        """
        return Scenario(
            workload=self.workload,
            options={**self.options, "t": self.threads},
            machine=self.machine,
            policy=self.policy,
            seed=seed,
            costs=dict(costs or {}),
        )


def targets_of(machine: str) -> list[Target]:
    """Return the figures that a machine is known for; none for most."""
    return [target for target in _all() if target.machine == machine]


def _all() -> Iterator[Target]:
    for table in MAIL:
        threads = 2 * int(table.described.partition(" CPUs")[0])
        yield Target(table.machine, "ebizzy", threads, "classic", table.base_per_s, table.source)
        yield Target(table.machine, "ebizzy", threads, "spf-v9", table.spf_per_s, table.source)
    for measured, workload in ((EBIZZY_ZEN4, "ebizzy"), (PAGE_FAULT1_ZEN4, "page_fault1")):
        for threads in measured.rates:
            mean = measured.mean(threads)
            yield Target(measured.machine, workload, threads, "per-vma-6.15", mean, measured.source)
    for row in SRCU_2014:
        for policy, faults in (("classic", row.base), ("spf-srcu", row.spf)):
            yield Target(row.machine, "multi-fault", row.threads, policy, faults / SRCU_SECONDS, row.source)
    for machine, fault_ns in LONE_FAULT_NS.items():
        source = "arithmetic on published rates: a minor fault with one thread, loop included"
        yield Target(machine, "page_fault1", 1, "classic", 1e9 / fault_ns, source)
