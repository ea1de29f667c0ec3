"""One run among others: a session from its making to its result."""

from __future__ import annotations

from dataclasses import dataclass

from kactors.client.client_plans import ClientPlans
from kactors.client.plans import Plan
from protocols.result import Result
from protocols.scenario import Scenario


@dataclass(frozen=True)
class Job:
    """What to run.

    Attributes:
        scenario: what runs on what.
        key: the same client's session of that key is used if there is one, and run on from where it is.
        name: of the session; None: the service finds one.
    """

    scenario: Scenario
    key: str | None = None
    name: str | None = None

    def plan(self, client: ClientPlans) -> Plan[Result]:
        """Make the session, run it, return its result."""
        session = yield from client.create(self.scenario, key=self.key, name=self.name)
        return (yield from session.run())
