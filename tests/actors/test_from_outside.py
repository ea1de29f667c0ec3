"""What one CPU does with the messages that no thread of its own has asked for, to the nanosecond."""

import pytest

from kactors.kernel.accounting import Spent
from protocols.allocation import DRAIN_PAGES, PagesDrained
from protocols.host import MmUsers, SetSpeculationBound, StealCpu
from protocols.rcu import QUIESCENT, RcuCallback, ReportQuiescent
from protocols.roles import heard_by, said_by
from protocols.scenario import OnLimit
from protocols.tlb import IPI_ACK, FlushIpi
from protocols.tracepoints import MmPageFree
from tests.actors.scenes import Heard, Probe, scene, spent, wait_until

TAG = 77
TOGGLE = {"irq_toggle_ns": 3, "ipi_handler_ns": 900, "tlb_flush_page_ns": 100}


class Outside(Probe):
    """The host, the mm, the allocator and another CPU in one."""

    role = "host"
    says = said_by("host") | said_by("mm") | said_by("allocator") | said_by("cpu")
    hears = heard_by("host") | heard_by("mm") | heard_by("allocator") | heard_by("cpu")


def played_with(*messages, body=None, observers=()):
    """Say (at_ns, message)s to CPU 0, which computes or runs ``body``; return the machine and what came back."""

    async def compute(thread):
        await wait_until(thread, 50_000)

    machine = scene(body or compute, costs=TOGGLE, observers=observers, properties=False)
    outside = Outside(machine.system.engine, 1)
    for at_ns, message in messages:
        outside.say(at_ns, machine.system.cpus[0], message, TAG)
    machine.run()
    return machine, outside.heard


@pytest.mark.parametrize(("limit", "bounded"), [(3, "mm"), (0, "mm"), (None, None)])
def test_a_bound_on_speculation_holds_from_its_message_on(limit, bounded):
    machine, _ = played_with((10_000, SetSpeculationBound(inflight_max=limit, scope="mm", on_limit=OnLimit.CLASSIC)))
    assert machine.system.cpus[0].bounded == bounded


def test_the_last_word_on_the_mms_users_counts():
    machine, _ = played_with((10_000, MmUsers(mm_users=5)), (11_000, MmUsers(mm_users=9)))
    assert machine.system.cpus[0].mm_users == 9


def test_a_theft_shifts_the_thread_by_its_length_and_delays_every_answer_to_its_end():
    flush = FlushIpi(start=0, end=4096, generation=2, full=False)
    machine, heard = played_with(
        (10_000, StealCpu(duration=5_000)), (12_000, ReportQuiescent()), (12_500, DRAIN_PAGES), (13_000, flush)
    )
    assert spent(machine, 0, Spent.STOLEN) == 5_000
    quiescent, drained, acked = sorted(heard, key=lambda entry: entry[0])
    assert quiescent == (15_000, TAG, QUIESCENT)
    assert (drained[:2], type(drained[2])) == ((15_000, TAG), PagesDrained)
    assert acked == (15_000 + 900 + 100, TAG, IPI_ACK)


@pytest.mark.parametrize(("generation", "flush_ns"), [(1, 0), (2, 100)])
def test_a_flush_of_a_generation_that_the_tlb_has_reached_costs_the_handler_alone(generation, flush_ns):
    flush = FlushIpi(start=0, end=4096, generation=generation, full=False)
    machine, heard = played_with((10_000, flush))
    assert heard == [(10_000 + 900 + flush_ns, TAG, IPI_ACK)]
    assert machine.system.cpus[0].tlb.generation == generation


def test_without_a_theft_the_answers_come_at_once():
    _, heard = played_with((12_000, ReportQuiescent()), (12_500, DRAIN_PAGES))
    assert heard == [(12_000, TAG, QUIESCENT), (12_500, TAG, PagesDrained(pfns=()))]


def test_two_thefts_follow_each_other():
    machine, heard = played_with(
        (10_000, StealCpu(duration=5_000)), (12_000, StealCpu(duration=2_000)), (13_000, ReportQuiescent())
    )
    assert spent(machine, 0, Spent.STOLEN) == 7_000
    assert heard == [(17_000, TAG, QUIESCENT)]


def test_a_section_answers_with_the_tag_of_the_question_when_it_ends():
    ended = []

    async def read(thread):
        await wait_until(thread, 10_000)
        with thread.cpu.rcu_read_lock():
            await thread.compute(5_000)
            await thread.cpu.read_pmd(0)
            ended.append(thread.cpu.clock_ns)
        await wait_until(thread, 50_000)

    _, heard = played_with((11_000, ReportQuiescent()), (12_000, ReportQuiescent()), body=read)
    assert heard == [(ended[0], TAG, QUIESCENT)] * 2


def test_frames_whose_grace_period_is_over_go_to_the_cpus_own_list_and_are_told():
    freed = Heard(MmPageFree)
    machine, heard = played_with((10_000, RcuCallback(pfns=(40, 41))), (11_000, DRAIN_PAGES), observers=[freed])
    assert [(at_ns, who, told.pfn, told.order) for at_ns, who, told in freed.all] == [
        (10_000, "cpu0", 40, 0),
        (10_000, "cpu0", 41, 0),
    ]
    ((_, _, drained),) = heard
    assert sorted(drained.pfns) == [40, 41]
    assert machine.system.cpus[0].pages.drain() == ()
