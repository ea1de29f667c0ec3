"""A session brought back: its scenario from time 0, its commands each where it was given, and on to where it stood."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from kactors.engine.errors import UsageError
from kactors.engine.observer import Observer
from kactors.live.machine import NO_QUOTA, LiveMachine, Pause, Quota
from protocols.scenario import Scenario
from protocols.service.commands import Entry, Position


class ReplayDiffers(UsageError):
    """The machine did not come where the log says: another version, policy file, quota, or a damaged log.

    Not a crash: the machine itself is sound, but it is not the one that the log was written for.
    """


class Replay:
    """A machine on its way to a position, in slices, so that the caller can do other work in between.

    Args:
        scenario: what runs on what.
        log: the commands, in the order in which they were given.
        target: where to go.
        limits: as the machine had when the log was written.
        properties: as then.
        observers: more observers.

    Attributes:
        machine: where it is now.
        done: it stands at the target.

    Raises:
        UsageError: the scenario names something that does not exist, or is larger than the quota.
        ReplayDiffers: the log goes backwards or beyond the target.
    """

    def __init__(
        self,
        scenario: Scenario,
        log: Sequence[Entry],
        target: Position,
        limits: Quota = NO_QUOTA,
        *,
        properties: bool = True,
        observers: Sequence[Observer] = (),
    ) -> None:
        stations = [*(entry.at for entry in log), target]
        if any(_place(one) > _place(other) for one, other in pairwise(stations)):
            raise ReplayDiffers("the log's positions do not ascend to the target")
        self._log = tuple(log)
        self._target = target
        self._applied = 0
        self.done = False
        self.machine = LiveMachine(scenario, limits=limits, properties=properties, observers=observers)

    def advance(self, events_max: int) -> bool:
        """Go on, by at most ``events_max`` deliveries; return whether it has arrived.

        Raises:
            ReplayDiffers: it came somewhere else than the log says.
            ActorCrash: an actor raised: an internal bug.
        """
        left = events_max
        while not self.done:
            to = self._log[self._applied].at if self._applied < len(self._log) else self._target
            before = self.machine.stats().events
            if not self._walk(to, left):
                return False
            left -= self.machine.stats().events - before
            self._check(to)
            self._arrived()
        return True

    def _walk(self, to: Position, events_max: int) -> bool:
        """Go towards a position: its deliveries first, then its time, in which there is no more delivery."""
        machine = self.machine
        pause = machine.advance(events_max=events_max, until_events=to.events)
        if pause is Pause.EVENTS and machine.stats().now_ns < to.now_ns:
            # One delivery more than there should be shows that it differs.
            pause = machine.advance(events_max=1, until_ns=to.now_ns, until_events=to.events + 1)
        return pause is not Pause.BUDGET

    def _check(self, to: Position) -> None:
        here = self.machine.position()
        if here != to:
            last = f"after {self._applied} of {len(self._log)} commands"
            raise ReplayDiffers(
                f"{last} the replay is at delivery {here.events}, {here.now_ns} ns, fingerprint {here.fingerprint}; "
                f"the log has delivery {to.events}, {to.now_ns} ns, fingerprint {to.fingerprint}"
            )

    def _arrived(self) -> None:
        if self._applied == len(self._log):
            self.done = True
            return
        try:
            self.machine.apply(self._log[self._applied].command)
        except UsageError as error:
            raise ReplayDiffers(
                f"command {self._applied + 1} of {len(self._log)} cannot be repeated: {error}"
            ) from error
        self._applied += 1


def _place(position: Position) -> tuple[int, int]:
    return position.events, position.now_ns
