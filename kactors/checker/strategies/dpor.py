"""Every trace by one schedule: source-DPOR with sleep sets (Abdulla, Aronis, Jonsson, Sagonas, POPL 2014).

A process of the paper is a channel here: its next event is the taking of its head. Messages are never withdrawn, so
nothing that can happen is ever disabled. Nothing is remembered but the path: memory does not grow, and the number of
schedules is that of the Mazurkiewicz traces, which ``exhaustive`` counts without running them.

A finding ends a schedule with messages under way, and these are never seen to race with what was done: from then on the
search may miss traces, and does not call itself complete.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from kactors.checker.dependence import Dependence
from kactors.checker.space import Channel, Move, Space, State
from kactors.checker.strategies.strategy import Budget, End, Strategy

AT_FIRST = -1
"""In place of an event: what was under way before the first one."""

Births = dict[Channel, tuple[int, ...]]
"""For each item under way the event that sent it."""


class Frame:
    """One state on the path, and what has been and will be tried from it.

    Attributes:
        state: where the path stands.
        births: who sent what is under way.
        backtrack: channels to try, in the order in which they were found necessary.
        sleep: channels not to try, since what they would bring was seen; each with the effects of its next move.
        channel: the one that is being tried.
        ways: moves of it that have not been tried yet.
        effects: those of its moves tried so far.
        effect: of the move that the path takes from here.
        before: the events that happen before that one, as bits.
    """

    __slots__ = ("backtrack", "before", "births", "channel", "effect", "effects", "sleep", "state", "ways")

    def __init__(self, state: State, births: Births, sleep: dict[Channel, tuple[int, ...]]) -> None:
        self.state = state
        self.births = births
        self.sleep = sleep
        self.backtrack: list[Channel] = []
        self.channel: Channel | None = None
        self.ways: list[int] = []
        self.effects: list[int] = []
        self.effect = 0
        self.before = 0


class SourceDpor(Strategy):
    """The search.

    Args:
        space: what can happen.
        budget: when to give up.
        dependence: what may change places.

    Attributes:
        blocked: schedules given up in the middle because a sleep set had seen everything that could follow.
    """

    name: ClassVar[str] = "dpor"

    def __init__(self, space: Space, budget: Budget, dependence: Dependence) -> None:
        super().__init__(space, budget)
        self._dependence = dependence
        self._frames: list[Frame] = []
        self._path: list[Move] = []
        self._broken_off = False
        self.blocked = 0

    @property
    def frontier(self) -> int:
        """How many states are on the path."""
        return len(self._frames)

    def slices(self) -> Iterator[End | None]:
        """Yield the end of one schedule of each trace, and None after every other move."""
        first = self.space.first
        self._push(first, {channel: (AT_FIRST,) * len(queue) for channel, queue in first.queues.items()}, {})
        while self._frames:
            frame = self._frames[-1]
            if not frame.ways and not self._turn_to_next(frame):
                self._frames.pop()
                continue
            end = self._go(frame)
            if end is None:
                yield None
                continue
            yield self.ended(end, self._path)
            self.traces = self.schedules
            if self.exhausted():
                return
        self.complete = self.cut == 0 and not self._broken_off

    def _turn_to_next(self, frame: Frame) -> bool:
        """Turn to the next channel that has to be tried from a state; False when there is none."""
        if frame.channel is not None:
            frame.sleep[frame.channel] = tuple(frame.effects)
        for channel in frame.backtrack:
            if channel not in frame.sleep:
                frame.channel = channel
                frame.ways = list(range(len(self.space.head_steps(frame.state, channel))))
                frame.effects = []
                return True
        return False

    def _go(self, frame: Frame) -> State | None:
        """Make the next move from the last state of the path; return where it leads when nothing can follow."""
        channel = frame.channel
        if channel is None:
            raise AssertionError("no channel to go on with")
        depth = len(self._frames) - 1
        move = (channel, frame.ways.pop(0))
        state, happening = self.space.move(frame.state, move)
        self.moves += 1
        self._path[depth:] = [move]
        frame.effect = self._dependence.effect(happening)
        frame.effects.append(frame.effect)
        self._order(depth, frame, channel)
        if not state.channels:
            self._broken_off = self._broken_off or bool(state.queues)
            return state
        if depth + 1 >= self.budget.steps:
            self.cut += 1
            return None
        births = follow(frame.births, frame.state, state, channel, depth)
        apart = self._dependence.apart
        asleep = {
            other: known for other, known in frame.sleep.items() if other != channel and apart(frame.effect, known)
        }
        self._push(state, births, asleep)
        return None

    def _push(self, state: State, births: Births, sleep: dict[Channel, tuple[int, ...]]) -> None:
        frame = Frame(state, births, sleep)
        awake = next((channel for channel in state.channels if channel not in sleep), None)
        if awake is None:
            self.blocked += 1
        else:
            frame.backtrack.append(awake)
        self._frames.append(frame)

    def _order(self, depth: int, frame: Frame, channel: Channel) -> None:
        """Find what happens before the new event; for each race, see to it that the other order is tried."""
        frames, dependent = self._frames, self._dependence.dependent
        before = 0
        sent_by = frame.births[channel][0]
        if sent_by != AT_FIRST:
            before = frames[sent_by].before | 1 << sent_by
        races: list[int] = []
        for place in range(depth - 1, -1, -1):
            if before >> place & 1:
                continue
            other = frames[place]
            if other.channel == channel:
                before |= other.before | 1 << place
            elif dependent(other.effect, frame.effect):
                before |= other.before | 1 << place
                races.append(place)
        frame.before = before
        for place in races:
            self._reverse(place, depth, channel)

    def _reverse(self, place: int, depth: int, channel: Channel) -> None:
        """See to it that from the state before the event at ``place`` the new event's order is tried first."""
        frames = self._frames
        apart = [other for other in range(place + 1, depth) if not frames[other].before >> place & 1]
        bits = sum(1 << other for other in apart)
        initials = [frames[other].channel for other in apart if not frames[other].before & bits]
        if not frames[depth].before & bits:
            initials.append(channel)
        tried = frames[place].backtrack
        if not any(initial in tried for initial in initials):
            chosen = initials[-1]
            if chosen is not None:
                tried.append(chosen)


def follow(births: Births, old: State, new: State, channel: Channel, event: int) -> Births:
    """Return who sent what is under way after ``event``, which took the head of ``channel``."""
    after: Births = {}
    for each, queue in new.queues.items():
        before, sent = old.queues.get(each, ()), births.get(each, ())
        if queue is before:
            after[each] = sent
            continue
        if each == channel:
            before, sent = before[1:], sent[1:]
        # Items leave at the head, or come at the tail or before the last one, never both at once.
        if len(queue) <= len(before):
            after[each] = sent[len(before) - len(queue) :]
            continue
        kept = 0
        while kept < len(before) and queue[kept] == before[kept]:
            kept += 1
        after[each] = (*sent[:kept], *(event,) * (len(queue) - len(before)), *sent[kept:])
    return after
