"""A read-only view of any actor, as plain data that is never long."""

from __future__ import annotations

from typing import Any

from kactors.cpu import Cpu
from kactors.engine.engine import END_OF_TIME_NS
from kactors.engine.errors import UsageError
from kactors.engine.event import describe
from kactors.kernel.accounting import Spent
from kactors.live.plain import Plain
from kactors.system import System

ENGINE = "engine"
NEXT_EVENTS = 16


class View:
    """Looks at the actors of one system; it changes nothing.

    Args:
        system: the machine.
    """

    def __init__(self, system: System) -> None:
        self._system = system

    def names(self) -> list[str]:
        """Return every name once: page tables that were freed and made again at one address share one."""
        return [*dict.fromkeys(actor.name for actor in self._system.engine.actors), ENGINE]

    def of(self, name: str) -> dict[str, Any]:
        """Return an actor's state; of page tables that share a name, the latest.

        Raises:
            UsageError: there is no actor of that name.
        """
        if name == ENGINE:
            return self._engine()
        for actor in reversed(self._system.engine.actors):
            if actor.name == name:
                state = Plain().attributes(actor)
                if isinstance(actor, Cpu):
                    state["spent"] = {f"{kind.name.lower()}_ns": actor.spent[kind] for kind in Spent}
                return {"role": actor.role, "id": actor.id} | state
        raise UsageError(f"there is no actor {name}; there are {', '.join(self.names()[:8])} ...")

    def _engine(self) -> dict[str, Any]:
        engine = self._system.engine
        following_ns = engine.next_ns()
        return {
            "now_ns": engine.now_ns,
            "events": engine.events,
            "actors": len(engine.actors),
            "stop": None if engine.stop is None else engine.stop.kind,
            "next_ns": None if following_ns == END_OF_TIME_NS else following_ns,
            "next": Plain().value([describe(event) for event in engine.pending(NEXT_EVENTS)]),
            "story": Plain().value(engine.story()[-NEXT_EVENTS:]),
        }
