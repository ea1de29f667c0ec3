"""The simulations of one worker process, each computing in its turn."""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio
from pydantic import BaseModel

from kactors.live import LiveMachine, Pause, Quota, Replay
from kactors.service.worker import orders
from kactors.service.worker.failures import told_as_service_errors
from kactors.service.worker.live_search import LiveSearch, SearchRun, job_of
from kactors.service.worker.live_session import FIRST_SLICE_EVENTS, LiveSession, Quotas, Running, Tell, heard, next_size
from protocols.service.errors import ErrorCode, ServiceError

Outcome = BaseModel | dict[str, Any] | Awaitable[BaseModel]
Obeying = Coroutine[Any, Any, dict[str, Any]]
Turn = tuple[LiveSession, Running] | tuple[LiveSearch, SearchRun]

TICKS = 4
"""Rounds of the event loop between two slices: an order is read, carried out, answered and sent within so many."""
FORGOTTEN_MAX = 16
"""A forgotten machine's memory is found only by looking at everything, as its actors know each other: seldom."""


class Room:
    """Carries out orders about simulations, and lets those that run compute in turns.

    Args:
        tell: sends a notification to the service.
        mark: notes, where it outlives a crash, whose turn it is.
    """

    def __init__(self, tell: Tell, mark: Callable[[str], None]) -> None:
        self._tell = tell
        self._mark = mark
        self._sessions: dict[str, LiveSession] = {}
        self._searches: dict[str, LiveSearch] = {}
        self._work = trio.Event()
        self._begun: deque[Turn] = deque()
        self._turns: deque[Turn] = deque()
        self._begun_is_next = True
        self._forgotten = 0
        self._turn = trio.Lock()
        """Held while a simulation is built or computes: one at a time, and the mark tells which."""
        self._opening = 0
        self._openings: dict[str, int] = {}
        self._handlers: dict[str, Callable[[Any], Outcome]] = {
            "open": self._open,
            "run": self._run,
            "halt": self._halt,
            "apply": self._apply,
            "look": self._look,
            "listen": lambda order: self._session(order).listen(order),
            "grant": self._grant,
            "unlisten": lambda order: self._session(order).unlisten(order.subscription),
            "drop": self._drop,
            "examine": self._examine,
            "search": self._search,
            "cancel": lambda order: self._cut_short(order, LiveSearch.cancel),
            "abandon": lambda order: self._cut_short(order, LiveSearch.abandon),
            "ping": lambda _order: {},
            "position": lambda order: self._session(order).standing(),
            "result": lambda order: self._session(order).machine.result().to_json(),
        }

    def obey(self, name: str, params: dict[str, Any]) -> Obeying:
        """Begin to carry out an order, at once; return what waits for its answer, which is plain data.

        What cannot be carried out is raised there, as ServiceError.
        """
        usage = ErrorCode.BAD_SCENARIO if name in ("open", "examine") else ErrorCode.INVALID_PARAMS
        try:
            with told_as_service_errors(usage):
                order: Any = orders.ORDERS[name].model_validate(params)
                return _answer(self._handlers[name](order), usage)
        except ServiceError as error:
            return _failure(error)

    async def compute(self, may_go_on: Callable[[], Awaitable[None]]) -> None:
        """Let the running simulations compute, one slice each in turn, for ever.

        Args:
            may_go_on: waits until what was told has been taken away.
        """
        while True:
            await may_go_on()
            self._tidy()
            turn = self._next()
            if turn is None:
                self._work = trio.Event()
                await self._work.wait()
                continue
            session, running = turn
            async with self._turn_of(session.name):
                session.compute()
            if session.running is running:
                (self._begun if session.is_near_its_goal() else self._turns).append(turn)
            for _ in range(TICKS):
                await trio.lowlevel.checkpoint()

    @asynccontextmanager
    async def _turn_of(self, name: str) -> AsyncIterator[None]:
        """Let a session alone compute; whoever ends the process meanwhile is that one."""
        async with self._turn:
            self._mark(name)
            try:
                yield
            finally:
                self._mark("")

    def _next(self) -> Turn | None:
        """Return whose turn it is.

        A run that has just begun, or is about to end, goes before the others, so that a short step does not wait for
        all of them; but only every other turn, so that they go on however many steps come.
        """
        for queue in (self._begun, self._turns) if self._begun_is_next else (self._turns, self._begun):
            while queue:
                turn = queue.popleft()
                session, running = turn
                if session.running is running:
                    self._begun_is_next = queue is self._turns
                    return turn
        return None

    def close(self) -> None:
        """Abandon every machine."""
        for session in self._sessions.values():
            session.machine.close()

    def _tidy(self) -> None:
        """Give back the memory of forgotten machines; it takes as long as some slices."""
        if self._forgotten >= FORGOTTEN_MAX:
            self._forgotten = 0
            gc.collect()

    def _session(self, order: orders.Order) -> LiveSession:
        try:
            return self._sessions[order.session]
        except KeyError:
            raise ServiceError(ErrorCode.UNKNOWN_SESSION, f"{order.session} is not open here") from None

    def _open(self, order: orders.Open) -> Awaitable[orders.Standing]:
        self._forget(order.session)
        return self._bring(order, self._openings[order.session])

    async def _bring(self, order: orders.Open, opening: int) -> orders.Standing:
        """Bring a machine to where it is to stand, unless it is dropped or opened anew meanwhile."""
        began_ns = time.perf_counter_ns()
        # In a thread: a large recording takes seconds to read, and the others' orders must not wait for it.
        # No slice meanwhile, so that a crash has one culprit.
        async with self._turn_of(order.session):
            made = await trio.to_thread.run_sync(_make, order)
        wall_ns = time.perf_counter_ns() - began_ns
        machine = made.machine if isinstance(made, Replay) else made
        if isinstance(made, Replay):
            wall_ns += await self._in_slices(order.session, made.advance)
        if order.until_events is not None:
            ahead = partial(_walk, machine, order.until_events)
            wall_ns += await self._in_slices(order.session, ahead)
        if self._openings.get(order.session) != opening:
            machine.close()
            raise ServiceError(ErrorCode.CANCELLED, f"{order.session} was dropped while it was opened")
        quotas = Quotas(order.events_max, order.wall_ns_max)
        session = LiveSession(order.session, machine, quotas, wall_ns=wall_ns, tell=self._tell)
        self._sessions[order.session] = session
        return session.standing()

    async def _in_slices(self, name: str, advance: Callable[[int], bool]) -> int:
        """Let a machine go on, a slice at a time, until it has arrived; return how long it computed, in ns."""
        size, wall_ns = FIRST_SLICE_EVENTS, 0
        while True:
            async with self._turn_of(name):
                began_ns = time.perf_counter_ns()
                arrived = advance(size)
                spent_ns = time.perf_counter_ns() - began_ns
            wall_ns += spent_ns
            size = next_size(size, spent_ns)
            if arrived:
                return wall_ns
            await trio.lowlevel.checkpoint()

    def _run(self, order: orders.Run) -> Awaitable[orders.Ran]:
        session = self._session(order)
        running = session.begin(order)
        self._begun.append((session, running))
        self._work.set()
        return self._ended(session, running)

    async def _examine(self, order: orders.Search) -> orders.Nothing:
        """Find out whether a scenario can be searched."""
        async with self._turn_of(order.session):
            await trio.to_thread.run_sync(job_of(order).subject)
        return orders.Nothing()

    def _search(self, order: orders.Search) -> Awaitable[orders.SearchEnded]:
        search = LiveSearch(order, self._tell)
        running = search.running
        if running is None:
            raise AssertionError("a search ends after it has begun")
        self._searches[order.session] = search
        self._begun.append((search, running))
        self._work.set()
        return self._searched(search, running)

    async def _searched(self, search: LiveSearch, running: SearchRun) -> orders.SearchEnded:
        try:
            return await search.outcome(running)
        finally:
            self._searches.pop(search.name, None)
            self._forgotten += 1

    def _cut_short(self, order: orders.CutShort, how: Callable[[LiveSearch], None]) -> dict[str, Any]:
        search = self._searches.get(order.session)
        if search is not None:
            how(search)
        return {}

    async def _ended(self, session: LiveSession, running: Running) -> orders.Ran:
        await running.ended.wait()
        if running.error is not None:
            raise running.error
        result = session.machine.result().to_json() if running.reason == "ended" else None
        return orders.Ran(**dict(session.standing()), reason=running.reason, result=result)

    def _halt(self, order: orders.Halt) -> orders.Standing:
        session = self._session(order)
        session.end("paused")
        return session.standing()

    def _apply(self, order: orders.Apply) -> orders.Applied:
        session = self._session(order)
        at = session.machine.apply(order.command).at
        return orders.Applied(at=at, standing=session.standing())

    def _look(self, order: orders.Look) -> dict[str, Any]:
        machine = self._session(order).machine
        names = machine.actor_names()
        if order.actor is not None and order.actor not in names:
            message = f"there is no actor {order.actor}; there are {', '.join(names[:8])} ..."
            raise ServiceError(ErrorCode.UNKNOWN_ACTOR, message, {"actors": list(names[:100])})
        stats = machine.stats()
        return {
            "actor": order.actor,
            "actors": [] if order.actor is not None else list(names),
            "state": {} if order.actor is None else machine.state(order.actor),
            "events": stats.events,
            "now_ns": stats.now_ns,
        }

    def _grant(self, order: orders.Grant) -> orders.Heard:
        subscription = self._session(order).subscription(order.subscription)
        subscription.credit += order.events
        return heard(subscription)

    def _drop(self, order: orders.Drop) -> dict[str, Any]:
        self._forget(order.session)
        del self._openings[order.session]
        return {}

    def _forget(self, name: str) -> None:
        self._opening += 1
        self._openings[name] = self._opening
        session = self._sessions.pop(name, None)
        if session is not None:
            session.end("paused")
            session.machine.close()
            self._forgotten += 1
            if self._forgotten >= FORGOTTEN_MAX:
                self._work.set()


async def _answer(outcome: Outcome, usage: ErrorCode) -> dict[str, Any]:
    """Wait for an outcome, where there is something to wait for, and return it as plain data.

    Raises:
        ServiceError: it could not be brought about.
    """
    if isinstance(outcome, Awaitable):
        with told_as_service_errors(usage):
            outcome = await outcome
    return outcome if isinstance(outcome, dict) else outcome.model_dump(mode="json")


async def _failure(error: ServiceError) -> dict[str, Any]:
    raise error


def _make(order: orders.Open) -> Replay | LiveMachine:
    """Build the machine: a new one, or one that has a past to go through."""
    quota = Quota(actors_max=order.actors_max)
    target = order.target if order.target is not None else order.log[-1].at if order.log else None
    if target is None:
        return LiveMachine(order.scenario, limits=quota)
    return Replay(order.scenario, order.log, target, limits=quota)


def _walk(machine: LiveMachine, until_events: int, events_max: int) -> bool:
    """Go on towards a number of deliveries; return whether it is reached, or never will be."""
    return machine.advance(events_max=events_max, until_events=until_events) is not Pause.BUDGET
