"""What `kactors scale` tells: a policy's rate at each number of CPUs, the law in it, and what limits it."""

from __future__ import annotations

from typing import Any

from protocols.measurement import Interval
from protocols.result import Record
from protocols.scenario import Scenario


class Size(Record):
    """One policy on one number of CPUs.

    Attributes:
        cpus, threads: of the machine and of the workload.
        rate: units of the workload's own count per second.
        fitted: what the law says of this size; null without a law.
        aborts_per_s: speculations and per-VMA attempts that were given up.
        ipi_wait: share of the CPUs' time that senders of IPIs spent waiting for acks.
        ipi_wait_p50_ns: median of such a wait; null: nobody waited.
        utilisation: how busy each resource was, 0 to 1.
        saturated: the resource that limits the rate here, in words; or nothing, and which is the busiest.
        use: share of time in which that is taken.
        finding: the run stopped as a finding (deadlock, bound).
        met: whether the rate is known as well as was asked for; why not, else.
        why: empty when met.
        events: deliveries that it took.
    """

    cpus: int
    threads: int
    rate: Interval
    fitted: float | None
    aborts_per_s: Interval
    ipi_wait: Interval
    ipi_wait_p50_ns: int | None
    utilisation: dict[str, Interval]
    saturated: str
    use: float
    finding: bool
    met: bool
    why: str
    events: int


class Law(Record):
    """The universal scalability law: rate(N) = lambda N / (1 + sigma (N - 1) + kappa N (N - 1)).

    Attributes:
        lambda_per_s: rate of one CPU.
        sigma: contention.
        kappa: coherency.
        residual_max: largest miss, as a share of the measured rate.
        fits: whether it describes the rates; if not, its parameters mean little.
        peak_cpus: where it has its maximum; null: nowhere.
    """

    lambda_per_s: Interval
    sigma: Interval
    kappa: Interval
    residual_max: float
    fits: bool
    peak_cpus: float | None


class Scaling(Record):
    """One policy at all sizes.

    Attributes:
        scenario: of the smallest size.
        policy, unit: its name; what the workload counts.
        sizes: by number of CPUs.
        law: fitted to them; null with fewer than four usable sizes.
        knee_cpus: the largest size that still pays: twice as many CPUs bring less than half of twice the rate;
            null: all pay.
        peak_cpus: the size with the highest rate.
        falls: whether the rate at the largest size is below the peak's by more than their intervals.
    """

    scenario: Scenario
    policy: str
    unit: str
    sizes: tuple[Size, ...]
    law: Law | None
    knee_cpus: int | None
    peak_cpus: int
    falls: bool

    def to_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        return self.model_dump(mode="json")
