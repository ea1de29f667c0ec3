"""What a run tells: one object, the same from Python and as ``--json``. Units last in each name."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from protocols.scenario import Scenario
from protocols.stop import AnyStop


class Record(BaseModel):
    """The base of the result's parts."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Distribution(Record):
    """A duration: how often it was measured, percentiles by nearest rank, maximum and sum."""

    count: int
    p50_ns: int
    p90_ns: int
    p99_ns: int
    max_ns: int
    total_ns: int


class Counters(Record):
    """perf's counters in the review mail's order; ``residual`` is faults - spf - the named reasons."""

    faults: int
    spf: int
    spf_pte_lock: int
    spf_vma_changed: int
    spf_vma_noanon: int
    spf_vma_notsup: int
    spf_vma_access: int
    spf_pmd_changed: int
    residual: int


class Throughput(Record):
    """The workload's own result: ``records`` of its unit in ``measured_ns`` since its workers started."""

    unit: str
    records: int
    measured_ns: int
    per_s: float
    faults_per_s: float


class WorstIpi(Record):
    """The longest wait of an IPI sender: for whom, and why he answered last."""

    wait_ns: int
    kind: str
    sender: str
    targets: int
    last_acker: str
    why: str
    sent_at_ns: int


class IpiWaits(Record):
    """From sending to the last ack: TLB flushes, pure synchronisations, and both."""

    all: Distribution
    flush: Distribution
    sync: Distribution
    worst: WorstIpi | None


class MmapSemWaits(Record):
    """Waits for mmap_sem and how many of them slept; how long writers held it."""

    read: Distribution
    read_slept: int
    write: Distribution
    write_slept: int
    write_hold: Distribution


class TransientPages(Record):
    """Pages allocated and not yet mapped; ``wasted``: never mapped, with the zeroing that they cost."""

    peak_address: int
    peak_mm: int
    peak_machine: int
    peak_at_ns: int
    now: int
    threads_minus_1: int
    cpus_minus_1: int
    allocated: int
    wasted: int
    wasted_zeroing_ns: int
    wasted_bytes: int


class CpuTime(Record):
    """Where one CPU's time went; the kinds add up to the run's virtual time."""

    cpu: int
    user_ns: int
    fault_ns: int
    syscall_ns: int
    lock_spin_ns: int
    lock_sleep_ns: int
    ipi_wait_ns: int
    ipi_service_ns: int
    zeroing_wasted_ns: int
    switch_ns: int
    idle_ns: int
    stolen_ns: int


class Memory(Record):
    """The zone at the end, how often each watermark was crossed downwards, and what reclaim did."""

    total_pages: int
    free_pages: int
    watermarks_crossed: dict[str, int]
    oom_kills: int


class Result(Record):
    """One run.

    ``virtual_ns`` is where virtual time stopped, ``events`` the number of deliveries, ``fingerprint`` the hash over
    them: equal for the same scenario, seed and version on every Python, hash seed and runtime.
    """

    version: str
    scenario: Scenario
    policy: str
    workload: str
    machine: str
    cpus: int
    threads: int
    stop: AnyStop
    virtual_ns: int
    events: int
    fingerprint: str
    throughput: Throughput
    counters: Counters
    fault_paths: dict[str, int]
    ipi: IpiWaits
    mmap_sem: MmapSemWaits
    transient: TransientPages
    cpu_time: tuple[CpuTime, ...]
    memory: Memory
    vmstat: dict[str, int]
    collapses: dict[str, int]
    notes: tuple[str, ...] = Field(default=())
    """What a reader should know: skipped lines of a recording, steps that could not be replayed."""

    def to_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        return self.model_dump(mode="json")
