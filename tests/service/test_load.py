"""200 clients with a session each, of whom 20 subscribe and do not read: nothing is lost, and memory is bounded."""

import pytest
import trio
import trio.testing

from benchmarks import service_chaos, service_load
from benchmarks.service_process import MIB, Caller, rank

LOAD = service_load.Load(seconds=12.0, soak=True, sample_s=2.0)
GENEROUS = 8
"""Times the target, at the median: the benchmark is for times, on a machine that does nothing else."""


def test_among_200_clients_nothing_is_lost_and_everybody_is_answered_soon(tmp_path):
    figures = service_load.run(LOAD, tmp_path)
    assert figures.lost == []
    assert figures.complaints == []
    assert figures.strangers.keys() == service_chaos.STRANGERS.keys()
    check_the_deaf(figures)
    for took in figures.latencies.values():
        assert rank(took, 50) < GENEROUS * service_load.CONTROL_P99_S
    assert rank(figures.pauses, 50) < GENEROUS * service_load.PAUSE_P99_S
    most = LOAD.clients + 50
    for sample in figures.samples:
        assert sample.connections < most
        assert sample.open_files < most + 50
        assert sample.tasks < 4 * most


def check_the_deaf(figures):
    """Who does not read costs bounded memory, and is told what he missed."""
    assert figures.untold == []
    assert figures.heard > 0
    assert figures.told <= figures.missed
    assert max(figures.peaks) < service_load.MEMORY_MAX


async def test_who_waits_for_an_answer_hears_that_nobody_reads_any_more():
    service, client = trio.socket.socketpair()
    caller = Caller(trio.SocketStream(client))
    with service:
        async with trio.open_nursery() as shielded, trio.open_nursery() as readers:
            readers.start_soon(caller.read)
            shielded.cancel_scope.shield = True

            async def ask():
                with pytest.raises(trio.BrokenResourceError):
                    await caller.ask("hello")

            shielded.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            readers.cancel_scope.cancel()


def samples(**growing):
    """A soak's samples in which some things grow from sample to sample."""
    start = {"tasks": 500, "open_files": 220, "resident_bytes": 100 * MIB, "connections": 200, "subscriptions": 20}
    start |= {"sessions": 200, "stored_bytes": 0, "events_simulated": 0, "worker": 100 * MIB, "restarts": 0}
    for number in range(60):
        now = {name: value + number * growing.get(name, 0) for name, value in start.items()}
        workers_bytes = (100 * MIB, now.pop("worker"))
        yield service_chaos.Sample(at_s=10.0 * number, workers_bytes=workers_bytes, **now)


@pytest.mark.parametrize(
    ("growing", "says"),
    [
        ({}, None),
        ({"tasks": 5}, "tasks grew"),
        ({"open_files": 2}, "open_files grew"),
        ({"resident_bytes": MIB}, "the memory of the service grew by 5"),
        ({"worker": MIB}, "the memory of worker 1 grew by 5"),
        ({"restarts": 1}, "workers were begun anew"),
    ],
)
def test_growth_is_found(growing, says):
    found = service_chaos.growth(list(samples(**growing)))
    assert found == [] if says is None else says in found[0]
