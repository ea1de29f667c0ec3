"""A pipe by itself: who sleeps and who is woken, in which order and when, and who pays."""

import pytest

from kactors.engine.waits import Holder
from kactors.pipe import Pipe
from protocols.pipe import CLOSE_PIPE, PipeRead, PipeWritten, ReadPipe, WritePipe
from protocols.scheduling import MUST_SLEEP, RETRY
from tests.actors.scenes import Alone

COSTS = {"wake_ns": 1_000, "ipi_exit_ns": 300, "pipe_ns": 150}
READ, WRITE = ReadPipe(count=1), WritePipe(count=1)


@pytest.fixture
def pipe():
    return Alone(Pipe, **COSTS)


def woken_after(pipe, message, sleepers, *, cpu=0, tag=7):
    """Say it; return when each (CPU, tag) was woken, in ns after the section under the pipe's mutex."""
    before = {number: len(probe.heard) for number, probe in enumerate(pipe.cpus)}
    (written,) = [each for each in pipe.say(message, cpu=cpu, tag=tag) if each != RETRY]
    done_ns = next(at_ns for at_ns, _, said in pipe.cpus[cpu].heard[before[cpu] :] if said == written)
    woken = {
        (number, its_tag): at_ns - done_ns
        for number, probe in enumerate(pipe.cpus)
        for at_ns, its_tag, said in probe.heard[before[number] :]
        if said == RETRY
    }
    assert woken.keys() == set(sleepers)
    return written, [woken[sleeper] for sleeper in sleepers]


def test_a_write_wakes_the_one_that_has_slept_longest(pipe):
    for cpu in (2, 1):
        assert pipe.say(READ, cpu=cpu) == [MUST_SLEEP]
    assert woken_after(pipe, WRITE, [(2, 9)]) == (PipeWritten(woken=1, ipis=1), [1_300])
    assert woken_after(pipe, WRITE, [(1, 8)]) == (PipeWritten(woken=1, ipis=1), [1_300])
    assert woken_after(pipe, WRITE, []) == (PipeWritten(woken=0, ipis=0), [])


def test_a_reader_on_the_writers_own_cpu_costs_no_ipi(pipe):
    pipe.say(READ, cpu=0, tag=3)
    assert woken_after(pipe, WRITE, [(0, 3)]) == (PipeWritten(woken=1, ipis=0), [1_000])


def test_the_end_wakes_all_one_after_the_other_and_stays(pipe):
    pipe.say(READ, cpu=1)
    pipe.say(READ, cpu=0, tag=3)
    pipe.say(READ, cpu=2)
    closed, after_ns = woken_after(pipe, CLOSE_PIPE, [(1, 8), (0, 3), (2, 9)])
    assert (closed, after_ns) == (PipeWritten(woken=3, ipis=2), [1_300, 2_300, 3_600])
    assert pipe.say(READ, READ, cpu=1) == [PipeRead(count=0)] * 2


def test_its_cache_line_travels_between_cpus_that_use_it(pipe):
    section_ns = pipe.machine.atomic_ns + 150
    pipe.say(WRITE)
    assert pipe.took(WRITE) == section_ns
    assert pipe.took(READ, cpu=1) == section_ns + 50
    assert pipe.took(READ, cpu=1) == section_ns


def test_bytes_come_out_as_they_were_put_in(pipe):
    pipe.say(WritePipe(count=5), WritePipe(count=2))
    assert pipe.say(ReadPipe(count=4), ReadPipe(count=4), READ) == [PipeRead(count=4), PipeRead(count=3), MUST_SLEEP]


def test_who_waits_waits_for_the_writers(pipe):
    pipe.say(READ, cpu=1)
    slept_ns = pipe.cpus[1].heard[-1][0]
    held = Holder(pipe.actor.name, ("its writers",), slept_ns, "have written nothing")
    assert pipe.actor.holder(pipe.cpus[1], 8) == held
    assert pipe.actor.holder(pipe.cpus[1], 9) is None
    assert pipe.actor.holder(pipe.cpus[0], 8) is None
