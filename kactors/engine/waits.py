"""The wait-for graph: who waits for what, who holds it, since when and why. A cycle in it is a deadlock.

lockdep cannot see the deadlock of the review mail, because it goes through an IPI ack and not through a lock. Here a
lock, an IPI ack and a completion are edges alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from protocols.stop import Deadlock, Quiescent, WaitEdge

if TYPE_CHECKING:
    from kactors.engine.actor import Actor


@dataclass(frozen=True)
class Blocked:
    """A thread's wait: for one server's answer, or for the acks of several CPUs.

    Attributes:
        waiter: name of the waiting CPU (or of the thread, when it sleeps).
        request: what it asked, in words.
        since_ns: since when.
        servers: actors that owe the answer.
        tag: the request's tag.
    """

    waiter: str
    request: str
    since_ns: int
    servers: tuple[Actor, ...]
    tag: int


@dataclass(frozen=True)
class Holder:
    """What keeps an unanswered request waiting: the resource, who holds it, since when, and why."""

    resource: str
    names: tuple[str, ...]
    since_ns: int
    why: str


def judge(actors: Iterable[Any]) -> Quiescent | Deadlock:
    """Return the typed reason for a run in which nothing is left to deliver."""
    edges = [edge for actor in actors for wait in actor.blocked() for edge in _edges(actor, wait)]
    if not edges:
        return Quiescent()
    return Deadlock(cycle=find_cycle(edges), waits=tuple(edges))


def _edges(actor: Actor, wait: Blocked) -> list[WaitEdge]:
    edges: list[WaitEdge] = []
    for server in wait.servers:
        holder = server.holder(actor, wait.tag)
        if holder is None:
            holder = Holder(f"{wait.request} at {server.name}", (server.name,), wait.since_ns, "no answer is under way")
        edges.extend(
            WaitEdge(waiter=wait.waiter, resource=holder.resource, holder=name, since=holder.since_ns, why=holder.why)
            for name in holder.names
        )
    return edges


def find_cycle(edges: Iterable[WaitEdge]) -> tuple[WaitEdge, ...]:
    """Return the edges of one cycle, in order, beginning at its first waiter by name; empty when there is none."""
    by_pair = {(edge.waiter, edge.holder): edge for edge in edges}
    # Lists, because the order in a set of names changes with the hash seed, and with it the cycle that is found.
    graph: dict[str, list[str]] = {}
    for waiter, holder in by_pair:
        graph.setdefault(waiter, []).append(holder)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        # graphlib names the nodes in the order in which each is needed by the next: against the direction of waiting.
        nodes = list(reversed(error.args[1]))[:-1]
        first = nodes.index(min(nodes))
        nodes = nodes[first:] + nodes[:first]
        return tuple(by_pair[pair] for pair in zip(nodes, nodes[1:] + nodes[:1], strict=True))
    return ()
