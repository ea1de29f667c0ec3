"""Events a second of whole machines, to compare one version with the next: ``python -m benchmarks.machine [--quick]``.

Unlike the ring, these are the real actors, with the observers and properties that every run has. Seconds depend on the
computer; the number of events and the fingerprint do not, and tell whether two versions did the same.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from kactors import Machine, Result, Scenario
from kactors.run import Runtime
from kactors.syscalls import UserThread
from kactors.workloads import Program
from protocols.scenario import Khugepaged

ROUNDS = 5
CPUS = 1000

EBIZZY = Scenario(workload="ebizzy", policy="spf-v9", machine="x86-vm-16", until_ns=5_000_000)
COLLAPSE = Scenario(machine="small", cpus=CPUS, khugepaged=Khugepaged(scan_sleep_millisecs=1))


def one_collapse() -> Program:
    """A thread on every CPU while khugepaged collapses the main thread's range: it waits for 1000 acks."""
    area: list[int] = []

    async def set_up(thread: UserThread) -> None:
        size = thread.cpu.machine.pmd_size
        mapped = await thread.mmap(2 * size)
        area.append(-(-mapped // size) * size)
        await thread.madvise_hugepage(area[0], size)
        await thread.touch(area[0])

    async def stay(thread: UserThread) -> None:
        await thread.compute(3_000_000)

    return Program([stay] * CPUS, set_up)


@dataclass(frozen=True)
class Case:
    """What is measured."""

    name: str
    scenario: Scenario
    runtime: Runtime = "inline"
    workload: Callable[[], Program] | None = None


CASES = (
    Case("ebizzy, spf-v9, x86-vm-16, 5 ms", EBIZZY),
    Case("the same on Trio", EBIZZY, "trio"),
    Case(f"one collapse, {CPUS} CPUs", COLLAPSE, "inline", one_collapse),
)


def measure(case: Case) -> tuple[float, Result]:
    """CPU seconds of one run, without the building of the machine; and what came out."""
    machine = Machine(case.scenario, workload=case.workload() if case.workload else None)
    gc.collect()
    began_s = time.process_time()
    result = machine.run(case.runtime)
    return time.process_time() - began_s, result


def main(arguments: list[str]) -> None:
    quick = arguments == ["--quick"]
    if arguments and not quick:
        sys.exit("usage: python -m benchmarks.machine [--quick]")
    print(f"{'case':32} {'events':>8} {'CPU s':>7} {'events/s':>10}  {'stop':10} fingerprint")
    for case in CASES:
        runs = [measure(case) for _ in range(1 if quick else ROUNDS)]
        seconds, result = median(seconds for seconds, _ in runs), runs[0][1]
        figures = f"{result.events:8,} {seconds:7.2f} {result.events / seconds:10,.0f}"
        print(f"{case.name:32} {figures}  {result.stop.kind:10} {result.fingerprint}")


if __name__ == "__main__":
    main(sys.argv[1:])
