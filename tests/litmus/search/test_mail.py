"""The review mail's deadlock, by search: found soon, told in few steps, and not there with a trylock."""

from kactors import Scenario
from kactors.checker.search import Search, make_strategy
from kactors.checker.strategies.strategy import Budget
from kactors.checker.subject import Subject

STEPS_MAX = 20


def test_the_mails_deadlock_is_told_in_few_steps():
    subject = Subject(Scenario(workload="mail-deadlock", policy="broken-blocking-spin", machine="small"))
    searched = Search(subject, make_strategy("portfolio", subject, Budget(schedules=100), 1)).run().searched()
    found = searched.found
    assert found.stop.kind == "deadlock"
    assert {(wait.waiter, wait.holder) for wait in found.stop.cycle} == {("cpu0", "cpu1"), ("cpu1", "cpu0")}
    assert {wait.resource.split(" of ")[0] for wait in found.stop.cycle} == {"IPI ack", "PTE lock"}
    assert len(found.story) <= STEPS_MAX
