"""Published and measured figures that a simulation may be compared with, each with its source. Nothing else is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from kactors.recordings.times import Timing

X86: Final = "x86-vm-16"
P8: Final = "p8-80"
ZEN4: Final = "zen4-vm-2"

MAIL_SECONDS: Final = 10
"""ebizzy runs so long, and perf counts all of it."""

COUNTERS: Final = (
    "faults",
    "spf",
    "spf_pte_lock",
    "spf_vma_changed",
    "spf_vma_noanon",
    "spf_vma_notsup",
    "spf_vma_access",
    "spf_pmd_changed",
)
"""In the mail's order."""


def _fixed(**values: int) -> Mapping[str, int]:
    return MappingProxyType(values)


@dataclass(frozen=True)
class MailTable:
    """What the review mail tells of one machine.

    Attributes:
        machine: name of the profile that stands for it.
        described: the machine in the mail's words.
        base_per_s: records a second with mmap_sem alone, the mean of 100 runs.
        spf_per_s: the same with SPF version 9.
        counters: perf's, of one run of 10 s.
        source: where this stands.
    """

    machine: str
    described: str
    base_per_s: float
    spf_per_s: float
    counters: Mapping[str, int]
    source: str = "review of SPF v9, 3 April 2018: ebizzy -mTRp"

    @property
    def gain(self) -> float:
        """SPF against BASE, as a factor."""
        return self.spf_per_s / self.base_per_s

    @property
    def named(self) -> int:
        """Faults that a reason is counted for."""
        return sum(self.counters[name] for name in COUNTERS[2:])

    @property
    def residual(self) -> int:
        """Faults that were neither speculative nor given up for a reason: the single-threaded set-up."""
        return self.counters["faults"] - self.counters["spf"] - self.named

    @property
    def not_speculative(self) -> float:
        """The share of faults that were not served speculatively."""
        return 1 - self.counters["spf"] / self.counters["faults"]


MAIL: Final = (
    MailTable(
        X86,
        "16 CPUs x86 VM",
        14902.6,
        95905.16,
        _fixed(
            faults=888157,
            spf=884773,
            spf_pte_lock=92,
            spf_vma_changed=2379,
            spf_vma_noanon=0,
            spf_vma_notsup=80,
            spf_vma_access=0,
            spf_pmd_changed=0,
        ),
    ),
    MailTable(
        P8,
        "80 CPUs POWER8 node, 64 KiB pages",
        37240.24,
        78185.67,
        _fixed(
            faults=762134,
            spf=728663,
            spf_pte_lock=19101,
            spf_vma_changed=13969,
            spf_vma_noanon=0,
            spf_vma_notsup=272,
            spf_vma_access=0,
            spf_pmd_changed=0,
        ),
    ),
)


@dataclass(frozen=True)
class SeriesRow:
    """The same benchmark on the same two machines in another version of the series.

    Attributes:
        version: of the series.
        kernel: that it was put on.
        lookup: how a speculation finds its VMA.
        rates: (BASE, SPF) in records a second, by machine.
        deviations: standard deviations of these, where they were told.
        counters: perf's, by machine, where they were told.
        source: where this stands.
    """

    version: str
    kernel: str
    lookup: str
    rates: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    deviations: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    counters: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    source: str = "cover letter of that version: ebizzy -mTRp"


SERIES: Final = (
    SeriesRow("v1", "4.13-rc3", "SRCU", {X86: (11455.92, 45803.64), P8: (33848.76, 63427.62)}),
    SeriesRow(
        "v2",
        "",
        "SRCU",
        {X86: (11350.29, 21760.36), P8: (33904.67, 58847.91)},
        {X86: (397, 881), P8: (789, 1753)},
    ),
    SeriesRow(
        "v3",
        "",
        "SRCU",
        {X86: (13217.90, 65765.94), P8: (38175.40, 67635.55)},
        {X86: (690, 2610), P8: (600, 2350)},
    ),
    SeriesRow("v6", "4.15-rc6", "rwlock", {X86: (11485.14, 60902.26), P8: (37648.73, 83078.01)}),
    SeriesRow(
        "v7",
        "",
        "rwlock",
        counters={P8: _fixed(faults=711589, spf=692649, spf_pte_lock=10579, spf_vma_changed=7815, spf_vma_notsup=417)},
    ),
    SeriesRow(
        "v8",
        "4.15",
        "rwlock",
        {X86: (11412.55, 62236.93), P8: (37659.4, 80985.63)},
        counters={
            X86: _fixed(faults=596987, spf=591798, spf_pte_lock=246, spf_vma_changed=4033, spf_vma_notsup=76),
            P8: _fixed(faults=706445, spf=697135, spf_pte_lock=6304, spf_vma_changed=2595, spf_vma_notsup=282),
        },
    ),
)


