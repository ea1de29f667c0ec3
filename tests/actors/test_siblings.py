"""CPUs of one core slow each other, exactly as long as both run threads; all that one had computed ahead moves."""

import pytest
from hypothesis import given, settings, strategies as st

from kactors.kernel.accounting import Spent
from kactors.kernel.cpu_parts.interrupts import Interrupts
from protocols.scheduling import IDLES, RUNS_THREADS, SiblingBusy
from protocols.tracepoints import IpiServed
from tests.accounting import assert_settled
from tests.actors.scenes import PAGE, Delivered, Heard, Probe, played, scene, spent

US = 1_000


def timed(work_ns, took, steps=1):
    """Compute ``work_ns``; when that began and ended goes to ``took``."""

    async def work(thread):
        await thread.cpu.sync()
        began_ns = thread.cpu.clock_ns
        for _ in range(steps):
            await thread.compute(work_ns // steps)
        await thread.cpu.sync()
        took[thread.cpu.name] = (began_ns, thread.cpu.clock_ns)

    return work


def run(bodies, percent, **costs):
    told = Delivered(SiblingBusy)
    costs = {"cpus_per_core": 4, "smt_slowdown_percent": percent, **costs}
    machine, _ = played(*bodies, cpus=len(bodies), costs=costs, observers=[told])
    assert_settled(machine)
    return machine, told.all


def expected_end_ns(name, began_ns, work_ns, told, percent):
    """Go through what the CPU was told of its siblings, and compute at the rate of each stretch of time."""
    busy, now_ns, left = 0, 0, work_ns
    for at_ns, who, message in [*told, (1 << 62, name, None)]:
        if who != name:
            continue
        rate = 100 / (100 + busy * percent)
        computed = max(at_ns - max(now_ns, began_ns), 0) * rate
        if computed >= left:
            return max(now_ns, began_ns) + left / rate
        left -= computed
        now_ns = at_ns
        if message is not None:
            busy += 1 if message.busy else -1
    raise AssertionError("it never ends")


WORK_NS = st.one_of(st.integers(1, 30 * US), st.integers(1, 400 * US))


@settings(max_examples=80)
@given(
    work=st.lists(st.tuples(WORK_NS, st.integers(1, 12)), min_size=1, max_size=4),
    percent=st.sampled_from([1, 33, 60, 100]),
)
def test_each_computes_at_the_rate_that_its_siblings_leave_it(work, percent):
    took = {}
    _, told = run([timed(ns, took, steps) for ns, steps in work], percent)
    for number, (ns, steps) in enumerate(work):
        name = f"cpu{number}"
        began_ns, ended_ns = took[name]
        due_ns = expected_end_ns(name, began_ns, ns // steps * steps, told, percent)
        # Each step and each change of the rate is rounded to a ns, down.
        assert ended_ns == pytest.approx(due_ns, abs=steps + 10)


@pytest.mark.parametrize("busy_ns", [40 * US, 110 * US, 1_000 * US])
@pytest.mark.parametrize("after_ns", [20 * US, 130 * US, 190 * US])
def test_what_a_cpu_has_said_ahead_moves_with_what_it_computed_before(after_ns, busy_ns):
    """Its sibling begins and ends before, between and after two things that are said without waiting."""
    began_ns, pipes = [], []

    async def speaking(thread):
        await thread.cpu.sync()
        began_ns.append(thread.cpu.clock_ns)
        for word in (RUNS_THREADS, IDLES):
            thread.cpu.spend(100 * US)
            thread.cpu.say(listener, word)
        # What is on its way takes as long as ever, as an IPI does.
        thread.cpu.say_at(thread.cpu.clock_ns + 5 * US, listener, IDLES)
        await thread.cpu.sync()

    async def sibling(thread):
        await thread.read_pipe(pipes[0])
        await thread.compute(busy_ns)

    async def waking(thread):
        await thread.compute(after_ns)
        await thread.write_pipe(pipes[0])

    async def set_up(thread):
        pipes.append(thread.pipe())

    told = Delivered(SiblingBusy)
    costs = {"cpus_per_core": 2, "smt_slowdown_percent": 50}
    machine = scene(speaking, sibling, waking, set_up=set_up, cpus=4, costs=costs, observers=[told])
    listener = Probe(machine.system.engine, 9)
    machine.run()
    said_ns = [at_ns for at_ns, who, _ in told.all if who == listener.name]
    due_ns = [expected_end_ns("cpu0", began_ns[0], ns, told.all, 50) for ns in (100 * US, 200 * US)]
    assert said_ns == pytest.approx([*due_ns, due_ns[-1] + 5 * US], abs=3)
    assert {message for _, who, message in told.all if who == "cpu0"} == {RUNS_THREADS, IDLES}


def test_two_that_are_busy_all_the_time_take_half_as_long_again():
    took = {}
    run([timed(300 * US, took)] * 2, 50)
    (one_began, one_ended), (other_began, other_ended) = took.values()
    overlap_ns = min(one_ended, other_ended) - max(one_began, other_began)
    assert overlap_ns == pytest.approx(450 * US, rel=0.02)


def test_who_computes_on_another_core_is_not_disturbed():
    took = {}
    _, told = run([timed(300 * US, took)] * 2, 50, cpus_per_core=1)
    assert told == []
    assert {ended - began for began, ended in took.values()} == {300 * US}


def test_a_preempted_thread_goes_on_with_what_is_left_of_its_own_work():
    took = {}
    bodies = [timed(300 * US, took), timed(2_000 * US, {}), timed(300 * US, {})]
    costs = {"cpus_per_core": 2, "smt_slowdown_percent": 50, "slice_ns": 100 * US, "switch_ns": 0}
    machine, _ = played(*bodies, cpus=2, costs=costs)
    began_ns, ended_ns = took["cpu0"]
    # Two threads of 300 us take turns on a CPU whose sibling is busy all the time.
    assert ended_ns - began_ns == pytest.approx(2 * 450 * US, abs=160 * US)
    assert_settled(machine)


def test_a_handler_takes_longer_too_on_a_core_that_is_shared():
    async def dropping(thread):
        start = await thread.mmap(PAGE)
        await thread.compute(50 * US)
        await thread.touch(start)
        await thread.madvise_dontneed(start, PAGE)

    def handled(percent):
        served = Heard(IpiServed)
        costs = {"cpus_per_core": 2, "smt_slowdown_percent": percent, "ipi_handler_ns": 900, "tlb_flush_page_ns": 100}
        machine, _ = played(dropping, timed(300 * US, {}), cpus=2, costs=costs, observers=[served])
        assert_settled(machine)
        took_ns = [serving.duration for serving in served.of(IpiServed)]
        assert spent(machine, 1, Spent.IPI_SERVICE) == sum(took_ns)
        return took_ns

    assert handled(0) == [1000]
    assert handled(50) == [1500]


def test_a_span_with_interrupts_off_is_stretched_with_what_is_computed_in_it():
    interrupts = Interrupts()
    interrupts.disable(100, "one")
    interrupts.enable(200, 50)
    interrupts.disable(300, "two")
    interrupts.stretch(150, (3, 2))
    assert interrupts.serve_at(170) == (225, "irqs off in one since 100 ns")
    assert interrupts.serve_at(374) == (374, "")
    assert interrupts.serve_at(375) is None
