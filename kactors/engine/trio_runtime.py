"""The Trio runtime: each actor is one Trio task in the machine's nursery, among the sockets and timeouts of its host.

Virtual time does not depend on Trio's clock, deadlines or task order: exactly one task runs, the one whose actor the
engine named last. When it has handled its event it asks the engine for the next, wakes that actor's task and parks
itself. So the trace is the inline runtime's, byte for byte, and Trio's cancellation reaches every actor at its only
checkpoint.
"""

from __future__ import annotations

from typing import Any

import outcome
import trio
from trio.lowlevel import Abort, Task, current_task, reschedule, wait_task_rescheduled

from kactors.engine.engine import Engine
from kactors.engine.errors import ActorCrash
from kactors.engine.event import Event, show

NOBODY = -1


class _Stage:
    """The machine's nursery and the one token that says whose turn it is."""

    def __init__(self, engine: Engine, nursery: trio.Nursery) -> None:
        self._engine = engine
        self._nursery = nursery
        self._events = engine.run_events()
        self._parked: dict[int, Task] = {}
        self._early: dict[int, Event] = {}

    def enrol(self, actor: Any) -> None:
        """Give an actor its task; it may be born while the machine runs (a new page table)."""
        self._nursery.start_soon(self._live, actor, name=actor.name)

    def pass_on(self, mine: int) -> Event | None:
        """Take the next event; return it when it is for ``mine``, else wake its receiver's task and return None."""
        event = next(self._events, None)
        if event is None:
            self._nursery.cancel_scope.cancel()
        elif event[1].id == mine:
            return event
        elif (task := self._parked.pop(event[1].id, None)) is not None:
            reschedule(task, outcome.Value(event))
        else:
            self._early[event[1].id] = event
        return None

    async def _live(self, actor: Any) -> None:
        """Be one actor: take an event, handle it, pass the turn on, park."""
        event = self._early.pop(actor.id, None)
        while True:
            if event is None:
                self._parked[actor.id] = current_task()
                event = await wait_task_rescheduled(lambda _raise_cancel: Abort.SUCCEEDED)
            try:
                actor.receive(event)
            except Exception as error:
                story = self._engine.story()
                raise ActorCrash(actor.name, show(event[4]), event[0], story) from error
            event = self.pass_on(actor.id)
            if event is not None:
                # The turn stays here; the host's other tasks, and cancellation, get theirs all the same.
                await trio.lowlevel.checkpoint()


async def run_trio(engine: Engine) -> None:
    """Run the machine in a nursery of its own until the engine stops; cancel to abandon it.

    Raises:
        ActorCrash: an actor raised. All tasks are cancelled and this one exception surfaces.
    """
    try:
        async with trio.open_nursery() as nursery:
            stage = _Stage(engine, nursery)
            engine.on_register = stage.enrol
            for actor in engine.actors:
                stage.enrol(actor)
            await trio.lowlevel.checkpoint()
            stage.pass_on(NOBODY)
    except BaseExceptionGroup as group:
        raise _only_one(group) from group.__cause__
    finally:
        engine.on_register = None


def _only_one(error: BaseException) -> BaseException:
    """Unwrap groups of one: exactly one task runs, so only one can have raised."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
