"""Pipes: bytes in, bytes out, a reader that sleeps until there are some, and the end."""

from protocols.pipe import ReadPipe
from protocols.tracepoints import SyscallDone
from tests.accounting import assert_settled
from tests.actors.scenes import Delivered, Heard, played, scene


def on_two_cpus(writer, reader):
    """Both have the same pipe; return the machine and how long each call took, by its name."""
    pipes = []
    heard = Heard(SyscallDone)

    async def set_up(thread):
        pipes.append(thread.pipe())

    def with_pipe(body):
        async def work(thread):
            await body(thread, pipes[0])

        return work

    machine, _ = played(with_pipe(writer), with_pipe(reader), set_up=set_up, observers=[heard])
    assert_settled(machine)
    return machine, {call.name: call.duration for call in heard.of(SyscallDone)}


def test_bytes_are_read_in_pieces_and_then_there_is_the_end():
    read = []

    async def writer(thread, pipe):
        await thread.write_pipe(pipe, 3)
        await thread.write_pipe(pipe, 2)
        await thread.close_pipe(pipe)

    async def reader(thread, pipe):
        await thread.compute(100_000)
        while count := await thread.read_pipe(pipe, 4):
            read.append(count)
        assert await thread.read_pipe(pipe) == 0, "the end stays"

    on_two_cpus(writer, reader)
    assert read == [4, 1]


def test_a_reader_sleeps_until_somebody_writes():
    async def writer(thread, pipe):
        await thread.compute(500_000)
        await thread.write_pipe(pipe)

    async def reader(thread, pipe):
        assert await thread.read_pipe(pipe) == 1

    machine, took_ns = on_two_cpus(writer, reader)
    assert took_ns["read"] > 500_000
    profile = machine.system.machine
    waking_ns = took_ns["write"] - profile.syscall_ns - profile.pipe_ns
    assert waking_ns >= profile.wake_ns + profile.ipi_exit_ns, "the writer pays"


def test_nobody_is_woken_where_nobody_waits():
    async def writer(thread, pipe):
        await thread.write_pipe(pipe)

    async def reader(thread, pipe):
        await thread.compute(500_000)
        await thread.read_pipe(pipe)

    machine, took_ns = on_two_cpus(writer, reader)
    profile = machine.system.machine
    assert took_ns["write"] < profile.syscall_ns + profile.pipe_ns + profile.wake_ns


def test_one_write_wakes_one_reader_and_the_end_wakes_all():
    read, pipes = [], []
    asked = Delivered(ReadPipe)

    async def set_up(thread):
        pipes.append(thread.pipe())

    async def reader(thread):
        read.append(await thread.read_pipe(pipes[0]))

    async def writer(thread):
        await thread.compute(500_000)
        await thread.write_pipe(pipes[0])
        await thread.compute(500_000)
        assert len(asked.all) == 3 + 1, "one of three asks again"
        await thread.close_pipe(pipes[0])

    machine, _ = played(writer, reader, reader, reader, set_up=set_up, observers=[asked], cpus=4)
    assert_settled(machine)
    assert sorted(read) == [0, 0, 1]


def test_an_empty_pipe_that_nobody_closes_is_a_deadlock_with_its_name():
    async def reader(thread):
        await thread.read_pipe(thread.pipe())

    machine = scene(reader)
    stop = machine.run().stop
    assert stop.kind == "deadlock"
    assert "have written nothing" in str(stop)
