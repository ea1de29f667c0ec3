"""Events a second of whole machines, to compare one version with the next: ``python -m benchmarks.machine [--quick]``.

Unlike the ring, these are the real actors with the observers and properties that every run has. What is printed depends
on the machine; the number of events and the fingerprint do not, and tell whether two versions did the same.
"""

from __future__ import annotations

import gc
import sys
import time
from statistics import median

from kactors import Machine, Result, Scenario
from kactors.run import Runtime
from protocols.scenario import Khugepaged

ROUNDS = 5

EBIZZY = Scenario(workload="ebizzy", policy="spf-v9", machine="x86-vm-16", until_ns=5_000_000)
COLLAPSE = Scenario(
    workload="collapse",
    machine="x86-80",
    cpus=1000,
    options={"pmds": 1, "rounds": 1, "t": 1},
    khugepaged=Khugepaged(scan_sleep_millisecs=1),
)
SCENARIOS: dict[str, tuple[Scenario, Runtime]] = {
    "ebizzy, spf-v9, x86-vm-16, 5 ms": (EBIZZY, "inline"),
    "the same on Trio": (EBIZZY, "trio"),
    "collapse, 1000 CPUs": (COLLAPSE, "inline"),
}


def measure(scenario: Scenario, runtime: Runtime) -> tuple[float, Result]:
    """CPU seconds of one run, without the building of the machine; and what came out."""
    machine = Machine(scenario)
    gc.collect()
    began_s = time.process_time()
    result = machine.run(runtime)
    return time.process_time() - began_s, result


def main(arguments: list[str]) -> None:
    quick = arguments == ["--quick"]
    if arguments and not quick:
        sys.exit("usage: python -m benchmarks.machine [--quick]")
    scenarios, rounds = SCENARIOS, ROUNDS
    if quick:
        rounds = 1
        scenarios = {
            name: (scenario.model_copy(update={"events_max": 2000}), runtime)
            for name, (scenario, runtime) in SCENARIOS.items()
        }
    print(f"{'scenario':32} {'events':>9} {'CPU s':>7} {'events/s':>10}  fingerprint")
    for name, (scenario, runtime) in scenarios.items():
        runs = [measure(scenario, runtime) for _ in range(rounds)]
        seconds, result = median(seconds for seconds, _ in runs), runs[0][1]
        rate = result.events / seconds
        print(f"{name:32} {result.events:9,} {seconds:7.2f} {rate:10,.0f}  {result.fingerprint}")


if __name__ == "__main__":
    main(sys.argv[1:])
