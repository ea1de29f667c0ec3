"""Identical CPUs: exchanging them leaves out work, and nothing else."""

import pytest

from kactors import Scenario
from kactors.checker.search import Search, make_strategy
from kactors.checker.strategies.strategy import Budget
from kactors.checker.subject import Subject
from kactors.engine.errors import UsageError
from kactors.workloads.program import Program


class Alike(Program):
    interchangeable = True


def searched(*, symmetry, **given):
    workload = given.pop("workload", "same-address")
    program = None if isinstance(workload, str) else workload
    scenario = Scenario(machine="small", **({"workload": workload} if program is None else {}), **given)
    subject = Subject(scenario, workload=program)
    if not symmetry:
        subject.space.alike = ()
    return Search(subject, make_strategy("exhaustive", subject, Budget(), 1)).run(keep_going=True)


@pytest.mark.parametrize("policy", ["spf-v9", "classic", "per-vma", "spf-v9-without-pte_same"])
def test_as_many_traces_and_the_same_finding_by_fewer_steps(policy):
    reduced, whole = (searched(symmetry=symmetry, policy=policy) for symmetry in (True, False))
    assert reduced.strategy.complete
    # A finding ends a schedule before what does not depend on it: how many such ends there are is a matter of order.
    assert whole.finding or reduced.strategy.traces == whole.strategy.traces
    assert reduced.strategy.moves < 0.8 * whole.strategy.moves
    assert set(reduced.outcomes) == set(whole.outcomes)
    assert (reduced.finding is None) == (whole.finding is None)


def test_registers_under_one_name_do_not_tell_who_is_who():
    async def set_up(thread):
        program.area = await thread.mmap(2 * thread.page_size)

    async def work(thread):
        await thread.touch(program.area)
        if thread.cpu.engine.choices.pick("coin", 2):
            thread.note("r", "one")
        else:
            thread.note("r", "two")

    program = Alike([work, work], set_up)
    found = searched(symmetry=True, workload=program)
    assert set(found.outcomes) == {(("r", f"{a}, {b}"),) for a, b in (("one", "one"), ("one", "two"), ("two", "two"))}


def test_workers_that_are_not_alike_are_noticed():
    async def set_up(thread):
        program.area = await thread.mmap(4 * thread.page_size)

    async def work(thread):
        await thread.touch(program.area + thread.number * thread.page_size)

    program = Alike([work, work], set_up)
    with pytest.raises(UsageError, match="interchangeable, but they answer"):
        searched(symmetry=True, workload=program)
