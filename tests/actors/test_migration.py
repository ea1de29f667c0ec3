"""Threads that move: where a thread that is woken runs, who takes a thread that waits, who need not sleep at all."""

import pytest

from kactors.engine.choices import FirstChoice
from kactors.engine.engine import Engine
from kactors.engine.inline_runtime import run_inline
from kactors.kernel.accounting import Spent
from kactors.machines import load_machine
from kactors.sched_domain import SchedDomain
from kactors.workloads.will_it_scale import PageFault1
from protocols.host import StealCpu
from protocols.rcu import VmaCallbacks
from protocols.scheduling import (
    TASK_RUNS,
    TASK_SLEEPS,
    KeepsTask,
    MoveTask,
    NohzKick,
    PushTask,
    SchedSwitch,
    SelectTaskRq,
    TaskEnds,
    TaskMoves,
    TaskRq,
    TtwuQueue,
)
from protocols.tracepoints import IpiServed, MmapSemWait, RecordDone
from tests.accounting import assert_settled
from tests.actors.scenes import PAGE, Delivered, Heard, Probe, ends, played, scene, spent, wait_until

MS = 1_000_000
MOVES = {"wake_placement": "idle", "tick_ns": MS, "slice_ns": 10 * MS, "switch_ns": 1_000, "idle_exit_ns": 2_000}


def computing(ns, begins_ns=0):
    async def work(thread):
        await wait_until(thread, begins_ns)
        await thread.compute(ns)
        await thread.cpu.sync()
        thread.record_done()

    return work


# --- the domain alone -------------------------------------------------------------------------------------------------


class Domain:
    """A sched domain, and a bare client for each of its CPUs: four of them, two to a cache."""

    def __init__(self, **running):
        self.engine = Engine(FirstChoice())
        machine = load_machine("small", cpus=4, costs={"cores_per_cache": 2})
        self.cpus = tuple(Probe(self.engine, number) for number in range(4))
        self.domain = SchedDomain(self.engine, machine, self.cpus)
        for cpu, threads in running.items():
            for tag in threads:
                self.say(TASK_RUNS, int(cpu[-1]), tag)

    def say(self, message, cpu, tag=0):
        before = {probe: len(probe.heard) for probe in self.cpus}
        self.cpus[cpu].say(self.engine.now_ns, self.domain, message, tag)
        self.engine.stop = None
        run_inline(self.engine)
        return [(probe.cpu_id, told) for probe in self.cpus for told in probe.answers()[before[probe] :]]

    def wake(self, thread, waker):
        ((cpu, told),) = self.say(SelectTaskRq(thread=thread), waker, 99)
        assert cpu == waker
        return told

    def asleep(self, thread, cpu):
        self.say(TASK_SLEEPS, cpu, thread)


def test_a_thread_goes_back_to_its_cpu_if_that_is_idle():
    domain = Domain(cpu0=[1], cpu1=[2])
    domain.asleep(1, 0)
    assert domain.wake(1, waker=1) == TaskRq(cpu=0, idle=True, counted=True)


def test_else_to_an_idle_cpu_that_shares_its_cache():
    domain = Domain(cpu0=[1, 2], cpu3=[3])
    domain.asleep(1, 0)
    assert domain.wake(1, waker=3) == TaskRq(cpu=1, idle=True, counted=True)


def test_else_it_waits_on_its_own_cpu_though_another_cache_has_an_idle_one():
    domain = Domain(cpu0=[1, 2], cpu1=[3], cpu2=[4])
    domain.asleep(1, 0)
    assert domain.wake(1, waker=2) == TaskRq(cpu=0, idle=False, counted=True)


def test_unless_the_wakers_has_less_to_do():
    domain = Domain(cpu0=[1, 2, 3], cpu1=[4, 5], cpu2=[6])
    domain.asleep(1, 0)
    assert domain.wake(1, waker=2) == TaskRq(cpu=3, idle=True, counted=True)
    domain = Domain(cpu0=[1, 2, 3], cpu1=[4, 5], cpu2=[6], cpu3=[7])
    domain.asleep(1, 0)
    assert domain.wake(1, waker=2) == TaskRq(cpu=2, idle=False, counted=True)


def test_two_who_are_woken_at_once_do_not_get_the_same_cpu():
    domain = Domain(cpu0=[1, 2, 3])
    domain.asleep(1, 0)
    domain.asleep(2, 0)
    assert [domain.wake(tag, waker=0).cpu for tag in (1, 2)] == [1, 0]


