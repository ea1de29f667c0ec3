"""The space of a search: where the machine can stand, and what can happen next.

At each step any message under way may be the next that its receiver takes, with this order kept: what one client says
to the servers (mm, ptl, allocator) arrives in the order in which it says it, whoever it says it to, because these are a
CPU's stores and loads and the model is sequentially consistent. What it puts off it does after them. IPIs, acks and
answers are first in, first out for each sender and receiver, and may otherwise take as long as they like. What one
server says to another is part of the step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kactors.checker.automata import Automata, Step
from kactors.checker.frozen import is_ours
from kactors.checker.origin import Origin
from kactors.checker.slices import Slices
from kactors.checker.watching import Watch
from protocols.scheduling import Dispatch, StartThread
from protocols.stop import AnyStop, Deadlock, Quiescent
from protocols.tlb import JoinMm, MmJoined

STORES = -1
"""In place of a receiver: the queue of what a client says to servers."""

CLIENT_ROLES = frozenset({"cpu", "khugepaged"})

STARTING = (StartThread, Dispatch, JoinMm, MmJoined)
"""What a thread's start is made of."""

Channel = tuple[int, int]
"""(sender, receiver), or (client, STORES)."""

Move = tuple[Channel, int]
"""One thing that can happen: the head of this channel is taken, and the model's decisions fall this way."""


class State:
    """Where everybody stands and what is under way.

    Attributes:
        nodes: the state of each actor, by its number.
        queues: items under way, by channel; no empty ones.
        watched: the state of the observers.
        stop: a finding: nothing can follow.
        channels: those whose head can be taken, in a fixed order; none after a finding.
        number: two states from which the same can happen have the same.
        known: what has been found out of the moves from here.
    """

    __slots__ = ("channels", "known", "nodes", "number", "queues", "stop", "watched")

    def __init__(
        self, nodes: tuple[int, ...], queues: dict[Channel, tuple[int, ...]], watched: int, stop: AnyStop | None
    ) -> None:
        self.nodes = nodes
        self.queues = queues
        self.watched = watched
        self.stop = stop
        self.channels = [] if stop is not None else sorted(queues)
        self.number = -1
        self.known: dict[Move, tuple[State, Happening]] = {}

    def key(self) -> tuple[Any, ...]:
        """Return what is equal for two states from which the same can happen."""
        return self.nodes, self.watched, frozenset(self.queues.items()), self.stop


@dataclass(frozen=True, slots=True)
class Happening:
    """What a move does, for those who judge whether two moves may change places.

    Attributes:
        channel: where its message came from.
        took: (actor, item) of each message that was taken in it.
        told: what was told in it.
        speaks: a client has said something to a server: an interrupt's handler puts that before what its thread asks.
    """

    channel: Channel
    took: tuple[tuple[int, int], ...]
    told: tuple[int, ...]
    speaks: bool = False


