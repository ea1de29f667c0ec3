"""Four families of errors. Each class says which of the others it is not."""

from __future__ import annotations


class KactorsError(Exception):
    """The base of everything that kactors raises on purpose."""


class UsageError(KactorsError):
    """The request was wrong (an unknown key, cpus=0): the user mends it. One line; exit code 2.

    Not a ModelError: no machine has run yet, so nothing about the model is in doubt.
    """


class ModelError(KactorsError):
    """An actor broke the rules of the engine: an undeclared or illegal message, a post into the past.

    Not a finding: a Violation or Deadlock is a *result* of a run (data, protocols.stop), never an exception.
    """


class IllegalMessage(ModelError):
    """An actor received a message that it does not handle in its present state (illegal is the default)."""


class ActorCrash(KactorsError):
    """An internal bug: an actor raised. Carries the actor, the message and the recent story; report it. Exit code 3.

    Attributes:
        actor: name of the actor that raised.
        message: text of the message that it was handling.
        story: the last deliveries, oldest first, one line each.
    """

    def __init__(self, actor: str, message: str, at_ns: int, story: tuple[str, ...]) -> None:
        self.actor, self.message, self.at_ns, self.story = actor, message, at_ns, story
        recent = "\n  ".join(story[-20:])
        super().__init__(f"{actor} crashed on {message} at {at_ns} ns; the last deliveries were\n  {recent}")
