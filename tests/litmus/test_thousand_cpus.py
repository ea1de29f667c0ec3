"""A collapse on a machine with 1000 CPUs waits for the acks of all of them. How fast: benchmarks/machine.py."""

from kactors import Scenario, run
from kactors.syscalls import UserThread
from kactors.workloads import Program
from protocols.scenario import Khugepaged

CPUS = 1000


def test_one_collapse_interrupts_a_thousand_cpus_and_waits_for_each():
    area: list[int] = []

    async def set_up(t: UserThread) -> None:
        size = t.cpu.machine.pmd_size
        mapped = await t.mmap(2 * size)
        area.append(-(-mapped // size) * size)
        await t.madvise_hugepage(area[0], size)
        await t.touch(area[0])

    async def stay(t: UserThread) -> None:
        await t.compute(3_000_000)

    scenario = Scenario(machine="small", cpus=CPUS, khugepaged=Khugepaged(scan_sleep_millisecs=1))
    result = run(scenario, workload=Program([stay] * CPUS, set_up))
    assert result.stop.kind == "quiescent"
    assert result.collapses == {"succeeded": 1}
    assert (result.ipi.flush.count, result.ipi.worst.targets) == (1, CPUS)