def test_who_has_not_fallen_asleep_stays_and_is_not_counted_twice():
    domain = Domain(cpu0=[1])
    assert domain.wake(1, waker=1) == TaskRq(cpu=0, idle=False, counted=False)
    domain.asleep(1, 0)
    assert domain.wake(1, waker=1).idle


def test_a_cpu_with_one_thread_too_many_hands_it_to_an_idle_one_a_near_one_first():
    domain = Domain(cpu0=[1, 2, 3], cpu2=[4])
    assert domain.say(NohzKick(), 0) == [(0, PushTask(cpu=1))]
    assert domain.say(NohzKick(), 0) == [(0, PushTask(cpu=3))]
    assert domain.say(NohzKick(), 0) == []


def test_what_could_not_be_handed_on_is_counted_where_it_is():
    domain = Domain(cpu0=[1, 2], cpu2=[3], cpu3=[4])
    domain.say(NohzKick(), 0)
    domain.say(KeepsTask(cpu=1), 0)
    assert domain.say(NohzKick(), 0) == [(0, PushTask(cpu=1))]


def test_who_was_handed_on_is_woken_where_he_went():
    domain = Domain(cpu0=[1, 2])
    domain.say(NohzKick(), 0)
    domain.say(TaskMoves(cpu=1), 0, 2)
    assert domain.wake(2, waker=0) == TaskRq(cpu=1, idle=False, counted=False), "it has not slept there yet"
    domain.asleep(2, 1)
    assert domain.wake(2, waker=0).cpu == 1


def test_where_a_thread_has_ended_is_room():
    domain = Domain(cpu0=[1, 2], cpu1=[3])
    domain.asleep(1, 0)
    domain.say(TaskEnds(), 1, 3)
    assert domain.wake(1, waker=0).cpu == 1


# --- on a machine -----------------------------------------------------------------------------------------------------


async def maps_for_long(thread):
    await thread.mmap(PAGE)
    thread.record_done()


def waits_behind_it(after_ns):
    async def work(thread):
        await thread.compute(after_ns)
        await thread.mmap(PAGE)
        await thread.compute(100_000)
        await thread.cpu.sync()
        thread.record_done()

    return work


def contended(**costs):
    """Four threads on three CPUs: one maps for 5 ms, one behind it sleeps; at its CPU another computes for long."""
    heard, waits = Heard(RecordDone), Heard(MmapSemWait)
    bodies = (maps_for_long, waits_behind_it(20_000), computing(1), computing(1), computing(20 * MS, 100_000))
    costs = MOVES | {"map_ns": 5 * MS, "rwsem_spins": 0, "tick_ns": 100 * MS} | costs
    machine, _ = played(*bodies, cpus=3, costs=costs, observers=[heard, waits])
    assert_settled(machine)
    assert any(wait.slept for wait in waits.of(MmapSemWait))
    return machine, ends(heard)


def test_a_sleeper_is_woken_on_an_idle_cpu_where_its_own_has_become_busy():
    _, stays = contended(wake_placement="home")
    machine, moves = contended()
    assert moves[2] < 12 * MS < stays[2]
    system = machine.system
    homes = {user.number: system.home(user.number) for user in system.users}
    threads = {thread.number: thread for thread in system.cpus[0].directory.threads.values()}
    assert any(threads[number].cpu is not home for number, home in homes.items())
    for user in system.users:
        assert user.cpu.cpu_id == threads[user.number].cpu.cpu_id, "its own code knows where it is"


def test_threads_that_are_bound_stay():
    assert PageFault1.pinned
    machine, _ = contended(wake_placement="home")
    assert machine.system.cpus[0].directory.sched_domain is None


def test_at_the_tick_an_idle_cpu_takes_a_thread_that_waits():
    heard, moved = Heard(RecordDone), Delivered(MoveTask)
    bodies = (computing(9 * MS), computing(1), computing(9 * MS))
    machine = scene(*bodies, cpus=2, costs=MOVES, observers=[heard, moved])
    machine.system.cpus[1]._avg_idle_ns = 0  # so that it does not look as soon as it has nothing to do
    machine.run()
    assert [(at_ns, to) for at_ns, to, _ in moved.all] == [(MS, "cpu1")]
    assert ends(heard)[3] == pytest.approx(10 * MS, abs=20_000)
    assert_settled(machine)


def test_a_cpu_that_has_nothing_to_do_any_more_looks_at_once_if_it_is_idle_for_long_as_a_rule():
    moved = Delivered(MoveTask)
    bodies = (computing(9 * MS), computing(200_000), computing(9 * MS))
    machine, _ = played(*bodies, cpus=2, costs=MOVES | {"migration_cost_ns": 50_000}, observers=[moved])
    ((at_ns, _, _),) = moved.all
    assert 200_000 < at_ns < 300_000
    assert_settled(machine)


