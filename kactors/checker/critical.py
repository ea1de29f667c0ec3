"""The critical transition: the first move after which every continuation fails."""

from __future__ import annotations

from collections.abc import Sequence

from kactors.checker.shrink import successors
from kactors.checker.slices import Slices, finish
from kactors.checker.space import Move, Space, State
from protocols.stop import Quiescent

MOVES_MAX = 300_000


class TooFar(Exception):
    """More lies behind a state than there is time to look at."""


def critical_move(space: Space, moves: Sequence[Move]) -> int | None:
    """Return the number, from 0, of the move after which no end is clean any more; None when that takes too long."""
    return finish(seek_critical_move(space, moves))


def seek_critical_move(space: Space, moves: Sequence[Move]) -> Slices[int | None]:
    """Do as ``critical_move`` does, in slices.

    Whatever can be reached from a state can be reached from those before it, so the move is found by halving.
    """
    states = [space.first]
    for move in moves:
        states.append(space.move(states[-1], move)[0])
    hopeless: set[int] = set()
    low, high = 0, len(moves)
    try:
        while low < high:
            middle = (low + high) // 2
            if (yield from _can_end_well(space, states[middle], hopeless)):
                low = middle + 1
            else:
                high = middle
    except TooFar:
        return None
    return low - 1 if low else None


def _can_end_well(space: Space, state: State, hopeless: set[int]) -> Slices[bool]:
    """Return whether some continuation comes to rest without a finding; remember states from which none does."""
    stack, seen = [state], {state.number}
    made = 0
    while stack:
        yield
        here = stack.pop()
        if isinstance(space.verdict(here), Quiescent):
            return True
        for _, after in successors(space, here):
            made += 1
            if after.number not in seen and after.number not in hopeless:
                seen.add(after.number)
                stack.append(after)
        if made > MOVES_MAX:
            raise TooFar
    hopeless |= seen
    return False