@dataclass(frozen=True)
class ThpTable:
    """ebizzy on transparent huge pages: records a second, and perf's counters of one run."""

    base_per_s: float
    spf_per_s: float
    faults: int
    spf: int
    spf_vma_notsup: int
    source: str


THP: Final = ThpTable(
    276.83, 276.93, 182470, 5085, 176634, "cover letter of v6: ebizzy, MADV_HUGEPAGE, 128 MB records, 16-CPU VM"
)


@dataclass(frozen=True)
class Measured:
    """Rates of a program on a machine of which there are recordings: one figure a run.

    Attributes:
        machine: name of the profile.
        program: what ran.
        unit: what the rates count, a second.
        rates: by the number of threads.
        source: how they came about.
    """

    machine: str
    program: str
    unit: str
    rates: Mapping[int, tuple[int, ...]]
    source: str

    def mean(self, threads: int) -> float:
        """Return the mean of the runs."""
        return sum(self.rates[threads]) / len(self.rates[threads])


_ZEN4_SOURCE: Final = "measured: Linux 6.18 (per-VMA locks), 2-vCPU AMD Zen 4 VM under KVM"
EBIZZY_ZEN4: Final = Measured(
    ZEN4,
    "ebizzy -mTRp",
    "records",
    MappingProxyType({1: (91041, 92361, 102819), 2: (36451, 32372, 31614), 4: (75806, 72362, 76416)}),
    _ZEN4_SOURCE,
)
PAGE_FAULT1_ZEN4: Final = Measured(
    ZEN4, "page_fault1_threads", "faults", MappingProxyType({1: (384575,), 2: (807777,)}), _ZEN4_SOURCE
)


@dataclass(frozen=True)
class SrcuRow:
    """Faults in 60 s with mmap_sem, and with speculation under SRCU.

    Attributes:
        machine: name of the profile that stands for it.
        threads: that fault, and nothing else.
        base: faults with mmap_sem.
        spf: faults with speculation.
        source: where this stands.
    """

    machine: str
    threads: int
    base: int
    spf: int
    source: str = "Zijlstra, 2014: speculation under SRCU"

    @property
    def gain(self) -> float:
        """Speculation against mmap_sem, as a factor."""
        return self.spf / self.base


SRCU_2014: Final = (
    SrcuRow("ivb-ep-40", 1, 73860251, 70700838),
    SrcuRow("ivb-ep-40", 20, 149441555, 236442626),
    SrcuRow("ivb-ex-120", 60, 105789078, 187751767),
)


@dataclass(frozen=True)
class AtomicPair:
    """What one atomic pair more for each fault leaves of pft's rate.

    Attributes:
        machine: name of the profile that stands for it.
        threads: that fault.
        left: the rate with the pair by that without.
        source: where this stands.
    """

    machine: str
    threads: int
    left: float
    source: str


PFT_2021: Final = AtomicPair(
    "skylake-2s-72", 48, 1 - 0.62, "Lespinasse, 2021: one atomic pair more per VMA costs pft 62 %"
)


@dataclass(frozen=True)
class Recorded:
    """A recording, and the times whose medians something was fitted to.

    Attributes:
        machine: name of the profile.
        file: in recordings/.
        policy: of the recorded kernel.
        timings: which times.
        source: where they stand.
    """

    machine: str
    file: str
    policy: str
    timings: tuple[Timing, ...]
    source: str


JAVAC_ZEN4: Final = Recorded(
    ZEN4,
    "javac.perf.txt.xz",
    "per-vma-6.15",
    (Timing.MMAP, Timing.MPROTECT, Timing.FAULT_TO_PAGE),
    "recorded (recordings/README.md)",
)
