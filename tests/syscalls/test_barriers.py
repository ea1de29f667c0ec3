"""Barriers: nobody goes on before all have arrived, the last one wakes and pays, round after round."""

import pytest

from kactors.syscalls import barriers
from protocols.barrier import BarrierOpened, BarrierPassed
from protocols.tracepoints import SyscallDone
from tests.accounting import assert_settled
from tests.actors.scenes import Delivered, Heard, played, scene


def with_barrier(*bodies, threads=None, cpus=4, observers=()):
    """Run threads that share a barrier for as many, or for ``threads``."""
    barriers = []

    async def set_up(thread):
        barriers.append(thread.barrier(threads or len(bodies)))

    def joining(body):
        async def work(thread):
            await body(thread, barriers[0])

        return work

    works = [joining(body) for body in bodies]
    machine, result = played(*works, set_up=set_up, observers=list(observers), cpus=cpus)
    assert_settled(machine)
    return machine, result


def test_nobody_goes_on_before_the_last_has_arrived():
    passed_ns = []

    def after(ns):
        async def body(thread, barrier):
            await thread.compute(ns)
            await thread.wait_at(barrier)
            passed_ns.append(thread.cpu.clock_ns)

        return body

    with_barrier(after(0), after(700_000), after(10_000))
    assert len(passed_ns) == 3
    assert min(passed_ns) >= 700_000


def test_the_last_one_pays_for_waking_each_of_the_others():
    heard = Heard(SyscallDone)

    async def early(thread, barrier):
        await thread.wait_at(barrier)

    async def late(thread, barrier):
        await thread.compute(500_000)
        await thread.wait_at(barrier)

    machine, _ = with_barrier(early, early, early, late, observers=[heard])
    profile = machine.system.machine
    took_ns = {who: entry.duration for _, who, entry in heard.all if entry.name == "futex"}
    woken_ns = 3 * (profile.wake_ns + profile.ipi_exit_ns)
    assert woken_ns <= took_ns["cpu3"] - profile.syscall_ns - profile.futex_ns < woken_ns + 1_000
    assert min(took_ns[f"cpu{cpu}"] for cpu in range(3)) > 400_000, "the others have slept"


def test_who_is_alone_makes_no_system_call():
    heard = Heard(SyscallDone)

    async def alone(thread, barrier):
        for _ in range(3):
            await thread.wait_at(barrier)

    with_barrier(alone, observers=[heard])
    assert not heard.of(SyscallDone)


@pytest.mark.parametrize("step_ns", [0, 130, 1_700])
def test_a_round_begins_when_the_one_before_is_over(step_ns):
    entered = []

    async def body(thread, barrier):
        for number in range(20):
            entered.append(number)
            await thread.compute((thread.number * 37 + number * 53) % 5 * step_ns)
            await thread.wait_at(barrier)

    with_barrier(body, body, body, body)
    assert len(entered) == 80
    assert entered == sorted(entered)


def test_rounds_do_not_mix_when_the_last_one_is_slow_to_wake():
    """Who is too late to sleep goes on, and may sleep in the next round before the last of this one wakes anybody."""
    passed, opened = Delivered(BarrierPassed), Delivered(BarrierOpened)
    second_round_ns = []

    async def in_time(thread, barrier):
        await thread.wait_at(barrier)
        await second_round(thread, barrier)

    async def last(thread, barrier):
        await thread.compute(20_000)
        arrived = await barriers.arrive(thread.cpu, barrier)
        assert arrived.last
        await thread.compute(100_000)
        await barriers.futex(thread.cpu, barrier, arrived)
        await thread.compute(100_000)
        await second_round(thread, barrier)

    def too_late(ns):
        async def body(thread, barrier):
            arrived = await barriers.arrive(thread.cpu, barrier)
            await thread.compute(ns)
            await barriers.futex(thread.cpu, barrier, arrived)
            await second_round(thread, barrier)

        return body

    async def second_round(thread, barrier):
        await thread.wait_at(barrier)
        second_round_ns.append(thread.cpu.clock_ns)

    with_barrier(in_time, too_late(60_000), too_late(160_000), last, observers=[passed, opened])
    assert len(passed.all) == 2
    assert [message.woken for _, _, message in opened.all] == [1, 3]
    assert min(second_round_ns) > 200_000, "nobody is woken from the second round by the first one's end"


def test_a_thread_that_never_comes_is_a_deadlock_with_the_barriers_name():
    async def body(thread):
        await thread.wait_at(thread.barrier(2))

    stop = scene(body).run().stop
    assert stop.kind == "deadlock"
    assert "have not all arrived" in str(stop)
