"""The Trio runtime: each actor is one Trio task in the machine's nursery, among the sockets and timeouts of its host.

Virtual time does not depend on Trio's clock, deadlines or task order: exactly one task runs, the one whose actor the
engine named last. When it has handled its event it asks the engine for the next, wakes that actor's task and parks
itself. So the trace is the inline runtime's, byte for byte, and Trio's cancellation reaches every actor at its only
checkpoint.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any, TypeVar

import outcome
import trio
from trio.lowlevel import Abort, Task, current_task, reschedule, wait_task_rescheduled

from kactors.engine.engine import Engine
from kactors.engine.errors import ActorCrash
from kactors.engine.event import Event, show

NOBODY = -1

R = TypeVar("R")


class _Turn(outcome.Outcome[Event]):
    """What a parked task is woken with: one instance for the machine, as a new outcome.Value costs 10 % of a turn."""

    __slots__ = ("event",)

    event: Event

    def unwrap(self) -> Event:
        """Return the event; Trio calls this in the task that wakes up."""
        return self.event

    def send(self, gen: Generator[R, Event, object]) -> R:
        """As the interface wants it."""
        return gen.send(self.event)

    async def asend(self, agen: AsyncGenerator[R, Event]) -> R:
        """As the interface wants it."""
        return await agen.asend(self.event)


class _Stage:
    """The machine's nursery and the one token that says whose turn it is."""

    def __init__(self, engine: Engine, nursery: trio.Nursery) -> None:
        self._engine = engine
        self._nursery = nursery
        self._events = engine.run_events()
        self._tasks: dict[int, Task] = {}
        self._early: dict[int, Event] = {}
        self._turn = _Turn()
        self._abandoned = False

    def enrol(self, actor: Any) -> None:
        """Give an actor its task; it may be born while the machine runs (a new page table)."""
        self._nursery.start_soon(self._live, actor, name=actor.name)

    def pass_on(self, mine: int) -> Event | None:
        """Take the next event; return it when it is for ``mine``, else wake its receiver's task and return None."""
        if self._abandoned:
            return None
        event = next(self._events, None)
        if event is None:
            self._nursery.cancel_scope.cancel()
            return None
        receiver = event[1].id
        if receiver == mine:
            return event
        task = self._tasks.get(receiver)
        if task is None:
            # Its task has been started and has not had its first turn.
            self._early[receiver] = event
        else:
            self._turn.event = event
            reschedule(task, self._turn)
        return None

    async def _live(self, actor: Any) -> None:
        """Be one actor: take an event, handle it, pass the turn on, park."""
        mine = actor.id
        self._tasks[mine] = current_task()
        event = self._early.pop(mine, None)
        while True:
            if event is None:
                # Every task but this one is parked here, so whoever has the turn can wake any of them.
                event = await wait_task_rescheduled(self._abandon)
            try:
                actor.receive(event)
            except Exception as error:
                story = self._engine.story()
                raise ActorCrash(actor.name, show(event[4]), event[0], story) from error
            event = self.pass_on(mine)
            if event is not None:
                # The turn stays here; the host's other tasks, and cancellation, get theirs all the same.
                await trio.lowlevel.checkpoint()

    def _abandon(self, _raise_cancel: object) -> Abort:
        """Let Trio cancel a parked actor; the machine is given up whole, and nobody gets the turn any more."""
        self._abandoned = True
        return Abort.SUCCEEDED


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
        error = _only_one(group)
        raise error from error.__cause__
    finally:
        engine.on_register = None


def _only_one(error: BaseException) -> BaseException:
    """Unwrap groups of one: exactly one task runs, so only one can have raised."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
