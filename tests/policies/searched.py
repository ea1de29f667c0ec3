"""The whole space of a litmus scene under a policy: what is found there, if anything."""

from kactors import Scenario
from kactors.checker.search import Search, make_strategy
from kactors.checker.strategies.strategy import Budget
from kactors.checker.subject import Subject


def searched(scene, policy, **options):
    """Return the first finding's property, or "deadlock"; None: every interleaving was tried, and none is a finding."""
    scenario = Scenario(workload=scene, policy=policy, machine="small", policy_options=options)
    subject = Subject(scenario)
    search = Search(subject, make_strategy("exhaustive", subject, Budget(), 1)).run()
    if search.finding is None:
        assert search.strategy.complete
        return None
    stop, _ = search.finding
    return stop.property if stop.kind == "violation" else stop.kind
