"""What is searched: a scenario, with the Python objects that may stand in for parts of it, and who watches."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

from kactors.checker.bench import Bench
from kactors.checker.dependence import Dependence
from kactors.checker.origin import Origin, set_up
from kactors.checker.registers import Outcome
from kactors.checker.rerun import Rerun, rerun
from kactors.checker.space import Move, Space
from kactors.engine.observer import Observer
from kactors.fault_policy import FaultPolicy
from kactors.observers.properties import all_properties
from kactors.workloads import Workload
from protocols.scenario import Scenario
from protocols.search import Registers


@dataclass
class Subject:
    """One scenario under search.

    Attributes:
        scenario: what runs on what; its times mean nothing here.
        workload: replaces the scenario's.
        policy: replaces the scenario's.
        properties: makes the observers that judge; by default all that kactors has.
        space: what can happen.
        dependence: what may change places.
        workers: how many threads run.
        cpus: on how many CPUs.

    Raises:
        UsageError: the scenario cannot be searched.
    """

    scenario: Scenario
    workload: Workload | None = None
    policy: FaultPolicy | None = None
    properties: Callable[[], list[Observer]] = all_properties
    space: Space = field(init=False)
    dependence: Dependence = field(init=False)
    workers: int = field(init=False)
    cpus: int = field(init=False)

    def __post_init__(self) -> None:
        origin = self.set_up(Bench())
        # A user's file is another class each time that it is loaded: this machine's actors are to be of one.
        self.policy = self.policy or copy.deepcopy(origin.system.policy)
        self.workers, self.cpus = origin.system.workers, len(origin.system.cpus)
        self.space = Space(origin)
        clients = [actor for actor in range(len(self.space.first.nodes)) if self.space.is_client(actor)]
        self.dependence = Dependence(self.space.automata.vocabulary, clients, origin.observers)

    def set_up(self, bench: Bench) -> Origin:
        """Make the scenario's machine on a bench."""
        observers = (Outcome(), *self.properties())
        workload = copy.copy(self.workload)
        return set_up(self.scenario, observers, workload=workload, policy=copy.copy(self.policy), bench=bench)

    def rerun(self, moves: tuple[Move, ...]) -> Rerun:
        """Run a schedule by the real actors."""
        return rerun(self.space, moves, self.set_up)

    def outcome(self, watched: int) -> Registers:
        """Return what the threads saw on the way to a state of the observers."""
        for observer in self.space.watch.observers(watched):
            if isinstance(observer, Outcome):
                return observer.outcome()
        raise AssertionError("nobody kept the outcome")
