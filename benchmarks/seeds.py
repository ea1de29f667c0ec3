"""Policies in two timed scenes, over seeds: what breaks by chance. A search says what can (broken_policies.py)."""

from collections import Counter
from collections.abc import Iterable

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
