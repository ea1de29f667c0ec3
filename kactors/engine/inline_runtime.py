"""The inline runtime: the same actors stepped by hand. For sweeps, search and batch runs."""

from __future__ import annotations

from kactors.engine.engine import Engine
from kactors.engine.errors import ActorCrash
from kactors.engine.event import show


def run_inline(engine: Engine) -> None:
    """Deliver until the engine stops.

    Raises:
        ActorCrash: an actor raised; the original exception is its cause.
    """
    for event in engine.run_events():
        try:
            event[1].receive(event)
        except Exception as error:
            raise ActorCrash(event[1].name, show(event[4]), event[0], engine.story()) from error
