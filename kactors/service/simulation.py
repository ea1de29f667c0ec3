"""One session: its record, what it is doing, and the changes that clients make to it.

A change is carried out by the worker, then written to the store, then acknowledged. What could not be written is
undone by forgetting the machine: the next order replays what the store has.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import structlog
import trio
from pydantic import TypeAdapter

from kactors.rpc.codec import pack
from kactors.service.home import Home
from kactors.service.seat import History, Seat
from kactors.service.shelf import Named
from kactors.service.store import Advance, AppendEntry, SaveResult, SessionRecord, Write
from kactors.service.workers import Worker
from protocols.service import sessions
from protocols.service.commands import Command, Entry, Position, Until
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.sessions import Quantities, State
from protocols.stop import AnyStop

log = structlog.get_logger(__name__)

STOP: TypeAdapter[AnyStop] = TypeAdapter(AnyStop)
HALT_AGAIN_S = 0.5
SETTLE_S = 1.0
"""How long a run whose client has gone may take to stop."""


@dataclass(frozen=True)
class Goal:
    """Where a run is to end, absolute; nothing given: at its end."""

    until_ns: int | None = None
    until_events: int | None = None
    until: Until | None = None


@dataclass
class Activity:
    """A run under way. ``pausing``: it is to stop where it is, also where it has not begun."""

    goal: Goal
    pausing: bool = False
    done: trio.Event = field(default_factory=trio.Event)


class Simulation(Named):
    """One session.

    Args:
        record: what the store knows of it.
        home: the service.

    Attributes:
        record: what the store knows, as last acknowledged.
        quantities: what it counted last; None: not known before its machine is brought back.
    """

    def __init__(self, record: SessionRecord, home: Home) -> None:
        super().__init__(record.session, record.client, record.key, record.request)
        self.record = record
        self.changing = trio.Lock()
        """Held from carrying a change out until it is written, so that the log has them in the order of happening."""
        self.activity: Activity | None = None
        self.quantities: Quantities | None = None
        self.events = record.position.events
        self.now_ns = record.position.now_ns
        self.wall_ns = record.wall_ns
        self._heard = 0
        self._packed = b""
        self._packed_key: tuple[Any, ...] = ()
        self._home = home
        self.seat = Seat(record.session, home.workers, home.limits, self._history, self._opened)

    @property
    def state(self) -> State:
        """What it is doing now; a step is in nobody's record before it is done."""
        return State.RUNNING if self.activity is not None else self.record.state

    # --- asking ------------------------------------------------------------------------------------------------------

    def where(self) -> sessions.Where:
        """Return where it was acknowledged to stand."""
        return sessions.Where(**self._where())

    async def stats(self) -> sessions.Stats:
        """Return its numbers; its machine is brought back only when nobody has seen it since the service began."""
        if self.quantities is None:
            await self.seat.order("position")
        return self.stats_now()

    def stats_now(self) -> sessions.Stats:
        """Return its numbers as they are known here."""
        goal = self.activity.goal if self.activity is not None else Goal()
        worker = self.seat.worker
        seconds = self.wall_ns / 1e9
        return sessions.Stats(
            session=self.name,
            state=self.state,
            sequence=self.record.sequence,
            events=self.events,
            now_ns=self.now_ns,
            goal_ns=goal.until_ns,
            goal_events=goal.until_events,
            wall_s=seconds,
            events_per_s=self.events / seconds if seconds else 0.0,
            worker=None if worker is None else worker.number,
            subscriptions=len(self.subscribers),
            quantities=self.quantities or Quantities(),
        )

    def packed_stats(self) -> bytes | None:
        """Return the numbers as they go over the wire, made once for all who ask between two changes of them.

        None: nobody has seen its machine since the service began; ``stats`` brings it back.
        """
        if self.quantities is None:
            return None
        key = (self._heard, self.activity, self.record.sequence, len(self.subscribers), self.seat.worker)
        if key != self._packed_key:
            self._packed = pack(self.stats_now().model_dump(mode="json"))
            self._packed_key = key
        return self._packed

    async def look(self, actor: str | None) -> sessions.ActorState:
        """Return an actor's state."""
        return sessions.ActorState.model_validate(await self.seat.order("look", actor=actor))

    async def result(self) -> dict[str, Any]:
        """Return its result.

        Raises:
            ServiceError: WRONG_STATE: it has not ended.
        """
        if self.record.state is not State.ENDED:
            message = f"{self.name} has not ended; sim.run_until without until_ns runs it to its end"
            raise ServiceError(ErrorCode.WRONG_STATE, message, {"state": self.state})
        stored = await self._home.committer.result(self.name)
        result: dict[str, Any] = stored if stored is not None else await self.seat.order("result")
        return result

    # --- running -----------------------------------------------------------------------------------------------------

    async def start(self, goal: Goal, if_sequence: int | None = None) -> sessions.Where:
        """Run in the background."""
        self.expect(if_sequence)
        self.need_paused()
        activity = self.activity = Activity(goal)
        try:
            async with self.changing:
                await self.commit(
                    sequence=self.record.sequence + 1,
                    state=State.RUNNING,
                    goal_ns=goal.until_ns,
                    goal_events=goal.until_events,
                )
        except BaseException:
            self._end_activity(activity)
            raise
        self._home.start_soon(lambda: self._in_background(activity))
        return self.where()

    def resume(self) -> None:
        """Go on with the run that the service's end, or its crash, cut short."""
        goal = Goal(self.record.goal_ns, self.record.goal_events)
        activity = self.activity = Activity(goal)
        self._home.start_soon(lambda: self._in_background(activity))

    async def run(self, goal: Goal, if_sequence: int | None = None) -> sessions.Stepped:
        """Run and wait until it is done; when the caller is cancelled, the simulation stops where it is."""
        self.expect(if_sequence)
        self.need_paused()
        activity = self.activity = Activity(goal)
        try:
            ran = await self._order_run(activity)
            reason = await self._settle(ran, sequence=self.record.sequence + 1)
        except trio.Cancelled:
            with trio.move_on_after(SETTLE_S, shield=True) as patience:
                await self._settle(await self.seat.order("halt") | {"reason": "paused"})
            if patience.cancelled_caught:
                self.seat.forget()  # it stands somewhere, and nobody has written down where
            raise
        finally:
            self._end_activity(activity)
        return sessions.Stepped(**self._where(), reason=reason)

    async def pause(self) -> sessions.Where:
        """Stop it where it is; a session that stands is left alone."""
        activity = self.activity
        if activity is not None:
            activity.pausing = True
            while not activity.done.is_set():
                await self.seat.order("halt")
                # Once is enough, unless the worker ends between two orders and the run is begun anew.
                with trio.move_on_after(HALT_AGAIN_S):
                    await activity.done.wait()
        return self.where()

    async def _in_background(self, activity: Activity) -> None:
        try:
            ran = await self._order_run(activity)
            pausing = ran["reason"] == "paused" and not self._home.ending
            sequence = self.record.sequence + 1 if pausing else self.record.sequence
            await self._settle(ran, sequence=sequence, cut_short=self._home.ending and ran["reason"] == "paused")
        except ServiceError as error:
            log.warning("run failed", session=self.name, code=int(error.code), error=error.message)
        finally:
            self._end_activity(activity)

    async def _order_run(self, activity: Activity) -> dict[str, Any]:
        goal = activity.goal
        until = None if goal.until is None else goal.until.model_dump()
        try:
            if activity.pausing:
                return {**await self.seat.order("halt"), "reason": "paused"}
            ran: dict[str, Any] = await self.seat.order(
                "run", until_ns=goal.until_ns, until_events=goal.until_events, until=until
            )
        except ServiceError as error:
            await self._fail(error)
            raise
        return ran

    async def _settle(self, ran: dict[str, Any], *, cut_short: bool = False, **changes: Any) -> Any:
        """Write down where a run has ended, and return why."""
        async with self.changing:
            stop = None if ran["stop"] is None else STOP.validate_python(ran["stop"])
            if not cut_short:
                state = State.PAUSED if stop is None else State.ENDED
                changes |= {"state": state, "goal_ns": None, "goal_events": None}
            writes = () if ran.get("result") is None else (SaveResult(self.name, ran["result"]),)
            position = Position.model_validate(ran["position"])
            await self.commit(*writes, position=position, stop=stop, wall_ns=ran["wall_ns"], **changes)
            self.stand(ran)
        return ran["reason"]

    async def _fail(self, error: ServiceError) -> None:
        """A quota stops a run; anything else is the end of the session as it is."""
        failed = error.code in (ErrorCode.ACTOR_CRASHED, ErrorCode.WORKER_LOST, ErrorCode.REPLAY_DIFFERS)
        state = State.FAILED if failed else State.PAUSED
        async with self.changing:
            wire = error.to_wire() if failed else None
            await self.commit(state=state, error=wire, goal_ns=None, goal_events=None)
        self.seat.forget()

    def _end_activity(self, activity: Activity) -> None:
        if self.activity is activity:
            self.activity = None
        activity.done.set()

    # --- changing ----------------------------------------------------------------------------------------------------

    async def apply(self, command: Command, if_sequence: int | None = None) -> sessions.Where:
        """Carry a command out, now, whether it runs or stands."""
        async with self.changing:
            self.expect(if_sequence)
            self.need_going()
            self._home.committer.need_room()
            try:
                applied = await self.seat.order("apply", command=command.model_dump(mode="json", exclude_unset=True))
            except BaseException as failure:
                if not isinstance(failure, ServiceError) or failure.code.error_class == "internal":
                    self.seat.forget()  # it may have been carried out, and nobody will write it down
                raise
            entry = Entry(at=Position.model_validate(applied["at"]), command=command)
            record, append = self.record, AppendEntry(self.name, len(self.record.log), entry)
            await self.commit(append, sequence=record.sequence + 1, position=entry.at, log=(*record.log, entry))
            self.stand(applied["standing"])
        return self.where()

    async def commit(self, *writes: Write, **changes: Any) -> None:
        """Write changes of the record, and then make them; the caller holds ``changing``.

        Raises:
            ServiceError: nothing was written, and the machine is forgotten with what was done to it.
        """
        record = dataclasses.replace(self.record, **changes)
        advance = Advance(
            session=record.session,
            sequence=record.sequence,
            position=record.position,
            state=record.state,
            goal_ns=record.goal_ns,
            goal_events=record.goal_events,
            stop=record.stop,
            error=record.error,
            wall_ns=record.wall_ns,
        )
        try:
            await self._home.committer.commit(*writes, advance)
        except ServiceError:
            self.seat.forget()
            raise
        self.record = record

    async def close(self) -> None:
        """Stop what it is doing and forget its machine."""
        await self.pause()
        self.seat.forget()

    # --- rules -------------------------------------------------------------------------------------------------------

    def expect(self, sequence: int | None) -> None:
        """Refuse a change that was meant for another state of the session.

        Raises:
            ServiceError: CONFLICT.
        """
        if sequence is not None and sequence != self.record.sequence:
            message = f"{self.name} is at sequence {self.record.sequence}, not {sequence}; ask sim.stats what was done"
            raise ServiceError(ErrorCode.CONFLICT, message, {"sequence": self.record.sequence})

    def need_going(self) -> None:
        """Refuse what only a simulation that can go on can do.

        Raises:
            ServiceError: WRONG_STATE, ENDED_BY_FINDING, or that by which it failed.
        """
        record = self.record
        if record.state is State.FAILED and record.error is not None:
            code, message, data = record.error
            raise ServiceError(ErrorCode(code), f"{self.name} failed: {message}", data)
        if record.state is State.ENDED and record.stop is not None:
            data = {"state": State.ENDED, "stop": record.stop.model_dump(mode="json")}
            code = ErrorCode.ENDED_BY_FINDING if record.stop.finding else ErrorCode.WRONG_STATE
            message = f"{self.name} has ended ({record.stop.kind}); sim.step_back and sim.restore go back"
            raise ServiceError(code, message, data)

    def need_paused(self) -> None:
        """Refuse what only a simulation that stands can do.

        Raises:
            ServiceError: as ``need_going``, or WRONG_STATE: it runs.
        """
        if self.activity is not None:
            message = f"{self.name} is running; sim.pause it first"
            raise ServiceError(ErrorCode.WRONG_STATE, message, {"state": State.RUNNING})
        self.need_going()

    # --- inside ------------------------------------------------------------------------------------------------------

    def _where(self) -> dict[str, Any]:
        record = self.record
        where = {"session": self.name, "state": self.state, "sequence": record.sequence}
        return where | {"position": record.position, "stop": record.stop}

    def _history(self) -> History:
        return History(self.record.scenario, self.record.log, self.record.position)

    async def _opened(self, worker: Worker, standing: dict[str, Any]) -> None:
        """A machine was brought to a worker: note what it counts, and let the subscribers hear it."""
        self.stand(standing)
        self._home.opened(worker)
        for order in self.subscribers.orders():
            await worker.order("listen", session=self.name, **order)

    def stand(self, standing: dict[str, Any]) -> None:
        """Note what a worker said of the simulation."""
        events = standing["position"]["events"]
        self._home.simulated(max(0, events - self.events))
        self.events = events
        self.now_ns = standing["position"]["now_ns"]
        self.wall_ns = standing["wall_ns"]
        self.quantities = Quantities.model_validate(standing["quantities"])
        self._heard += 1