class Space:
    """All that can happen to a machine from its origin on.

    Args:
        origin: the machine, and who watches it.

    Attributes:
        automata: its actors.
        watch: its observers.
        policy: whose faults it searches.
        alike: clients that can take each other's places, by number.
        start: where the set-up leaves the machine.
        prologue: the moves from there that start the workers.
        first: where it begins: every worker is about to do its first step.
    """

    def __init__(self, origin: Origin) -> None:
        self.automata = Automata(origin)
        self.watch = Watch(origin.observers, self.automata.vocabulary)
        self._is_client = [actor.role in CLIENT_ROLES for actor in origin.bench.actors]
        queues: dict[Channel, tuple[int, ...]] = {}
        for receiver, sender, tag, message in origin.pending:
            item = self.automata.vocabulary.item(receiver.id, tag, message)
            self._queue(queues, sender.id, item)
        self._launch(queues)
        self._states: dict[Any, State] = {}
        self.prologue: list[Move] = []
        self.policy = origin.system.policy
        self._origin = origin
        workers = [user for user in origin.system.users if user.number]
        self._threads = {user.cpu.id: user.number for user in workers}
        # A user's own property may tell CPUs apart.
        alike = origin.system.workload.interchangeable and all(is_ours(type(each)) for each in origin.observers)
        self.alike = tuple(sorted(self._threads)) if alike else ()
        self.start = self._same(State(self.automata.first, queues, self.watch.first, None))
        self.first = self._to_the_barrier(self.start)

    def is_client(self, actor: int) -> bool:
        """Return whether the actor runs threads of its own: page tables are made during a run and are servers."""
        return actor < len(self._is_client) and self._is_client[actor]

    def _to_the_barrier(self, state: State) -> State:
        """Start every worker, in one order: a search begins when all are about to do their first step."""
        while True:
            head = next((channel for channel in state.channels if self._starts(state.queues[channel][0])), None)
            if head is None:
                return state
            self.prologue.append((head, 0))
            state, _ = self.move(state, (head, 0))

    def _starts(self, item: int) -> bool:
        return isinstance(self.automata.vocabulary.items[item][2], STARTING)

    def head_steps(self, state: State, channel: Channel) -> tuple[Step, ...]:
        """Return the ways in which the head of a channel can be taken."""
        item = state.queues[channel][0]
        receiver = self.automata.vocabulary.items[item][0]
        return self.automata.steps(state.nodes[receiver], channel[0], item)

    def move(self, state: State, move: Move) -> tuple[State, Happening]:
        """Return where a move leads, and what it does."""
        known = state.known.get(move)
        if known is None:
            after, happening = self._move(state, move)
            known = state.known[move] = (self._same(after), happening)
        return known

    @property
    def states(self) -> int:
        """How many different states have been seen."""
        return len(self._states)

    def verdict(self, state: State) -> AnyStop | None:
        """Return why nothing follows this state; a Deadlock without its graph; None where something follows."""
        if state.stop is not None:
            return state.stop
        if state.queues:
            return None
        if any(self.automata.nodes[node].waits for node in state.nodes):
            return Deadlock(cycle=(), waits=())
        return self.watch.judge(state.watched) or Quiescent()

    def cpu_of(self, client: int) -> int:
        """Return the number of a client's CPU, -1 for khugepaged."""
        cpu: int = self._origin.bench.actors[client].cpu_id
        return cpu

    def thread_of(self, client: int) -> int:
        """Return the number of the worker that runs on a CPU."""
        return self._threads[client]

    def name_of(self, client: int) -> str:
        """Return a client's name."""
        name: str = self._origin.bench.actors[client].name
        return name

    def taken(self) -> dict[str, dict[str, int]]:
        """Return, for each actor's role, the messages that it took, with how many of its states took each."""
        return self.automata.taken()

    def forget(self) -> Slices[None]:
        """Forget all states, in slices, for good: they lead to each other, so that their memory is not freed else."""
        while self._states:
            _, state = self._states.popitem()
            state.known.clear()
            yield

    # --- inside ------------------------------------------------------------------------------------------------------

    def _same(self, state: State) -> State:
        """Return the state that was there first of all that are like this one."""
        first = self._states.setdefault(state.key(), state)
        if first is state:
            state.number = len(self._states) - 1
        return first

    def _move(self, state: State, move: Move) -> tuple[State, Happening]:
        channel, way = move
        queue = state.queues[channel]
        queues = state.queues.copy()
        if len(queue) == 1:
            del queues[channel]
        else:
            queues[channel] = queue[1:]
        step = self.head_steps(state, channel)[way]
        nodes = list(state.nodes)
        told: list[int] = []
        took: list[tuple[int, int]] = []
        stop = self._carry_out(step, queue[0], nodes, queues, told, took)
        self._launch(queues)
        watched = state.watched
        for telling in told:
            watched, finding = self.watch.hear(watched, telling)
            stop = stop or finding
        speaks = self.is_client(took[0][0]) and not all(self._to_a_client(item) for item in step.items)
        return State(tuple(nodes), queues, watched, stop), Happening(channel, tuple(took), tuple(told), speaks)

    def _carry_out(
        self,
        step: Step,
        taken: int,
        nodes: list[int],
        queues: dict[Channel, tuple[int, ...]],
        told: list[int],
        took: list[tuple[int, int]],
    ) -> AnyStop | None:
        """Put an actor where a step leads; what a server says to another server is taken at once."""
        items = self.automata.vocabulary.items
        receiver = items[taken][0]
        nodes[receiver] = step.node
        nodes.extend(step.born)
        took.append((receiver, taken))
        if step.told:
            told.append(step.told)
        stop = step.stop
        sent_before = queues.get((receiver, STORES), ())
        for item in step.items:
            other = items[item][0]
            if self.is_client(receiver) or other == receiver or self.is_client(other):
                self._queue(queues, receiver, item, sent_before)
            else:
                (only,) = self.automata.steps(nodes[other], receiver, item)
                stop = self._carry_out(only, item, nodes, queues, told, took) or stop
        return stop

    def _queue(
        self,
        queues: dict[Channel, tuple[int, ...]],
        sender: int,
        item: int,
        sent_before: Sequence[int] = (),
    ) -> None:
        """Send an item on its way."""
        receiver, _, _ = self.automata.vocabulary.items[item]
        if not self.is_client(sender):
            channel = (sender, receiver)
            queues[channel] = (*queues.get(channel, ()), item)
            return
        channel = (sender, STORES)
        stores = queues.get(channel, ())
        # A client that waits for an answer has asked last. An interrupt comes before that instruction if it was not
        # carried out yet, so what its handler says comes before it too.
        if sent_before and stores[-1] == sent_before[-1] and self._asks(stores[-1]):
            queues[channel] = (*stores[:-1], item, stores[-1])
        else:
            queues[channel] = (*stores, item)

    def _to_a_client(self, item: int) -> bool:
        return self.is_client(self.automata.vocabulary.items[item][0])

    def _asks(self, item: int) -> bool:
        return bool(self.automata.vocabulary.items[item][2].replies)

    def _launch(self, queues: dict[Channel, tuple[int, ...]]) -> None:
        """Let IPIs and acks go that all stores before them have left: from then on they are on their own way."""
        items = self.automata.vocabulary.items
        for channel in [channel for channel in queues if channel[1] == STORES]:
            queue = queues[channel]
            place = 0
            while place < len(queue) and self.is_client(receiver := items[queue[place]][0]):
                way = (channel[0], receiver)
                queues[way] = (*queues.get(way, ()), queue[place])
                place += 1
            if place == len(queue):
                del queues[channel]
            elif place:
                queues[channel] = queue[place:]
