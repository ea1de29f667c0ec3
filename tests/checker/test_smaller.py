"""A finding is told in the smallest scenario that still has it."""

from kactors.checker.search import Search, make_strategy
from kactors.checker.smaller import SEARCHES_MAX, smaller_scenarios, smallest
from kactors.checker.strategies.strategy import Budget
from kactors.checker.subject import Subject
from protocols.scenario import Scenario
from protocols.stop import Violation

BROKEN = Scenario(
    workload="munmap-vs-fault",
    policy="broken-blocking-spin",
    machine="small",
    cpus=4,
    options={"pages": 5},
    costs={"mmu_gather_pages": 1},
)


def found_in(subject, strategy="portfolio"):
    return Search(subject, make_strategy(strategy, subject, Budget(schedules=4_000), 1)).run().finding


def test_pages_and_cpus_go_as_long_as_the_deadlock_stays():
    subject = Subject(BROKEN)
    small, finding = smallest(subject, found_in(subject), subject_of=Subject)
    assert small.scenario.options == {"pages": 1}
    assert small.scenario.cpus == 2
    assert finding[0].kind == "deadlock"
    assert small.rerun(finding[1]).stop.kind == "deadlock"


def test_another_finding_is_not_taken_for_it():
    subject = Subject(BROKEN)
    finding = (Violation(property="another", text=""), found_in(subject)[1])
    same, kept = smallest(subject, finding, subject_of=Subject)
    assert same is subject
    assert kept is finding


def test_the_number_of_searches_is_bounded():
    made = []

    def count(scenario):
        made.append(scenario)
        return Subject(scenario)

    subject = Subject(BROKEN.model_copy(update={"options": {"pages": 150}}))
    smallest(subject, found_in(subject), subject_of=count)
    assert 0 < len(made) <= SEARCHES_MAX


def test_what_is_tried_is_smaller_in_one_thing_and_never_below_its_least():
    subject = Subject(BROKEN)
    tried = list(smaller_scenarios(subject))
    assert [scenario.options["pages"] for scenario in tried if scenario.options != BROKEN.options] == [1, 2, 4]
    assert [scenario.cpus for scenario in tried if scenario.cpus != 4] == [2, 3]
    assert [scenario.threads for scenario in tried if scenario.threads is not None] == [1]
    # A search knows no durations, so a shorter one is no smaller scenario.
    assert all("spread_ns" not in scenario.options for scenario in tried)


def test_an_option_that_nobody_gave_is_made_smaller_too():
    tried = list(smaller_scenarios(Subject(BROKEN.model_copy(update={"options": {}}))))
    assert {"pages": 1} in [scenario.options for scenario in tried]
