"""transient_bound: more pages on their way than the policy says."""

import pytest

from kactors.observers.properties.transient_bound import TransientBound
from kactors.policies import load_policy
from kactors.policies.classic import Classic, classic_fault
from protocols.tracepoints import MmPageAlloc, PageDiscarded, PageMapped, TransientStated
from tests.actors.scenes import BASE, Heard, scene
from tests.observers.properties.stories import findings, fires, one_write, stopped, with_history

NAME = "transient_bound"
SLOW = {"cpus": 3, "set_up": with_history, "costs": {"clear_page_ns": 50_000}}
"""A page takes so long to clear that the windows of all faults overlap."""


class HoldsTwo(Classic):
    """A fault that allocates ahead: two pages a thread, where it says one."""

    async def fault(self, cpu, address, *, write):
        first = await cpu.alloc_page(address)
        second = await cpu.alloc_page(address)
        await cpu.discard(first)
        await cpu.discard(second)
        return await classic_fault(cpu, address, write=write)


class HoldsTwoAndSaysSo(HoldsTwo):
    """The same, but honest."""

    def transient_pages_max(self, cpus, threads):
        return 2 * threads


class SaysNothing(HoldsTwo):
    """No bound, no judgement."""

    def transient_pages_max(self, cpus, threads):
        return None


class SaysCpus(Classic):
    """The classic path, for which somebody has claimed the mail's bound: nr_cpus - 1."""

    def transient_pages_max(self, cpus, threads):
        return cpus - 1


def test_a_fault_that_holds_more_than_its_share_is_told():
    # the main thread, which has set up, counts: four threads, of which three fault
    text = fires(NAME, *[one_write] * 3, policy=HoldsTwo(), **SLOW)
    assert f"allocates for {BASE:#x} at" in text
    assert "5 pages are on their way (5 of them for this address), and classic states 4 at most" in text


@pytest.mark.parametrize("policy", [HoldsTwoAndSaysSo, SaysNothing])
def test_a_bound_that_holds_or_that_nobody_states_is_no_finding(policy):
    assert stopped(NAME, *[one_write] * 3, policy=policy(), **SLOW).kind == "quiescent"


def test_the_bound_of_the_mail_does_not_hold():
    """nr_cpus - 1, with as many faults as CPUs at one moment."""
    text = fires(NAME, *[one_write] * 3, policy=SaysCpus(), **SLOW)
    assert "3 pages are on their way (3 of them for this address), and classic states 2 at most" in text


@pytest.mark.parametrize("name", ["classic", "spf-v9", "per-vma"])
def test_ours_state_a_page_a_thread_and_keep_it(name):
    assert load_policy(name).transient_pages_max(2, 7) == 7
    assert stopped(NAME, *[one_write] * 5, policy=name, **SLOW).kind == "quiescent"


def test_the_bound_is_stated_again_when_threads_or_the_policy_change():
    heard = Heard(TransientStated)
    machine = scene(one_write, set_up=with_history, observers=(heard,))
    machine.system.run_thread(machine.system.cpus[1], one_write)
    machine.system.set_policy(SaysNothing())
    assert machine.run().stop.kind == "quiescent"
    assert [(told.policy, told.pages) for told in heard.of(TransientStated)] == [
        ("classic", 3),
        ("classic", -1),
        ("classic", -1),
    ]


def stated(pages, policy="mine"):
    return TransientStated(policy=policy, pages=pages)


def alloc(pfn):
    return MmPageAlloc(pfn=pfn, address=BASE, cpu=0)


ONE, TWO, THREE = alloc(1), alloc(2), alloc(3)


@pytest.mark.parametrize(
    ("story", "found"),
    [
        ((stated(1), ONE), 0),
        ((stated(1), ONE, TWO), 1),
        ((stated(1), ONE, PageMapped(pfn=1, vpn=1, order=0), TWO), 0),
        ((stated(1), ONE, PageDiscarded(pfn=1, address=BASE, zeroing=1), TWO), 0),
        ((stated(2), stated(1, "another"), ONE, TWO), 0),
        ((stated(1), stated(2), ONE, TWO, THREE), 1),
        ((stated(1), stated(-1), ONE, TWO), 0),
        ((stated(-1), stated(1), ONE, TWO), 0),
        ((ONE, TWO), 0),
    ],
)
def test_the_wider_of_two_bounds_holds(story, found):
    assert findings(TransientBound(), *story) == [NAME] * found
