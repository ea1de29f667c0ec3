"""The wait-for graph finds a cycle exactly when there is one."""

from hypothesis import given, strategies as st

from kactors.engine.waits import find_cycle
from protocols.stop import WaitEdge

NAMES = "abcdef"


def edge(waiter: str, holder: str) -> WaitEdge:
    return WaitEdge(waiter=waiter, resource=f"{waiter}{holder}", holder=holder, since=0, why="")


def has_cycle(pairs: set[tuple[str, str]]) -> bool:
    """Brute force: take away whoever waits for nobody until nothing changes."""
    waiting = {waiter for waiter, _ in pairs}
    while True:
        stuck = {waiter for waiter, holder in pairs if waiter in waiting and holder in waiting}
        if stuck == waiting:
            return bool(waiting)
        waiting = stuck


@given(st.sets(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=12))
def test_a_cycle_is_found_exactly_when_there_is_one(pairs):
    cycle = find_cycle([edge(*pair) for pair in sorted(pairs)])
    assert bool(cycle) == has_cycle(pairs)
    for one, following in zip(cycle, cycle[1:] + cycle[:1], strict=True):
        assert one.holder == following.waiter
        assert (one.waiter, one.holder) in pairs
    assert not cycle or cycle[0].waiter == min(each.waiter for each in cycle)


def test_the_cycle_is_told_in_the_direction_of_waiting():
    cycle = find_cycle([edge("cpu1", "cpu0"), edge("cpu0", "cpu1"), edge("cpu2", "cpu0")])
    assert [(each.waiter, each.holder) for each in cycle] == [("cpu0", "cpu1"), ("cpu1", "cpu0")]
