"""What may be done with one session, and what of it holds when the connection is lost in the middle.

- Looking (state, stats, result, look) and pausing: asked again.
- start, inject, set_bound, restore, step_back: at most once. They say which sequence of the session they were meant
  for; if that has changed when they are sent again, they were carried out. Another client's change looks the same.
  Where several changes of this handle were under way at once it cannot be told whose it was: that is a CONFLICT.
- step, run_until: to the same place. What is left of the way from where the step began is asked for.
- fork: once, by its key. checkpoint: once with a name, without one perhaps twice. delete: once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from secrets import token_hex
from typing import Any

from kactors.client.errors import LostError
from kactors.client.feeds import Feed
from kactors.client.goals import Goal
from kactors.client.plans import Ask, Plan, Resends, Sleep, given, read
from protocols.result import Result
from protocols.service.commands import Injection, SetBound, Until
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.events import Filter, SubscribeParams, Topic
from protocols.service.sessions import (
    ActorState,
    Attached,
    AttachParams,
    ChangingParams,
    Checkpoint,
    CheckpointParams,
    Created,
    Deleted,
    ForkParams,
    InjectParams,
    Outcome,
    RestoreParams,
    RunUntilParams,
    SessionParams,
    SetBoundParams,
    StartParams,
    State,
    StateParams,
    Stats,
    StepBackParams,
    StepParams,
    Stepped,
    Where,
)

POLL_S = 0.1
"""The service knows a running session's numbers no better than that."""
WINDOW = 256


