"""A result in which every number is different, so that a report that mixes two of them up is caught."""

from protocols.result import (
    Counters,
    CpuTime,
    Distribution,
    IpiWaits,
    Memory,
    MmapSemWaits,
    Result,
    Throughput,
    TransientPages,
    WorstIpi,
)
from protocols.scenario import Scenario
from protocols.stop import Deadlock, TimeReached, WaitEdge

NOBODY = Distribution(count=0, p50_ns=0, p90_ns=0, p99_ns=0, max_ns=0, total_ns=0)

COUNTERS = Counters(
    faults=888157,
    spf=884773,
    spf_pte_lock=92,
    spf_vma_changed=2379,
    spf_vma_noanon=1,
    spf_vma_notsup=80,
    spf_vma_access=2,
    spf_pmd_changed=3,
    residual=827,
)

WORST = WorstIpi(
    wait_ns=40460,
    kind="flush",
    sender="cpu0",
    targets=1,
    last_acker="cpu1",
    why="irqs off in pte_map_lock, delayed 35000 ns",
    sent_at_ns=7236771,
)

TRANSIENT = TransientPages(
    peak_address=11,
    peak_mm=12,
    peak_machine=13,
    peak_at_ns=452860,
    now=4,
    threads_minus_1=31,
    cpus_minus_1=15,
    allocated=2044,
    wasted=511,
    wasted_zeroing_ns=61500,
    wasted_bytes=511 * 4096,
)

DEADLOCK = Deadlock(
    cycle=(
        WaitEdge(waiter="cpu0", resource="IPI ack of cpu1", holder="cpu1", since=7069881, why="irqs off in commit"),
        WaitEdge(waiter="cpu1", resource="PTE lock of ptl@7e", holder="cpu0", since=7069672, why="has not unlocked it"),
    ),
    waits=(
        WaitEdge(waiter="cpu0", resource="IPI ack of cpu1", holder="cpu1", since=7069881, why="irqs off in commit"),
        WaitEdge(waiter="cpu1", resource="PTE lock of ptl@7e", holder="cpu0", since=7069672, why="has not unlocked it"),
        WaitEdge(waiter="cpu2", resource="mmap_sem", holder="cpu0", since=5000000, why="has not released it"),
    ),
)


def spread(count, step_ns):
    """A distribution whose figures are multiples of one number."""
    return Distribution(
        count=count, p50_ns=step_ns, p90_ns=2 * step_ns, p99_ns=3 * step_ns, max_ns=4 * step_ns, total_ns=9 * step_ns
    )


def cpu_time(cpu, user_ns=500, idle_ns=500):
    rest = dict.fromkeys(set(CpuTime.model_fields) - {"cpu", "user_ns", "idle_ns"}, 0)
    return CpuTime(cpu=cpu, user_ns=user_ns, idle_ns=idle_ns, **rest)


def sample(**changes):
    """The result, with some of its fields replaced."""
    values = {
        "version": "0.1.0",
        "scenario": Scenario(seed=77),
        "policy": "spf-v9",
        "workload": "ebizzy",
        "machine": "x86-vm-16",
        "cpus": 16,
        "threads": 32,
        "stop": TimeReached(at=20_000_000),
        "virtual_ns": 20_000_000,
        "events": 114_003,
        "fingerprint": "71ecd20cc4553ea6a3eaa575a37b6f6a",
        "throughput": Throughput(
            unit="records", records=6121, measured_ns=19_963_394, per_s=306_611.2, faults_per_s=102_187.0
        ),
        "counters": COUNTERS,
        "fault_paths": {"classic": 250, "spf": 750},
        "ipi": IpiWaits(all=spread(540, 5140), flush=spread(530, 5140), sync=spread(10, 700), worst=WORST),
        "mmap_sem": MmapSemWaits(
            read=spread(21, 100), read_slept=6, write=spread(4082, 2_000), write_slept=7, write_hold=spread(4081, 900)
        ),
        "transient": TRANSIENT,
        "cpu_time": tuple(cpu_time(cpu) for cpu in range(16)),
        "memory": Memory(total_pages=16384, free_pages=15051, watermarks_crossed={"low": 3, "min": 2}, oom_kills=0),
        "vmstat": {"pgalloc_normal": 1333},
        "collapses": {"succeeded": 5},
        "notes": ("5 of 60000 lines are unreadable and were skipped",),
    }
    return Result(**values | changes)
