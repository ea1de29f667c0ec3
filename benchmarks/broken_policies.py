"""What each protection protects from, by search: ``python -m benchmarks.broken_policies``, as in MODEL.md."""

from dataclasses import dataclass

from kactors import Scenario
from kactors.checker.search import Search, make_strategy, tell_finding
from kactors.checker.strategies.strategy import Budget
from kactors.checker.subject import Subject
from kactors.policies.broken import BROKEN
from protocols.stop import AnyStop, Quiescent, Violation

SCENES = ("collapse-fault", "munmap-table", "munmap-page")
"""One in which khugepaged collapses, one in which a page table is freed, one in which nobody needs a flush."""

COMMIT = (
    "spf-v9",
    "broken-irqs-on",
    "broken-walk-irqs-on",
    "broken-commit-irqs-on",
    "broken-no-first-check",
    "broken-no-last-check",
    "broken-no-pmd-check",
    "broken-no-collapse-section",
    "broken-no-vma-checks",
    "broken-no-checks",
    "broken-irqs-on-no-last-check",
    "broken-irqs-on-no-pmd-check",
    "broken-irqs-on-no-vma-checks",
    "broken-irqs-on-no-checks",
)
"""What irqs off and the checks of the commit protect from."""

SHOWN_BY = {
    "broken-no-refcount": "munmap-page",
    "broken-odd-sequence": "mprotect-fault",
    "broken-no-access-check": "mprotect-fault",
    "broken-walk-irqs-on": "munmap-table",
    "broken-commit-irqs-on": "munmap-table",
    "broken-blocking-spin": "mail-deadlock",
    "broken-no-last-check": "munmap-page",
    "broken-no-vma-checks": "munmap-page",
    "broken-no-checks": "collapse-fault",
    "broken-no-pte-recheck": "two-faults",
    "broken-no-reuse-check": "munmap-page",
    "broken-no-mprotect-section": "mprotect-fault",
    "broken-collapse-no-flush": "collapse-fault",
    "broken-isolate-unlocked": "collapse-fault",
    "broken-free-before-flush": "stale-tlb",
    "broken-mprotect-no-flush": "write-protect",
    "broken-classic-no-pte-recheck": "two-faults",
    "broken-per-vma-no-pte-recheck": "two-faults",
    "broken-per-vma-no-sequence-recheck": "collapse-fault",
    "broken-per-vma-no-bounds": "munmap-tail",
    "broken-per-vma-no-drain": "collapse-fault",
    "broken-per-vma-no-collapse-lock": "collapse-fault",
    "broken-irqs-on": "munmap-table",
    "broken-irqs-on-no-last-check": "collapse-fault",
    "broken-irqs-on-no-pmd-check": "munmap-table",
    "broken-irqs-on-no-vma-checks": "collapse-fault",
    "broken-irqs-on-no-checks": "collapse-fault",
}
"""For each broken policy that some interleaving breaks, the scene that shows it best."""

SCHEDULES_MAX = 1_000

SHORT = {
    "freed_table_touched": "table",
    "page_accounting": "page",
    "pte_in_unmapped_area": "area",
    "pte_under_cleared_pmd": "pmd",
}


@dataclass(frozen=True)
class Caught:
    """How a search catches a policy: in its ``schedules``-th schedule, by a story of ``steps`` steps."""

    schedules: int
    steps: int


def subject(policy: str, scene: str) -> Subject:
    """Return a scene under a policy, to be searched."""
    return Subject(Scenario(workload=scene, policy=policy, machine="small"))


def breaks(policy: str, scene: str) -> set[str]:
    """Return all that some interleaving of a scene breaks first: properties, or a word like deadlock.

    Raises:
        AssertionError: the search was not complete.
    """
    whole = subject(policy, scene)
    strategy = make_strategy("exhaustive", whole, Budget(), 1)
    found = {name_of(stop) for stop, _, _ in Search(whole, strategy).verdicts() if not isinstance(stop, Quiescent)}
    assert strategy.complete
    return found


def caught(policy: str, wanted: str, *, shrunk: bool = True) -> Caught | None:
    """Search a policy's scene by the portfolio until ``wanted`` is found; None: not in SCHEDULES_MAX schedules."""
    whole = subject(policy, SHOWN_BY[policy])
    strategy = make_strategy("portfolio", whole, Budget(schedules=SCHEDULES_MAX), 1)
    for stop, moves, _ in Search(whole, strategy).verdicts():
        if name_of(stop) == wanted:
            return Caught(strategy.schedules, len(tell_finding(whole, stop, moves, shrunk=shrunk).story))
    return None


def name_of(stop: AnyStop) -> str:
    """Return the property that was violated, or the kind of any other end."""
    return stop.property if isinstance(stop, Violation) else stop.kind


def print_commit() -> None:
    print("What breaks first in some interleaving of a scene, all of them gone through; - is nothing: proved.")
    print(", ".join(f"{word}: {name}" for name, word in SHORT.items()))
    print(f"{'policy':32}" + "".join(f"{scene:20}" for scene in SCENES).rstrip())
    for policy in COMMIT:
        cells = (" ".join(sorted(SHORT.get(name, name) for name in breaks(policy, scene))) or "-" for scene in SCENES)
        print((f"{policy:32}" + "".join(f"{cell:20}" for cell in cells)).rstrip(), flush=True)


def print_caught() -> None:
    print(f"{'policy':36}{'caught by':30}{'in scene':18}{'schedule':>9}{'steps':>7}")
    for name, policy in BROKEN.items():
        if policy.caught_by is None:
            print(f"{name:36}nothing: harmless")
            continue
        found = caught(name, policy.caught_by)
        numbers = f"{found.schedules:>9,}{found.steps:>7}" if found else "not found"
        print(f"{name:36}{policy.caught_by:30}{SHOWN_BY[name]:18}{numbers}", flush=True)


if __name__ == "__main__":
    print_commit()
    print()
    print_caught()
