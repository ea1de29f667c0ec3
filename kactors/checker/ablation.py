"""Which checks does a policy need? Search it without each subset of them, in scenes small enough to be covered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import combinations

from kactors.checker.search import Search, make_strategy
from kactors.checker.strategies.strategy import Budget
from kactors.checker.subject import Subject
from kactors.engine.errors import UsageError
from kactors.policies import load_policy
from kactors.policies.ablation import ablated_name
from protocols.scenario import Scenario
from protocols.search import Ablated, Ablation

CHECKS_MAX = 12
"""More have too many subsets to search each."""


def checks_of(policy: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the checks to drop: the named ones, else those that the policy itself puts in question, else all of its.

    Raises:
        UsageError: the policy has none, not these, or more than can be tried in all combinations.
    """
    kind = type(load_policy(policy))
    declared = {check.name: check for check in kind.checks if check.name not in kind.drops}
    if not declared:
        raise UsageError(f"{policy} declares no checks, so none can be dropped (docs/write-a-policy.md tells how)")
    unknown = [name for name in names if name not in declared]
    if unknown:
        raise UsageError(f"{policy} has no check {unknown[0]}; it has {', '.join(declared)}")
    chosen = tuple(name for name in declared if name in names) or tuple(
        name for name in kind.interplay if name in declared
    )
    chosen = chosen or tuple(declared)
    if len(chosen) > CHECKS_MAX:
        raise UsageError(
            f"{len(chosen)} checks have {2 ** len(chosen)} subsets; name {CHECKS_MAX} at most, of {', '.join(declared)}"
        )
    return chosen


def subsets(checks: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield every subset, the smallest first, in the order of the checks."""
    for count in range(len(checks) + 1):
        yield from combinations(checks, count)


def ablate_one(policy: str, dropped: Sequence[str], scenes: Sequence[Scenario], budget: Budget, seed: int) -> Ablated:
    """Search a policy without these checks, scene after scene, until something breaks."""
    states, complete = 0, True
    for scene in scenes:
        subject = Subject(scene.model_copy(update={"policy": ablated_name(policy, dropped)}))
        search = Search(subject, make_strategy("portfolio", subject, budget, seed), seed).run()
        states += subject.space.states
        if search.finding is not None:
            return Ablated(dropped=tuple(dropped), complete=True, found=search.searched().found, states=states)
        complete = complete and search.strategy.complete
    return Ablated(dropped=tuple(dropped), complete=complete, found=None, states=states)


def sum_up(policy: str, checks: Sequence[str], scenes: Sequence[Scenario], rows: Sequence[Ablated]) -> Ablation:
    """Return what the searches of all subsets say together.

    Dropping one more check can make a policy safe again (with interrupts on, spinning for a lock harms nobody), so
    nothing is concluded from one subset for another.
    """
    safe = {frozenset(row.dropped) for row in rows if row.safe}
    kept = sorted((frozenset(checks) - dropped for dropped in safe), key=len)
    minimal = [each for each in kept if not any(other < each for other in kept)]
    redundant = [check for check in checks if all(dropped | {check} in safe for dropped in safe)]
    spare = [check for check in checks if check not in redundant and frozenset({check}) in safe]
    return Ablation(
        version=version("kactors"),
        policy=policy,
        checks=tuple(checks),
        scenes=tuple(scene.workload for scene in scenes),
        rows=tuple(rows),
        minimal=tuple(tuple(check for check in checks if check in each) for each in minimal),
        redundant=tuple(redundant) if safe else (),
        spare=tuple(spare),
    )
