"""A socket's CPUs share its memory bandwidth: nothing goes through faster, and no socket waits for another."""

from hypothesis import given, strategies as st

from kactors.kernel.memory_channels import MemoryChannels
from kactors.machines import load_machine

REQUESTS = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 1), st.integers(1, 10_000)), min_size=1, max_size=30)


def channels(gbs):
    return MemoryChannels(load_machine("small", costs={"memory_bandwidth_gbs": gbs}))


def test_one_after_the_other_each_waits_for_those_before_it():
    memory = channels(10)
    assert [memory.take(100, 0, 4000) for _ in range(3)] == [400, 800, 1200]
    assert memory.take(100, 1, 4000) == 400
    assert memory.take(700, 0, 4000) == 1000
    assert memory.take(5000, 0, 4000) == 400


@given(requests=REQUESTS, gbs=st.integers(1, 300))
def test_no_socket_moves_more_than_its_bandwidth(requests, gbs):
    memory, now_ns, done, sizes, began = channels(gbs), 0, {}, {}, {}
    for later_ns, socket, size in requests:
        now_ns += later_ns
        done_ns = now_ns + memory.take(now_ns, socket, size)
        assert done_ns >= done.get(socket, 0)
        if now_ns >= done.get(socket, 0):  # idle till now: a busy period begins
            began[socket], sizes[socket] = now_ns, 0
        sizes[socket] += size
        done[socket] = done_ns
        exact_ns = sizes[socket] / gbs
        assert exact_ns <= done_ns - began[socket] < exact_ns + len(requests)
