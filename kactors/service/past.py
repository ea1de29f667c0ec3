"""Going back and branching off: checkpoints, restore, step_back, fork. All of it is replay of a shorter log."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from kactors.service.home import Home
from kactors.service.seat import History
from kactors.service.simulation import STOP, Simulation
from kactors.service.store import AddCheckpoint, CheckpointRecord, SessionRecord, TruncateLog
from protocols.service import sessions
from protocols.service.commands import Command, Entry, Position, SetPolicy
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.sessions import State
from protocols.stop import AnyStop


async def checkpoint(simulation: Simulation, name: str | None, checkpoints_max: int) -> sessions.Checkpoint:
    """Name where a session stands, or, while it runs, where it is just now."""
    async with simulation.changing:
        record = simulation.record
        name = name or _free_name(record)
        if name in record.checkpoints:
            raise ServiceError(ErrorCode.CONFLICT, f"{record.session} has a checkpoint {name}; choose another name")
        if len(record.checkpoints) >= checkpoints_max:
            limit = {"limit": "checkpoints_per_session_max", "value": checkpoints_max}
            raise ServiceError(ErrorCode.QUOTA, f"{record.session} has {checkpoints_max} checkpoints", limit)
        position = await _position(simulation)
        made = CheckpointRecord(position, len(record.log))
        checkpoints = record.checkpoints | {name: made}
        await simulation.commit(AddCheckpoint(record.session, name, made), checkpoints=checkpoints)
    return sessions.Checkpoint(session=record.session, checkpoint=name, position=position)


async def restore(simulation: Simulation, params: sessions.RestoreParams) -> sessions.Where:
    """Go back to a checkpoint."""
    simulation.expect(params.if_sequence)
    _need_standing(simulation)
    async with simulation.changing:
        made = _checkpoint(simulation.record, params.checkpoint)
        log = simulation.record.log[: made.log_length]
        await simulation.seat.reopen(History(simulation.record.scenario, log, made.position))
        await _go_back(simulation, log, made.position)
    return simulation.where()


async def step_back(simulation: Simulation, params: sessions.StepBackParams) -> sessions.Where:
    """Go back by a number of deliveries; what was commanded at the very point to which it goes stays done."""
    simulation.expect(params.if_sequence)
    _need_standing(simulation)
    async with simulation.changing:
        record = simulation.record
        events = record.position.events - params.events
        if events < 0:
            message = f"{record.session} is {record.position.events} deliveries old, and cannot go back {params.events}"
            raise ServiceError(ErrorCode.INVALID_PARAMS, message)
        log = _log_until(record.log, events)
        position = await _walk(simulation, record, log, events)
        await _go_back(simulation, log, position)
    return simulation.where()


async def fork(parent: Simulation, params: sessions.ForkParams, name: str, client: str, home: Home) -> Simulation:
    """Make a session with the same past, carried to the point of the fork, with the changes made; not yet stored.

    Raises:
        ServiceError: there is no such checkpoint or point, or a change cannot be made.
    """
    async with parent.changing:
        record = parent.record
        if record.error is not None and record.error[0] == ErrorCode.REPLAY_DIFFERS:
            parent.need_going()
        now = await _position(parent)
    if params.checkpoint is not None:
        made = _checkpoint(record, params.checkpoint)
        log, target = record.log[: made.log_length], made.position
    elif params.events is not None:
        if params.events > now.events:
            message = f"{record.session} is {now.events} deliveries old; a fork at {params.events} has no past yet"
            raise ServiceError(ErrorCode.INVALID_PARAMS, message)
        log, target = _log_until(record.log, params.events), None
    else:
        log, target = record.log, now
    child = Simulation(_child(record, name, client, log, target, params), home)
    try:
        if target is None and params.events is not None:
            position = await _walk(child, child.record, log, params.events)
            child.record = dataclasses.replace(child.record, position=position)
        for command in _changes(params):
            applied = await child.seat.order("apply", command=command.model_dump(mode="json", exclude_unset=True))
            entry = Entry(at=Position.model_validate(applied["at"]), command=command)
            child.record = dataclasses.replace(child.record, log=(*child.record.log, entry), position=entry.at)
        standing = await child.seat.order("position")
        stop = standing["stop"]
        state = State.PAUSED if stop is None else State.ENDED
        child.record = dataclasses.replace(child.record, state=state, stop=_stop(stop))
    except BaseException:
        child.seat.forget()
        raise
    return child


def _child(
    record: SessionRecord,
    name: str,
    client: str,
    log: tuple[Entry, ...],
    target: Position | None,
    params: sessions.ForkParams,
) -> SessionRecord:
    return dataclasses.replace(
        record,
        session=name,
        client=client,
        key=params.key,
        request=params.model_dump(mode="json", exclude_unset=True) if params.key else None,
        created_at=time.time(),
        state=State.PAUSED,
        sequence=0,
        position=target or Position(events=0, now_ns=0, fingerprint=""),
        goal_ns=None,
        goal_events=None,
        stop=None,
        error=None,
        wall_ns=0,
        forked_from=record.session,
        log=log,
        checkpoints={},
        has_result=False,
    )


def _changes(params: sessions.ForkParams) -> list[Command]:
    """Return what is to be different, as commands."""
    commands: list[Command] = []
    if params.policy is not None:
        commands.append(SetPolicy(policy=params.policy))
    if params.bounds is not None:
        commands.append(params.bounds)
    return commands


async def _walk(simulation: Simulation, record: SessionRecord, log: tuple[Entry, ...], events: int) -> Position:
    """Bring a session's machine to a number of deliveries; return where that is."""
    standing = await simulation.seat.reopen(History(record.scenario, log, None, events))
    position = Position.model_validate(standing["position"])
    if position.events != events:
        message = f"{record.session} stops after {position.events} deliveries, before {events}"
        raise ServiceError(ErrorCode.REPLAY_DIFFERS, message)
    return position