class SessionPlans:
    """One session.

    Args:
        name: the session's.
        where: where it stands, if that is known.
        existing: its key was known, and no new session was made.

    Attributes:
        where: where it stood when it last said so; None: not known.
    """

    def __init__(self, name: str, where: Where | None = None, *, existing: bool = False) -> None:
        self.name = name
        self.where = where
        self.existing = existing
        self._changes = 0
        self._encounters = 0

    # --- looking -----------------------------------------------------------------------------------------------------

    def look(self) -> Plan[Where]:
        """Return where it stands."""
        return self._note((yield from read("sim.attach", AttachParams(session=self.name), Attached)))

    def stats(self) -> Plan[Stats]:
        """Return its numbers."""
        return read("sim.stats", self._params, Stats)

    def state(self, actor: str | None = None) -> Plan[ActorState]:
        """Return an actor's state, or the names of the actors."""
        return read("sim.state", StateParams(session=self.name, **given(actor=actor)), ActorState)

    def result(self) -> Plan[Result]:
        """Return the result of a session that has ended."""
        return (yield from read("sim.result", self._params, Outcome)).result

    def feed(
        self,
        topics: Sequence[Topic],
        *,
        only: Filter | None = None,
        rate_per_s: int | None = None,
        interval_ns: int | None = None,
        window: int = WINDOW,
    ) -> Feed:
        """Return a subscription that is to be opened.

        Args:
            topics: what to be told of.
            only: which of it.
            rate_per_s: at most so many events a second of wall-clock time.
            interval_ns: how far apart counters are, in virtual time.
            window: so many events may be on their way or wait to be consumed; what happens meanwhile is dropped.
        """
        more = given(filter=only, rate_per_s=rate_per_s, interval_ns=interval_ns)
        return Feed(SubscribeParams(session=self.name, topics=tuple(topics), credit=window, **more))

    # --- driving -----------------------------------------------------------------------------------------------------

    def start(
        self, *, until_ns: int | None = None, events: int | None = None, if_sequence: int | None = None
    ) -> Plan[Where]:
        """Let it run in the background."""
        more = given(until_ns=until_ns, events=events, if_sequence=if_sequence)
        return self._change("sim.start", StartParams(session=self.name, **more))

    def pause(self) -> Plan[Where]:
        """Stop it where it is."""
        return self._note((yield from read("sim.pause", self._params, Where)))

    def step(
        self,
        *,
        events: int | None = None,
        time_ns: int | None = None,
        until: Until | None = None,
        if_sequence: int | None = None,
    ) -> Plan[Stepped]:
        """Advance by deliveries, by virtual time, or until something holds; by nothing of it: one delivery."""
        params = StepParams(session=self.name, **given(events=events, time_ns=time_ns, until=until))
        return self._advance("sim.step", params, lambda where: Goal.of_step(params, where.position), if_sequence)

    def run_until(self, until_ns: int | None = None, *, if_sequence: int | None = None) -> Plan[Stepped]:
        """Advance to an instant of virtual time, or to the end."""
        params = RunUntilParams(session=self.name, **given(until_ns=until_ns))
        return self._advance("sim.run_until", params, lambda _where: Goal(until_ns=until_ns), if_sequence)

    def run(self, on_progress: Callable[[Stats], None] | None = None, *, poll_s: float = POLL_S) -> Plan[Result]:
        """Run it to its end in the background and return the result; one that has ended has it already.

        Args:
            on_progress: told of its numbers while it runs.
            poll_s: how often, in wall-clock time.

        Raises:
            ServiceError: it has failed, came to a quota, or another client has paused it.
        """
        where = yield from self.look()
        if where.state is State.PAUSED:
            where = yield from self.start()
        while True:
            stats = yield from self.stats()
            if on_progress is not None:
                on_progress(stats)
            if stats.state is not State.RUNNING:
                break
            yield Sleep(poll_s)
        if stats.state is State.PAUSED and stats.sequence > where.sequence:
            message = f"{self.name} was paused by another client after {stats.events} deliveries"
            raise ServiceError(ErrorCode.WRONG_STATE, message, {"state": stats.state})
        if stats.state is not State.ENDED:
            yield from self.run_until()  # cannot go on either, and says why
        return (yield from self.result())

    # --- changing ----------------------------------------------------------------------------------------------------

    def inject(self, injection: Injection, *, if_sequence: int | None = None) -> Plan[Where]:
        """Let something happen to the machine, now."""
        params = InjectParams(session=self.name, injection=injection, **given(if_sequence=if_sequence))
        return self._change("sim.inject", params)

    def set_bound(self, bounds: SetBound, *, if_sequence: int | None = None) -> Plan[Where]:
        """Change bounds; a key that is not given stays as it is, None lifts the bound."""
        params = SetBoundParams(session=self.name, bounds=bounds, **given(if_sequence=if_sequence))
        return self._change("sim.set_bound", params)

    def restore(self, checkpoint: str, *, if_sequence: int | None = None) -> Plan[Where]:
        """Go back to a checkpoint."""
        params = RestoreParams(session=self.name, checkpoint=checkpoint, **given(if_sequence=if_sequence))
        return self._change("sim.restore", params)

    def step_back(self, events: int = 1, *, if_sequence: int | None = None) -> Plan[Where]:
        """Go back by a number of deliveries."""
        params = StepBackParams(session=self.name, events=events, **given(if_sequence=if_sequence))
        return self._change("sim.step_back", params)

    def checkpoint(self, name: str | None = None) -> Plan[Checkpoint]:
        """Name the present position; without a name the service finds one."""
        resends = Resends("sim.checkpoint")
        params = CheckpointParams(session=self.name, **given(name=name))
        while True:
            try:
                return Checkpoint.model_validate((yield Ask("sim.checkpoint", params)))
            except LostError as lost:
                resends.count(lost)
            except ServiceError as error:
                if error.code is not ErrorCode.CONFLICT or name is None or not resends.made:
                    raise
                where = yield from self.look()
                return Checkpoint(session=self.name, checkpoint=name, position=where.position)

    def fork(
        self,
        *,
        checkpoint: str | None = None,
        events: int | None = None,
        policy: str | None = None,
        bounds: SetBound | None = None,
        name: str | None = None,
        key: str | None = None,
    ) -> Plan[SessionPlans]:
        """Make a session with the same past and other rules."""
        more = given(checkpoint=checkpoint, events=events, policy=policy, bounds=bounds, name=name)
        params = ForkParams(session=self.name, key=key or token_hex(16), **more)
        created = yield from read("sim.fork", params, Created)
        return SessionPlans(created.session, created, existing=created.existing)

    def delete(self) -> Plan[Deleted]:
        """Forget it."""
        resends = Resends("sim.delete")
        while True:
            try:
                return Deleted.model_validate((yield Ask("sim.delete", self._params)))
            except LostError as lost:
                resends.count(lost)
            except ServiceError as error:
                if error.code is not ErrorCode.UNKNOWN_SESSION or not resends.made:
                    raise
                return Deleted(session=self.name)

    # --- inside ------------------------------------------------------------------------------------------------------

    @property
    def _params(self) -> SessionParams:
        return SessionParams(session=self.name)

    def _note(self, where: Where) -> Where:
        """Keep the newest: answers to requests under way at once come in any order."""
        if self.where is None or where.sequence >= self.where.sequence:
            self.where = where
        return where

    def _standing(self) -> Plan[Where]:
        """Return where it stands, which is known unless it ran meanwhile."""
        if self.where is None or self.where.state is State.RUNNING:
            return (yield from self.look())
        return self.where

    def _standstill(self) -> Plan[Where]:
        """Return where it stands, after a step whose connection was lost: perhaps that is still under way."""
        where = yield from self.look()
        while where.state is State.RUNNING:
            where = yield from self.pause()
        return where

    @contextmanager
    def _changing(self) -> Iterator[Callable[[], bool]]:
        """Count the changes under way; yield what tells whether this one has been alone all the time."""
        began_alone, met = not self._changes, self._encounters + 1
        self._changes += 1
        self._encounters += 1
        try:
            yield lambda: began_alone and self._encounters == met
        finally:
            self._changes -= 1

    def _change(self, method: str, params: ChangingParams) -> Plan[Where]:
        """Ask for a change that must not be made twice."""
        with self._changing() as alone:
            resends = Resends(method)
            sequence = params.if_sequence
            if sequence is None:
                sequence = (self.where or (yield from self.look())).sequence
            while True:
                try:
                    answer = yield Ask(method, params.model_copy(update={"if_sequence": sequence}))
                    return self._note(Where.model_validate(answer))
                except LostError as lost:
                    resends.count(lost)
                except ServiceError as error:
                    if error.code is not ErrorCode.CONFLICT or "sequence" not in error.data:
                        raise
                    if resends.made and alone():
                        return (yield from self.look())  # it was carried out
                    if resends.made or params.if_sequence is not None:
                        raise
                    sequence = error.data["sequence"]  # refused, so nothing was done: another client was here

    def _advance(
        self, method: str, params: ChangingParams, goal_of: Callable[[Where], Goal], if_sequence: int | None
    ) -> Plan[Stepped]:
        """Ask for a step, and after a lost connection for the rest of it."""
        ended = False
        with self._changing():
            try:
                stepped = yield from self._to_goal(method, params, goal_of, if_sequence)
                ended = True
            finally:
                if not ended:
                    self.where = None  # whoever waited was cancelled, or it failed: it stands somewhere
        self._note(stepped)
        return stepped

    def _to_goal(
        self, method: str, params: ChangingParams, goal_of: Callable[[Where], Goal], if_sequence: int | None
    ) -> Plan[Stepped]:
        resends = Resends(method)
        where = yield from self._standing()
        goal = goal_of(where)
        sequence = where.sequence if if_sequence is None else if_sequence
        ask = Ask(method, params.model_copy(update={"if_sequence": sequence}))
        while True:
            try:
                return Stepped.model_validate((yield ask))
            except LostError as lost:
                resends.count(lost)
                where = yield from self._standstill()
                reason = goal.reached(where)
                if reason is not None:
                    return _stepped(where, reason)
                ask = goal.rest(where)
            except ServiceError as error:
                if error.code is not ErrorCode.CONFLICT or resends.made or if_sequence is not None:
                    raise
                where = yield from self.look()  # refused, so nothing was done: another client was here
                goal = goal_of(where)
                ask = Ask(method, params.model_copy(update={"if_sequence": where.sequence}))


def _stepped(where: Where, reason: Any) -> Stepped:
    kept = {key: getattr(where, key) for key in Where.model_fields}
    return Stepped(**kept, reason=reason)
