"""What a client holds of the service, whether it waits or awaits: what is known without asking stands here."""

from __future__ import annotations

from typing import Generic, TypeVar

from kactors.client.client_plans import ClientPlans
from kactors.client.feeds import Feed
from kactors.client.line import Line
from kactors.client.search_plans import SearchPlans
from kactors.client.session_plans import SessionPlans
from kactors.rpc.address import Address
from protocols.service.server import Hello
from protocols.service.sessions import Where

AnyLine = TypeVar("AnyLine", bound=Line)
Plans = TypeVar("Plans")
NamedPlans = TypeVar("NamedPlans", SessionPlans, SearchPlans)


class Handle(Generic[AnyLine, Plans]):
    """Something that has plans, and the line over which they are carried out."""

    def __init__(self, line: AnyLine, plans: Plans) -> None:
        self.line = line
        self.plans = plans


class NamedHandle(Handle[AnyLine, NamedPlans]):
    """One session, or one search."""

    @property
    def name(self) -> str:
        """Its name."""
        return self.plans.name

    @property
    def existing(self) -> bool:
        """Whether its key was known, so that it was not made anew."""
        return self.plans.existing


class SessionHandle(NamedHandle[AnyLine, SessionPlans]):
    """One session."""

    @property
    def where(self) -> Where | None:
        """Where it stood when it last said so."""
        return self.plans.where


class ServiceHandle(Handle[AnyLine, ClientPlans]):
    """A service."""

    @property
    def address(self) -> Address:
        """Where it is."""
        return self.line.hub.address

    @property
    def service(self) -> Hello:
        """What the service said of itself; another one may be there after a reconnect."""
        return self.line.hub.met_service()


class Subscription(Generic[AnyLine]):
    """The events of one subscription, in order."""

    def __init__(self, line: AnyLine, feed: Feed) -> None:
        self._line = line
        self._feed = feed

    @property
    def restarts(self) -> int:
        """How often the subscription had to begin anew; what happened in between is not told."""
        return self._feed.restarts
