"""A contended line is a queue, and each transfer costs what its distance costs."""

import pytest
from hypothesis import given, strategies as st

from kactors.kernel.cache_line import CacheLine
from kactors.machines import load_machine

COSTS = {
    "cpus_per_core": 2,
    "cores_per_cache": 2,
    "caches_per_socket": 2,
    "atomic_ns": 3,
    "line_core_ns": 10,
    "line_cache_ns": 100,
    "line_socket_ns": 1_000,
    "line_remote_ns": 10_000,
}
MACHINE = load_machine("small", cpus=16, costs=COSTS)
SIBLING, SAME_CACHE, SAME_SOCKET, OTHER_SOCKET = 1, 2, 4, 8


def line_owned_by_cpu_0():
    line = CacheLine(MACHINE)
    line.write(0, 0)
    return line


@pytest.mark.parametrize(
    ("cpu", "transfer_ns"), [(SIBLING, 10), (SAME_CACHE, 100), (SAME_SOCKET, 1_000), (OTHER_SOCKET, 10_000)]
)
def test_a_transfer_costs_its_distance(cpu, transfer_ns):
    assert line_owned_by_cpu_0().write(50_000, cpu) == 50_000 + transfer_ns + 3
    assert line_owned_by_cpu_0().read(50_000, cpu) == 50_000 + transfer_ns


def test_the_first_user_fetches_it_from_memory():
    assert CacheLine(MACHINE).write(0, 5) == MACHINE.line_socket_ns + 3
    assert CacheLine(MACHINE).read(0, 5) == MACHINE.line_socket_ns


def test_its_owner_pays_for_the_atomic_operation_only():
    assert line_owned_by_cpu_0().write(50_000, 0) == 50_003


def test_whoever_has_a_copy_reads_at_once():
    line = line_owned_by_cpu_0()
    line.read(50_000, OTHER_SOCKET)
    assert line.read(70_000, OTHER_SOCKET) == 70_001
    assert line.read(70_000, 0) == 70_001


def test_a_write_takes_the_others_copies_away():
    line = line_owned_by_cpu_0()
    line.read(50_000, SAME_CACHE)
    line.write(60_000, 0)
    assert line.read(70_000, SAME_CACHE) == 70_100


@pytest.mark.parametrize(("sharers", "furthest_ns"), [([SIBLING], 10), ([SIBLING, OTHER_SOCKET, SAME_CACHE], 10_000)])
def test_an_owner_waits_until_the_furthest_copy_is_gone(sharers, furthest_ns):
    line = line_owned_by_cpu_0()
    for cpu in sharers:
        line.read(50_000, cpu)
    assert line.write(80_000, 0) == 80_000 + furthest_ns + 3


def test_simultaneous_writers_queue():
    line = line_owned_by_cpu_0()
    assert [line.write(50_000, cpu) for cpu in (2, 0, 2)] == [50_103, 50_206, 50_309]


def test_holding_it_keeps_the_next_one_waiting():
    line = line_owned_by_cpu_0()
    assert line.write(50_000, 0, hold_ns=500) == 50_503
    assert line.write(50_000, SAME_CACHE) == 50_606


def test_a_reader_waits_for_the_writer_before_it_but_holds_nobody_up():
    line = line_owned_by_cpu_0()
    line.write(50_000, 0, hold_ns=500)
    assert line.read(50_000, SAME_CACHE) == 50_603
    assert line.write(50_000, 0) == 50_503 + 100 + 3


def test_an_uncontended_lock_and_unlock_fetch_the_line_once():
    assert line_owned_by_cpu_0().write_twice(50_000, SAME_CACHE, between_ns=40) == 50_000 + 100 + 3 + 3 + 40


def test_a_contended_lock_fetches_the_line_again_for_the_unlock():
    line = line_owned_by_cpu_0()
    line.write(50_000, 0, hold_ns=500)
    assert line.write_twice(50_100, SAME_CACHE, between_ns=40) == 50_503 + (100 + 3) + (100 + 3) + 40


def test_the_work_between_lock_and_unlock_holds_nobody_up():
    line = line_owned_by_cpu_0()
    line.write_twice(50_000, 0, between_ns=9_000)
    assert line.write(50_000, 0) == 50_006 + 3


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 15), st.integers(0, 300)), max_size=30))
def test_time_never_runs_backwards_and_writers_never_overlap(operations):
    line, now_ns, free_ns = CacheLine(MACHINE), 0, 0
    for write, cpu, gap_ns in operations:
        now_ns += gap_ns
        if write:
            done_ns = line.write(now_ns, cpu)
            assert done_ns >= max(now_ns, free_ns) + MACHINE.atomic_ns
            free_ns = done_ns
        else:
            assert line.read(now_ns, cpu) > now_ns