async def _go_back(simulation: Simulation, log: tuple[Entry, ...], position: Position) -> None:
    """Write down that what came after is forgotten."""
    record = simulation.record
    checkpoints = {name: made for name, made in record.checkpoints.items() if made.log_length <= len(log)}
    await simulation.commit(
        TruncateLog(record.session, len(log)),
        sequence=record.sequence + 1,
        position=position,
        state=State.PAUSED,
        stop=None,
        error=None,
        log=log,
        checkpoints=checkpoints,
    )
    simulation.events, simulation.now_ns = position.events, position.now_ns


async def _position(simulation: Simulation) -> Position:
    if simulation.activity is None:
        return simulation.record.position
    standing: dict[str, Any] = await simulation.seat.order("position")
    return Position.model_validate(standing["position"])


def _need_standing(simulation: Simulation) -> None:
    if simulation.activity is not None:
        message = f"{simulation.name} is running; sim.pause it first"
        raise ServiceError(ErrorCode.WRONG_STATE, message, {"state": State.RUNNING})


def _checkpoint(record: SessionRecord, name: str) -> CheckpointRecord:
    made = record.checkpoints.get(name)
    if made is None:
        there = ", ".join(record.checkpoints) or "none"
        data = {"checkpoints": list(record.checkpoints)}
        message = f"{record.session} has no checkpoint {name}; there are: {there}"
        raise ServiceError(ErrorCode.UNKNOWN_CHECKPOINT, message, data)
    return made


def _free_name(record: SessionRecord) -> str:
    number = len(record.checkpoints) + 1
    while f"c{number}" in record.checkpoints:
        number += 1
    return f"c{number}"


def _log_until(log: tuple[Entry, ...], events: int) -> tuple[Entry, ...]:
    return tuple(entry for entry in log if entry.at.events <= events)


def _stop(stop: dict[str, Any] | None) -> AnyStop | None:
    return None if stop is None else STOP.validate_python(stop)
