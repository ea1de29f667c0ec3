"""What perf stat and /proc/vmstat would count, and the workload's own result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from kactors.engine.observer import Hearing, Observer
from protocols.base import Tracepoint
from protocols.result import Counters, Throughput
from protocols.tracepoints import (
    CollapseDone,
    FaultDone,
    OomKill,
    PageFaultUser,
    RecordDone,
    SpfAbort,
    VmEvent,
    Watermark,
    WorkersStarted,
)

REASONS = (
    "spf_pte_lock",
    "spf_vma_changed",
    "spf_vma_noanon",
    "spf_vma_notsup",
    "spf_vma_access",
    "spf_pmd_changed",
)
"""The pagefault: events of the series, in the review mail's order."""

VMSTAT_ABORTS = ("spf_abort", "vma_lock_abort", "vma_lock_miss", "vma_lock_retry")
"""Of /proc/vmstat: what kernels count whose speculations have no perf event for each reason."""


class FaultCounters(Observer):
    """faults, spf, and the reasons why a speculation was given up.

    Attributes:
        faults, records, oom_kills: how many so far.
        vmstat, watermarks, collapses: how many so far, by name.
        started_ns: when the workers started; 0 before that.
        set_up, set_up_vmstat: what had been counted by then.
    """

    def __init__(self) -> None:
        self.faults = 0
        self._paths: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self.records = 0
        self.started_ns = 0
        self.vmstat: Counter[str] = Counter()
        self.watermarks: Counter[str] = Counter()
        self.collapses: Counter[str] = Counter()
        self.oom_kills = 0
        self.set_up = self.counters()
        self.set_up_vmstat: dict[str, int] = {}

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        """Hear everything that is counted."""
        return {
            PageFaultUser: self._fault,
            FaultDone: self._done,
            SpfAbort: self._abort,
            RecordDone: self._record,
            WorkersStarted: self._started,
            VmEvent: self._vm_event,
            Watermark: self._watermark,
            CollapseDone: self._collapse,
            OomKill: self._oom,
        }

    def counters(self) -> Counters:
        """Return the eight counters in the mail's order, and what they leave unexplained."""
        faults, spf = self.faults, self._paths["spf"]
        reasons = {name: self._reasons[name] for name in REASONS}
        return Counters(faults=faults, spf=spf, residual=faults - spf - sum(reasons.values()), **reasons)

    @property
    def spf(self) -> int:
        """Faults served speculatively."""
        return self._paths["spf"]

    @property
    def spf_aborts(self) -> int:
        """Speculations given up, for whatever reason, be it counted as an event each or in /proc/vmstat."""
        return self._reasons.total() + self.vmstat["spf_abort"]

    @property
    def aborts(self) -> int:
        """Faults that were begun without mmap_sem and given up: speculations, and attempts at per-VMA locks."""
        return self.spf_aborts + sum(self.vmstat[name] for name in VMSTAT_ABORTS)

    def paths(self) -> dict[str, int]:
        """Return how many faults each path served."""
        return dict(sorted(self._paths.items()))

    def throughput(self, unit: str, end_ns: int) -> Throughput:
        """Return the workload's rate since its workers started."""
        measured_ns = max(end_ns - self.started_ns, 0)
        per_s = self.records * 1_000_000_000 / measured_ns if measured_ns else 0.0
        faults_per_s = (self.faults - self.set_up.faults) * 1_000_000_000 / measured_ns if measured_ns else 0.0
        return Throughput(
            unit=unit, records=self.records, measured_ns=measured_ns, per_s=per_s, faults_per_s=faults_per_s
        )

    def _fault(self, _at_ns: int, _who: str, _fault: PageFaultUser) -> None:
        self.faults += 1

    def _done(self, _at_ns: int, _who: str, done: FaultDone) -> None:
        self._paths[done.path] += 1

    def _abort(self, _at_ns: int, _who: str, abort: SpfAbort) -> None:
        self._reasons[abort.reason] += 1

    def _record(self, _at_ns: int, _who: str, _done: RecordDone) -> None:
        self.records += 1

    def _started(self, at_ns: int, _who: str, _started: WorkersStarted) -> None:
        self.started_ns = at_ns
        self.set_up, self.set_up_vmstat = self.counters(), dict(self.vmstat)

    def _vm_event(self, _at_ns: int, _who: str, event: VmEvent) -> None:
        self.vmstat[event.name] += event.count

    def _watermark(self, _at_ns: int, _who: str, crossing: Watermark) -> None:
        if crossing.below:
            self.watermarks[crossing.name] += 1

    def _collapse(self, _at_ns: int, _who: str, done: CollapseDone) -> None:
        self.collapses[done.status] += 1

    def _oom(self, _at_ns: int, _who: str, _kill: OomKill) -> None:
        self.oom_kills += 1
