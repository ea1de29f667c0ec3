"""Each actor as an automaton that is made as it is used: what it does with a delivery is computed once, then known.

An actor meets the others by messages only, so what it does depends on its own state and on what it is given, never on
where the others stand. Thousands of interleavings give one actor the same few histories; each step of these is run
once, by the actor itself, and taken down. States that two histories lead to are recognised (``frozen``).
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kactors.checker.frozen import Frozen, freeze, freeze_classes
from kactors.checker.origin import Origin
from kactors.engine.client import Client
from kactors.engine.errors import UsageError
from protocols.base import Message
from protocols.stop import AnyStop

Given = tuple[int, int, tuple[int, ...]]
"""(sender, item, decisions): one step's input."""


@dataclass(frozen=True, slots=True)
class Step:
    """What an actor does with one delivery.

    Attributes:
        node: where it stands afterwards.
        items: what it says, in order.
        told: what it tells observers: a number in ``Vocabulary.tellings``.
        born: the first states of actors that it makes.
        decisions: those of the model that led here, each (decision, ways).
        stop: it found a reason to stop the run.
    """

    node: int
    items: tuple[int, ...]
    told: int
    born: tuple[int, ...]
    decisions: tuple[int, ...]
    stop: AnyStop | None


class Vocabulary:
    """Numbers for what is said and told: comparing and hashing numbers is cheap.

    Attributes:
        items: by number, (receiver, tag, message).
        tellings: by number, ((actor's name, tracepoint), ...); number 0 is nothing.
    """

    def __init__(self) -> None:
        self.items: list[tuple[int, int, Message]] = []
        self.tellings: list[tuple[tuple[str, Any], ...]] = [()]
        self._items: dict[tuple[int, int, Message], int] = {}
        self._tellings: dict[tuple[tuple[str, Any], ...], int] = {(): 0}

    def item(self, receiver: int, tag: int, message: Message) -> int:
        """Return the number of what is said."""
        item = (receiver, tag, message)
        number = self._items.get(item)
        if number is None:
            number = self._items[item] = len(self.items)
            self.items.append(item)
        return number

    def telling(self, told: Sequence[tuple[str, Any]]) -> int:
        """Return the number of what is told."""
        key = tuple(told)
        number = self._tellings.get(key)
        if number is None:
            number = self._tellings[key] = len(self.tellings)
            self.tellings.append(key)
        return number


class Node:
    """One state of one actor.

    Attributes:
        actor: its number.
        born: how many actors it has made on the way here, and all before it.
        number: its place in ``Automata.nodes``.
        live: an actor that stands here now, if there is one.
        template: of a first state: the actor to copy.
        waits: one of its threads waits for an answer.
    """

    __slots__ = ("actor", "born", "given", "live", "number", "parent", "template", "waits")

    def __init__(self, actor: int, born: int, parent: Node | None, given: Given | None, *, waits: bool) -> None:
        self.actor = actor
        self.born = born
        self.parent = parent
        self.given = given
        self.live: Any = None
        self.number = -1
        self.template: Any = None
        self.waits = waits


