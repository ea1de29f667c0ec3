"""Identical CPUs: states that differ only in which CPU is which are one state.

A workload says that its workers are interchangeable, and the machine has been levelled, so exchanging two CPUs in all
that happened gives something else that can happen. Where that leads is found by letting the actors do it: the history
of each is repeated with the names exchanged. That they then say the same, names exchanged, is checked at every step.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from typing import Any, Final

from kactors.checker.automata import Node
from kactors.checker.space import STORES, Channel, Space, State
from kactors.engine.errors import UsageError
from protocols.base import Message, Unit

CPU_NUMBER: Final = "cpu number, -1 = khugepaged"
ALIKE_MAX: Final = 4
"""Of more CPUs only the first are exchanged: their orders are too many to look at."""


class Exchange:
    """One permutation of CPUs, carried through all that a search knows by number.

    Args:
        space: what is searched.
        clients: for each client of the machine the one that takes its place.
    """

    def __init__(self, space: Space, clients: Mapping[int, int]) -> None:
        self._space = space
        self._automata = space.automata
        self._vocabulary = space.automata.vocabulary
        self._clients = clients
        self._numbers = {space.cpu_of(client): space.cpu_of(other) for client, other in clients.items()}
        self._threads = {space.thread_of(client): space.thread_of(other) for client, other in clients.items()}
        self._names = {space.name_of(client): space.name_of(other) for client, other in clients.items()}
        self._items: dict[int, int] = {}
        self._nodes: dict[int, int] = {}
        self._watched: dict[int, int] = {space.watch.first: space.watch.first}
        self._tellings: dict[int, int] = {0: 0}

    def actor(self, number: int) -> int:
        """Return who takes an actor's place."""
        return self._clients.get(number, number)

    def channel(self, channel: Channel) -> Channel:
        """Return what becomes of a channel."""
        sender, receiver = channel
        return self.actor(sender), receiver if receiver == STORES else self.actor(receiver)

    def state(self, state: State) -> tuple[Any, ...]:
        """Return a name of what becomes of a state."""
        nodes = list(state.nodes)
        for actor, node in enumerate(state.nodes):
            nodes[self.actor(actor)] = self.node(node)
        queues = [
            (self.channel(channel), tuple(self.item(item) for item in queue)) for channel, queue in state.queues.items()
        ]
        return tuple(nodes), self.watched(state.watched), tuple(sorted(queues))

    # --- inside ------------------------------------------------------------------------------------------------------

    def item(self, number: int) -> int:
        """Return what becomes of something said."""
        if number not in self._items:
            receiver, tag, message = self._vocabulary.items[number]
            self._items[number] = self._vocabulary.item(self.actor(receiver), self._tag(tag), self._renamed(message))
        return self._items[number]

    def node(self, number: int) -> int:
        """Return what becomes of an actor's state: where its history leads with the names exchanged."""
        if number not in self._nodes:
            self._nodes[number] = self._repeated(self._automata.nodes[number])
        return self._nodes[number]

    def watched(self, number: int) -> int:
        """Return what becomes of the observers' state."""
        if number not in self._watched:
            before, telling = self._space.watch.came_from(number)
            self._watched[number], _ = self._space.watch.hear(self.watched(before), self._telling(telling))
        return self._watched[number]

    def _repeated(self, node: Node) -> int:
        if node.parent is None or node.given is None:
            return self._automata.first_of(self.actor(node.actor), node.number)
        sender, item, decisions = node.given
        done = next(s for s in self._automata.steps(node.parent.number, sender, item) if s.decisions == decisions)
        steps = self._automata.steps(self.node(node.parent.number), self.actor(sender), self.item(item))
        said = tuple(self.item(each) for each in done.items)
        for step in steps:
            if step.decisions == decisions and step.items == said:
                return step.node
        message = type(self._vocabulary.items[item][2]).__name__
        raise UsageError(
            f"the workload says that its workers are interchangeable, but they answer {message} differently: "
            "take its attribute interchangeable away"
        )

    def _telling(self, number: int) -> int:
        if number not in self._tellings:
            told = self._vocabulary.tellings[number]
            renamed = [(self._names.get(who, who), self._renamed(tracepoint)) for who, tracepoint in told]
            self._tellings[number] = self._vocabulary.telling(renamed)
        return self._tellings[number]

    def _tag(self, tag: int) -> int:
        """Threads ask under their number plus one."""
        return self._threads.get(tag - 1, tag - 1) + 1

    def _renamed(self, message: Message) -> Message:
        changes = {name: self._field(message, name, value) for name, value in message}
        return message.model_copy(update=changes) if changes != message.__dict__ else message

    def _field(self, message: Message, name: str, value: Any) -> Any:
        if isinstance(value, str):
            return self._names.get(value, value)
        if name == "tag":
            return self._tag(value)
        if name == "thread":
            return self._threads.get(value, value)
        units = [part.name for part in type(message).model_fields[name].metadata if isinstance(part, Unit)]
        if CPU_NUMBER in units:
            return self._numbers.get(value, value)
        # A set of CPUs is told in ascending order.
        return tuple(sorted(self._numbers.get(cpu, cpu) for cpu in value)) if name == "cpus" else value


class Symmetry:
    """All permutations of the CPUs that are alike.

    Args:
        space: what is searched.
    """

    def __init__(self, space: Space) -> None:
        alike = space.alike[:ALIKE_MAX]
        orders = list(permutations(alike))[1:]
        self.exchanges = tuple(Exchange(space, dict(zip(alike, order, strict=True))) for order in orders)
        self._numbers: dict[Any, int] = {}
        self._known: dict[int, tuple[int, Exchange | None]] = {}

    def canonical(self, state: State) -> tuple[int, Exchange | None]:
        """Return a number that all states have which differ in names only, and the exchange that makes it so."""
        known = self._known.get(state.number)
        if known is None:
            names: list[tuple[Any, int]] = [(self._name(state), 0)]
            names += [(exchange.state(state), place + 1) for place, exchange in enumerate(self.exchanges)]
            name, place = min(names)
            number = self._numbers.setdefault(name, len(self._numbers))
            known = self._known[state.number] = (number, self.exchanges[place - 1] if place else None)
        return known

    def _name(self, state: State) -> tuple[Any, ...]:
        return state.nodes, state.watched, tuple(sorted(state.queues.items()))
