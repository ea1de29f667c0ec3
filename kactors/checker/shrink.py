"""A finding by the shortest way: fewest deliveries, then fewest changes from one CPU to another."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import count

from kactors.checker.slices import Slices, finish
from kactors.checker.space import Channel, Move, Space, State
from protocols.stop import AnyStop, Violation

MOVES_MAX = 400_000
"""How far shrinking looks; beyond it only what a schedule itself has to spare is taken out."""


def same_finding(one: AnyStop | None, other: AnyStop | None) -> bool:
    """Return whether two schedules end in the same finding: the same property, whatever the page."""
    if isinstance(one, Violation) and isinstance(other, Violation):
        return one.property == other.property
    return one is not None and other is not None and one.kind == other.kind


def shrink(space: Space, moves: Sequence[Move], stop: AnyStop) -> tuple[Move, ...]:
    """Return a schedule with the same finding that is as short as can be found."""
    return finish(shrinking(space, moves, stop))


def shrinking(space: Space, moves: Sequence[Move], stop: AnyStop) -> Slices[tuple[Move, ...]]:
    """Do as ``shrink`` does, in slices."""
    best = tuple(moves)
    shortest = yield from _distance(space, stop, len(best))
    calmest = None if shortest is None else (yield from _calmest(space, stop, shortest))
    return calmest or (yield from _without_the_needless(space, best, stop))


def successors(space: Space, state: State) -> list[tuple[Move, State]]:
    """Return all moves from a state, with where they lead."""
    moves = [(channel, way) for channel in state.channels for way in range(len(space.head_steps(state, channel)))]
    return [(move, space.move(state, move)[0]) for move in moves]


def _distance(space: Space, stop: AnyStop, length_max: int) -> Slices[int | None]:
    """Return the length of the shortest schedule to the finding; None when it was not found in time."""
    depths = {space.first.number: 0}
    queue = deque([space.first])
    made = 0
    while queue and made < MOVES_MAX:
        yield
        state = queue.popleft()
        depth = depths[state.number]
        if same_finding(space.verdict(state), stop):
            return depth
        if depth >= length_max:
            continue
        for _, after in successors(space, state):
            made += 1
            if after.number not in depths:
                depths[after.number] = depth + 1
                queue.append(after)
    return None


def _calmest(space: Space, stop: AnyStop, length: int) -> Slices[tuple[Move, ...] | None]:
    """Return a shortest schedule, of these the one that changes between CPUs least often."""
    tie = count()
    queue: list[tuple[int, int, int, State, int, tuple[Move, ...]]] = [(0, 0, next(tie), space.first, -1, ())]
    seen: set[tuple[int, int]] = set()
    while queue:
        yield
        steps, changes, _, state, last, path = heappop(queue)
        if (state.number, last) in seen:
            continue
        seen.add((state.number, last))
        if steps == length:
            if same_finding(space.verdict(state), stop):
                return path
            continue
        if len(seen) > MOVES_MAX:
            return None
        for move, after in successors(space, state):
            on = doer(space, state, move[0])
            entry = (steps + 1, changes + (on != last), next(tie), after, on, (*path, move))
            heappush(queue, entry)
    return None


def doer(space: Space, state: State, channel: Channel) -> int:
    """Return the client whose doing a move is: who takes its message, or said it if a server takes it."""
    receiver = space.automata.vocabulary.items[state.queues[channel][0]][0]
    return receiver if space.is_client(receiver) else channel[0]


def _without_the_needless(space: Space, moves: tuple[Move, ...], stop: AnyStop) -> Slices[tuple[Move, ...]]:
    """Drop move after move, from the end, as long as the rest still leads to the finding."""
    place = len(moves) - 1
    while place >= 0:
        yield
        shorter = follow(space, (*moves[:place], *moves[place + 1 :]), stop)
        moves = shorter if shorter is not None else moves
        place = min(place - 1, len(moves) - 1)
    return moves


def follow(space: Space, moves: Sequence[Move], stop: AnyStop) -> tuple[Move, ...] | None:
    """Return the part of the moves that leads to the finding, without those that cannot be made; None: it does not."""
    state, made = space.first, list[Move]()
    for channel, way in moves:
        if channel in state.channels and way < len(space.head_steps(state, channel)):
            state, _ = space.move(state, (channel, way))
            made.append((channel, way))
            if same_finding(space.verdict(state), stop):
                return tuple(made)
    return None
