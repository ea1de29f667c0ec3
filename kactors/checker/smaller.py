"""The smallest scenario with the same finding: fewer CPUs and threads, smaller options of the workload.

A story of one page on two CPUs is read; one of eight pages on four is not. Each smaller scenario is searched with a
small budget, in turns that are counted and not timed, so the result is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pydantic.fields import FieldInfo

from kactors.checker.covered import Finding
from kactors.checker.schedules import digest
from kactors.checker.search import Search, make_strategy
from kactors.checker.shrink import same_finding
from kactors.checker.slices import Slices, finish
from kactors.checker.strategies.strategy import Budget
from kactors.checker.subject import Subject
from kactors.engine.errors import UsageError
from kactors.workloads import WORKLOADS
from protocols.scenario import Scenario

SEARCHES_MAX = 24
BUDGET = Budget(schedules=400, steps=2_000)


def smallest(
    subject: Subject, finding: Finding, *, subject_of: Callable[[Scenario], Subject], seed: int = 1
) -> tuple[Subject, Finding]:
    """Return the smallest scenario that was found to have the same finding, and the schedule in it.

    Args:
        subject: where it was found.
        finding: what was found.
        subject_of: makes a subject of another scenario, judged by the same properties.
        seed: of the searches.
    """
    return finish(seek_smallest(subject, finding, subject_of=subject_of, seed=seed))


def seek_smallest(
    subject: Subject, finding: Finding, *, subject_of: Callable[[Scenario], Subject], seed: int = 1
) -> Slices[tuple[Subject, Finding]]:
    """Do as ``smallest`` does, in slices."""
    left = SEARCHES_MAX
    tried = {digest(subject.scenario)}
    again = True
    while again:
        again = False
        for scenario in smaller_scenarios(subject):
            if digest(scenario) in tried:
                continue
            if not left:
                return subject, finding
            left -= 1
            tried.add(digest(scenario))
            found = yield from _find(scenario, finding, subject_of, seed)
            if found is not None:
                subject, finding = found
                again = True
                break
    return subject, finding


def smaller_scenarios(subject: Subject) -> Iterator[Scenario]:
    """Yield scenarios that are smaller in one thing, what shortens a story most first."""
    scenario = subject.scenario
    if subject.workload is None:
        for name, field in _numbers(scenario.workload):
            value = scenario.options.get(name, field.default)
            if isinstance(value, int) and not isinstance(value, bool):
                for less in _less(value, _least(field)):
                    yield scenario.model_copy(update={"options": {**scenario.options, name: less}})
    threads, cpus = subject.workers, subject.cpus
    if threads > 1:
        yield scenario.model_copy(update={"threads": threads - 1})
    if cpus > 1:
        yield from (scenario.model_copy(update={"cpus": less}) for less in _less(cpus, min(threads, cpus - 1)))


def _find(
    scenario: Scenario, wanted: Finding, subject_of: Callable[[Scenario], Subject], seed: int
) -> Slices[tuple[Subject, Finding] | None]:
    """Search one scenario for the same finding; None where it is not found, or is no scenario that can be searched."""
    try:
        subject = subject_of(scenario)
    except UsageError:
        return None
    search = Search(subject, make_strategy("portfolio", subject, BUDGET, seed), seed)
    yield from search.slices()
    found = search.finding
    if found is not None and same_finding(found[0], wanted[0]):
        return subject, found
    yield from subject.space.forget()
    return None


def _numbers(workload: str) -> Iterator[tuple[str, FieldInfo]]:
    """Yield a workload's options that say how much of something there is: durations mean nothing in a search."""
    kind = WORKLOADS.get(workload)
    options = kind.options_type if kind is not None else None
    for name, field in options.model_fields.items() if options is not None else ():
        if not name.endswith("_ns"):
            yield name, field


def _least(field: FieldInfo) -> int:
    bounds = [bound for part in field.metadata if isinstance(bound := getattr(part, "ge", None), int)]
    return max(bounds, default=0)


def _less(value: int, least: int) -> Iterator[int]:
    """Yield the least, a half, and one less."""
    yield from dict.fromkeys(less for less in (least, value // 2, value - 1) if least <= less < value)
