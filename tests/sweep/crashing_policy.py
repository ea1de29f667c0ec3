"""A user's policy with a bug in it, for the tests of how that is told."""

from kactors.fault_policy import FaultPolicy


class Crashes(FaultPolicy):
    name = "crashes"

    async def fault(self, cpu, address, *, write):
        raise KeyError("no such luck")