def test_a_thread_on_another_cpu_knows_its_process_and_pays_for_its_tlb():
    """mm_users, on which speculation depends, goes with it; the CPU joins the mm."""
    seen = []

    async def no_more(thread):
        await thread.compute(9 * MS)

    async def looks(thread):
        await thread.compute(3 * MS)
        await thread.cpu.sync()
        seen.append((thread.cpu.cpu_id, thread.cpu.mm_users))
        assert await thread.touch(await thread.mmap(PAGE))

    machine = scene(no_more, no_more, cpus=3, policy="spf-v9", costs=MOVES)
    for _ in range(2):
        machine.system.run_thread(machine.system.cpus[0], looks)
    machine.run()
    # On CPU 2 no thread has begun: what it knows of the process has come with one that moved.
    assert [mm_users > 1 for cpu, mm_users in seen if cpu == 2] == [True]
    assert_settled(machine)


def going_to_sleep(**options):
    """A writer finds mmap_sem owned, joins the queue and is woken while its CPU still switches to the idle task."""
    switches, woken, waits = Heard(SchedSwitch), Delivered(TtwuQueue), Heard(MmapSemWait)
    costs = MOVES | {"map_ns": 50_000, "rwsem_spins": 0, "switch_ns": 200_000, "tick_ns": 100 * MS}
    bodies = (maps_for_long, waits_behind_it(230_000))
    machine = scene(*bodies, cpus=2, costs=costs, observers=[switches, woken, waits], **options)
    return machine, switches, woken, waits


def test_who_is_woken_on_his_way_to_sleep_does_not_go():
    """ttwu_runnable: the switch to the idle task is not finished; nothing more of it is paid for, and the CPU stays."""
    machine, switches, woken, waits = going_to_sleep()
    machine.run()
    assert_settled(machine)
    (wait,) = (wait for _, who, wait in waits.all if who == "cpu1")
    ((at_ns, to, queued),) = woken.all
    assert wait.slept
    assert (to, queued.counted) == ("cpu1", False)
    assert [ns for ns, who, _ in switches.all if who == "cpu1" and ns < at_ns] == [
        ns for ns, who, _ in switches.all if who == "cpu1"
    ][:1]
    broken_off_ns = spent(machine, 1, Spent.SWITCH) - 2 * 200_000  # its first switch, and the one after its end
    assert 0 < broken_off_ns < 50_000
    later = [told.thread for ns, who, told in switches.all if who == "cpu1" and ns >= at_ns]
    assert later == [3], "it goes on where it was"


@pytest.mark.parametrize("disturbance", ["a theft", "callbacks", "callbacks before"])
def test_unless_its_cpu_has_something_else_to_do_on_the_way(disturbance):
    machine, switches, woken, _ = going_to_sleep()
    cpu, engine = machine.system.cpus[1], machine.system.engine
    message = (
        StealCpu(duration=1_000) if disturbance == "a theft" else VmaCallbacks(vma_ids=(), scan=5_000, kworker=True)
    )
    sender = machine.system.outside() if disturbance == "a theft" else machine.system.mm
    engine.post(600_000 if disturbance == "callbacks before" else 640_000, cpu, sender, message)
    machine.run()
    assert_settled(machine)
    assert len(woken.all) == 1
    _, again_ns = (ns for ns, who, _ in switches.all if who == "cpu1")
    assert again_ns > 634_000 + 2 * 200_000, "it has slept: its CPU has switched to the idle task and back"


def test_a_vcpu_that_runs_is_stopped_before_it_takes_an_interrupt():
    """An idle one is not: it is entered anew anyway."""
    served, stops = {}, (0, 12_000)
    for stop_ns in stops:
        heard = Heard(IpiServed)
        costs = MOVES | {"ipi_stop_ns": stop_ns, "wake_placement": "home"}

        async def flushes(thread):
            start = await thread.mmap(PAGE)
            await thread.touch(start)
            await wait_until(thread, 100_000)
            await thread.munmap(start, PAGE)

        machine, _ = played(flushes, computing(300_000), cpus=2, costs=costs, observers=[heard])
        ((at_ns, _, told),) = heard.all
        served[stop_ns] = at_ns, told.delayed, spent(machine, 1, Spent.IPI_SERVICE)
        assert_settled(machine)
    (soon, _, short), (late, delayed, long) = (served[stop_ns] for stop_ns in stops)
    assert late - soon == delayed == long - short == 12_000