class Automata:
    """All actors of an origin.

    Raises:
        UsageError: in a step the policy or the workload changes, which all copies of the actors share.

    Attributes:
        nodes: by number.
        vocabulary: what the numbers in steps mean.
    """

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._bench = origin.bench
        self.vocabulary = Vocabulary()
        self.nodes: list[Node] = []
        self._known: dict[Any, int] = {}
        self._steps: dict[tuple[int, int, int], tuple[Step, ...]] = {}
        self._roles = {actor.id: actor.role for actor in origin.bench.actors}
        self._first_born = len(origin.bench.actors)
        self._kept = self._shared_state()
        self.first = tuple([self._root(actor) for actor in list(origin.bench.actors)])

    def steps(self, node: int, sender: int, item: int) -> tuple[Step, ...]:
        """Return what the actor in that state may do with what ``sender`` says: one step a way to decide."""
        key = (node, sender, item)
        known = self._steps.get(key)
        if known is None:
            known = self._steps[key] = self._compute(node, sender, item)
        return known

    def name(self, actor: int) -> str:
        """Return an actor's name. Of page tables that were made in different histories the first one's is told."""
        return str(self._bench.actors[actor].name)

    def is_at(self, number: int, actor: Any) -> bool:
        """Return whether an actor, one of another copy of the machine maybe, is in the state of that number."""
        return self._known.get((actor.id, self.nodes[number].born, freeze(actor))) == number

    @property
    def computed(self) -> int:
        """How many steps have been run by actors."""
        return len(self._steps)

    def first_of(self, actor: int, otherwise: int) -> int:
        """Return an actor's first state; ``otherwise`` for one that was made on the way."""
        return self.first[actor] if actor < len(self.first) else otherwise

    def taken(self) -> dict[str, dict[str, int]]:
        """Return, for each role, the messages that its actors took, with how many of their states took each."""
        counts: dict[str, dict[str, int]] = {}
        for node, _, item in self._steps:
            role = self._roles.get(self.nodes[node].actor, "ptl")
            name = type(self.vocabulary.items[item][2]).__name__
            counts.setdefault(role, {}).setdefault(name, 0)
            counts[role][name] += 1
        return {role: dict(sorted(names.items())) for role, names in sorted(counts.items())}

    # --- inside ------------------------------------------------------------------------------------------------------

    def _shared_state(self) -> Frozen:
        """Return what all copies of the actors have in common: nobody could follow its changes."""
        system = self._origin.system
        shared = (system.policy, system.workload)
        return [(freeze(vars(thing)), freeze_classes(thing)) for thing in shared]

    def _root(self, actor: Any, born: int | None = None) -> int:
        node = Node(actor.id, self._first_born if born is None else born, None, None, waits=_waits(actor))
        node.template = actor
        return self._number(actor, node)

    def _number(self, actor: Any, node: Node) -> int:
        """Return the number of the state in which ``actor`` is; ``node`` describes it if it is new."""
        key = (actor.id, node.born, freeze(actor))
        number = self._known.get(key)
        if number is None:
            number = node.number = self._known[key] = len(self.nodes)
            self.nodes.append(node)
        return number

    def _compute(self, number: int, sender: int, item: int) -> tuple[Step, ...]:
        """Run every way that the model leaves open; decisions that make no difference are one way."""
        steps: dict[tuple[Any, ...], Step] = {}
        pending: list[tuple[int, ...]] = [()]
        while pending:
            decisions = pending.pop()
            step, ways = self._run(number, (sender, item, decisions))
            steps.setdefault((step.node, step.items, step.told, step.born), step)
            for place in range(len(decisions), len(ways)):
                taken = (*decisions, *(0 for _ in range(len(decisions), place)))
                pending.extend((*taken, way) for way in range(1, ways[place]))
        return tuple(steps.values())

    def _run(self, number: int, given: Given) -> tuple[Step, list[int]]:
        node = self.nodes[number]
        actor = self._live(node)
        self._deliver(actor, node, given)
        if self._shared_state() != self._kept:
            raise UsageError(
                f"the policy or the workload has changed in {actor.name}'s step: in a search, what threads share must "
                "stay as the set-up leaves it, and what they remember must lie in their own variables"
            )
        bench = self._bench
        item, telling = self.vocabulary.item, self.vocabulary.telling
        born = tuple(self._root(made, made.id + 1) for made in bench.born)
        after = Node(node.actor, bench.next_id, node, given, waits=_waits(actor))
        target = self._number(actor, after)
        if self.nodes[target].live is None and _has_begun(actor):
            self.nodes[target].live = actor
        elif isinstance(actor, Client):
            actor.close()
        step = Step(
            node=target,
            items=tuple([item(to.id, tag, message) for to, _, tag, message in bench.posts]),
            told=telling(bench.told),
            born=born,
            decisions=given[2],
            stop=bench.stop,
        )
        return step, bench.given.ways

    def _deliver(self, actor: Any, node: Node, given: Given) -> None:
        sender, item, decisions = given
        _, tag, message = self.vocabulary.items[item]
        self._bench.clear(decisions, node.born)
        actor.receive((0, actor, self._bench.actors[sender], tag, message))

    def _live(self, node: Node) -> Any:
        """Take the actor that stands in this state, or lead a copy there the way that one came first."""
        way: list[Node] = []
        at = node
        while at.live is None and at.parent is not None:
            way.append(at)
            at = at.parent
        actor, at.live = at.live, None
        if actor is None:
            actor = self._origin.copy_of(at.template)
        for step in reversed(way):
            if step.parent is None or step.given is None:
                raise AssertionError("a state without a way to it")
            self._deliver(actor, step.parent, step.given)
        return actor


def _waits(actor: Any) -> bool:
    return bool(actor.blocked())


def _has_begun(actor: Any) -> bool:
    """Return whether no thread is about to do its first step: Python complains of a coroutine that is never begun."""
    if not isinstance(actor, Client):
        return True
    coroutines = [process.coroutine for process in actor.processes()]
    return all(inspect.getcoroutinestate(each) != inspect.CORO_CREATED for each in coroutines if each is not None)
