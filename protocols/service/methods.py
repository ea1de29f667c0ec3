"""Every method of the service: its name, what it takes and gives, and since which api level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from protocols.service import events, searches, server, sessions
from protocols.service.base import Nothing, Params, Reply
from protocols.service.events import ServerEvent, SimEvent


@dataclass(frozen=True)
class Method:
    """One method.

    Attributes:
        name: as on the wire.
        params: the model of its one parameter.
        result: the model of its result.
        summary: one line.
        since: api level.
    """

    name: str
    params: type[Params]
    result: type[Reply]
    summary: str
    since: int = 1


_METHODS = (
    Method("hello", server.HelloParams, server.Hello, "Say who you are, learn who the service is and what it allows."),
    Method("api.info", Nothing, server.ApiInfo, "Every method with its schemas, every error code, every notification."),
    Method("sim.create", sessions.CreateParams, sessions.Created, "Make a session from a scenario, paused at time 0."),
    Method("sim.start", sessions.StartParams, sessions.Where, "Let a session run in the background."),
    Method("sim.pause", sessions.SessionParams, sessions.Where, "Stop a running session where it is."),
    Method("sim.step", sessions.StepParams, sessions.Stepped, "Advance by deliveries, by time, or until a predicate."),
    Method("sim.run_until", sessions.RunUntilParams, sessions.Stepped, "Advance to an instant, or to the end."),
    Method("sim.inject", sessions.InjectParams, sessions.Where, "Let something happen to the machine, now."),
    Method("sim.set_bound", sessions.SetBoundParams, sessions.Where, "Change bounds from here on."),
    Method("sim.state", sessions.StateParams, sessions.ActorState, "Look at an actor; changes nothing."),
    Method("sim.stats", sessions.SessionParams, sessions.Stats, "A session's numbers, at once."),
    Method("sim.result", sessions.SessionParams, sessions.Outcome, "The result of a session that has ended."),
    Method("sim.subscribe", events.SubscribeParams, events.Subscribed, "Be told what happens in a session."),
    Method("sim.credit", events.CreditParams, events.Credit, "Allow a subscription more events."),
    Method("sim.unsubscribe", events.UnsubscribeParams, events.Credit, "End a subscription."),
    Method("sim.checkpoint", sessions.CheckpointParams, sessions.Checkpoint, "Name the present position."),
    Method("sim.restore", sessions.RestoreParams, sessions.Where, "Go back to a checkpoint."),
    Method("sim.fork", sessions.ForkParams, sessions.Created, "A new session with the same past and other rules."),
    Method("sim.step_back", sessions.StepBackParams, sessions.Where, "Go back by a number of deliveries."),
    Method("sim.list", sessions.ListParams, sessions.SessionList, "The sessions there are."),
    Method("sim.attach", sessions.AttachParams, sessions.Attached, "Take over a subscription after a reconnect."),
    Method("sim.delete", sessions.SessionParams, sessions.Deleted, "Forget a session."),
    Method("check.start", searches.CheckStartParams, searches.CheckStarted, "Search a scenario's interleavings.", 2),
    Method("check.cancel", searches.CheckParams, searches.CheckStats, "End a search with what it has covered.", 2),
    Method("check.stats", searches.CheckParams, searches.CheckStats, "A search's numbers, at once.", 2),
    Method("check.result", searches.CheckParams, searches.CheckOutcome, "The result of a search that has ended.", 2),
    Method("check.list", searches.CheckListParams, searches.CheckList, "The searches there are.", 2),
    Method("check.delete", searches.CheckParams, searches.CheckDeleted, "Forget a search; one that runs is ended.", 2),
    Method("server.stats", Nothing, server.ServerStats, "The service's own numbers."),
    Method("server.shutdown", server.ShutdownParams, server.Shutdown, "End the service; sessions are kept."),
)

METHODS: Mapping[str, Method] = {method.name: method for method in _METHODS}

NOTIFICATIONS: Mapping[str, type[Reply]] = {"sim.event": SimEvent, "server.event": ServerEvent}
"""What the service sends without being asked: each has one parameter."""
