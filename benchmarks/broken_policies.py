"""What each protection of SPF protects from: ``python -m benchmarks.broken_policies [SEEDS]``, as in MODEL.md."""

import sys
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor

from kactors import Machine, Scenario
from kactors.engine.observer import Observer
from kactors.observers.properties import load_property
from protocols.scenario import Khugepaged

COSTS = {"copy_huge_ns": 5_000, "clear_huge_ns": 5_000, "clear_page_ns": 4_000}
"""A slow page makes the window between the walk and the commit long; a fast copy makes collapses short."""

SCENES = {
    "collapse": Scenario(
        workload="collapse-vs-fault", machine="small", khugepaged=Khugepaged(scan_sleep_millisecs=1), costs=COSTS
    ),
    "munmap": Scenario(workload="munmap-vs-fault", machine="small", options={"tables": True}, costs=COSTS),
}

POLICIES = (
    "spf-v9",
    "broken-blocking-spin",
    "broken-irqs-on",
    "broken-no-last-check",
    "broken-no-pmd-check",
    "broken-no-vma-checks",
    "broken-irqs-on-no-last-check",
    "broken-irqs-on-no-pmd-check",
    "broken-irqs-on-no-vma-checks",
    "broken-irqs-on-no-checks",
    "broken-no-checks",
)
"""What irqs off and the checks of the commit protect from; the other broken policies need scenes of their own."""

PROPERTIES = ("store_lost", "pte_under_cleared_pmd", "freed_table_touched")
LEAK = "page_accounting"
"""It also judges the end: a page that is neither free nor mapped nor in a list."""


def verdicts(policy: str, scene: str, seeds: Iterable[int], only: str | None = None) -> Counter[str]:
    """Count, over the seeds, the property that each run breaks first ("holds": none); ``only`` lets one watch alone."""
    counts: Counter[str] = Counter()
    for seed in seeds:
        scenario = SCENES[scene].model_copy(update={"policy": policy, "seed": seed})
        machine = Machine(scenario, observers=watching(only), properties=only is None)
        stop = machine.run().stop
        if stop.kind == "violation":
            counts[stop.property] += 1
        elif stop.kind != "quiescent":
            counts[stop.kind] += 1
        elif only in (None, LEAK) and not machine.system.account_pages().conserved:
            counts["not conserved, and no property saw it"] += 1
        else:
            counts["holds"] += 1
    return counts


def watching(only: str | None) -> list[Observer]:
    """Return the one property that shall watch, as an observer."""
    return [] if only is None else [load_property(only)]


def row(policy: str, seeds: int) -> str:
    cells = [f"{policy:32}"]
    for scene in SCENES:
        for name in (*PROPERTIES, LEAK):
            broken = verdicts(policy, scene, range(seeds), only=name)[name]
            cells.append(f"{broken:>8}" if broken else f"{'-':>8}")
    return " ".join(cells)


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    print(f"Runs of {seeds} in which a property breaks, that property watching alone; - is none, which proves nothing.")
    print(
        "store: a store is lost; pte: a PTE is set where nobody finds it; table: a freed page table is touched; leak: a"
    )
    print("page is lost. (broken-blocking-spin deadlocks where munmap flushes under the PTE lock: see MODEL.md.)")
    print(f"{'':32} {'collapse':^35} {'munmap, tables freed':^35}")
    print(f"{'policy':32} " + " ".join([f"{'store':>8} {'pte':>8} {'table':>8} {'leak':>8}"] * len(SCENES)))
    with ProcessPoolExecutor() as pool:
        for line in pool.map(row, POLICIES, [seeds] * len(POLICIES)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
