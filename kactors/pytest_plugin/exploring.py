"""A test's scenario over its interleavings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final

import trio

from kactors.checker.registers import Outcome
from kactors.checker.schedules import read_schedule
from kactors.checker.search import Search, make_strategy, tell_finding, tell_schedule
from kactors.checker.strategies.strategy import STEPS_MAX, Budget
from kactors.checker.subject import Subject
from kactors.engine.errors import UsageError
from kactors.engine.observer import Observer
from kactors.observers.properties import all_properties
from kactors.pytest_plugin.failures import Failure, SearchFailure, Section
from kactors.pytest_plugin.finding_text import finding_text, in_a_line
from kactors.pytest_plugin.scenes import describe
from protocols.search import Found, Registers, Searched
from protocols.stop import AnyStop, Violation

SCHEDULES_MAX: Final = 20_000
"""Some seconds: a test that wants more says so."""
SCHEDULES_BETWEEN_CHECKPOINTS: Final = 16

EndCheck = Callable[[Mapping[str, str]], object]


def outcome(**registers: object) -> Registers:
    """Return an outcome as ``Explored.outcomes`` has it: what each register held at the end, as text."""
    return tuple(sorted((name, str(value)) for name, value in registers.items()))


@dataclass(frozen=True)
class Explored:
    """A search that found nothing wrong.

    Attributes:
        searched: all figures.
        outcomes: every outcome that was seen.
    """

    searched: Searched
    outcomes: frozenset[Registers]

    @property
    def complete(self) -> bool:
        """Every interleaving was covered."""
        return self.searched.complete

    @property
    def schedules(self) -> int:
        """How many were run."""
        return self.searched.schedules


class AtEnd(Outcome):
    """A test's own check of each end, as a property: so that a finding of it is shrunk and told as any other.

    Attributes:
        check: told the registers; raises AssertionError where they are wrong. In a class and not in the instance,
            because the state of a property is searched, and a check has none.
    """

    name: ClassVar[str] = "at_end"
    check: ClassVar[EndCheck]

    @classmethod
    def of(cls, check: EndCheck) -> type[AtEnd]:
        """Return the property of a check."""
        return type(cls.__name__, (cls,), {"check": staticmethod(check)})

    def finish(self, at_ns: int) -> Violation | None:
        """Judge an end."""
        del at_ns
        try:
            type(self).check(dict(self.outcome()))
        except AssertionError as error:
            seen = ", ".join(f"{name}={value}" for name, value in self.outcome()) or "no registers"
            # pytest explains an assertion in further lines: the registers say the same in one.
            failed = str(error).partition("\n")[0] or "the check failed"
            return Violation(property=self.name, text=f"{failed} (at an end with {seen})")
        return None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a test wants to be searched: what its mark says.

    Attributes:
        strategy: its name.
        max_schedules: give up after so many.
        max_steps: give a schedule up after so many deliveries.
        seed: of strategies that draw.
    """

    strategy: str = "portfolio"
    max_schedules: int = SCHEDULES_MAX
    max_steps: int = STEPS_MAX
    seed: int = 1

    def budget(self) -> Budget:
        """Return it as a strategy wants it."""
        return Budget(schedules=self.max_schedules, steps=self.max_steps)


class Explorer:
    """Explores what a test describes; made anew for each test.

    Args:
        plan: from the test's mark.
        defaults: fields of scenarios, from the mark.
        replay: a schedule to run before its scenario is searched.
        command: the words that run this test again, to which a schedule is appended.
        drawn: its programs are drawn by Hypothesis, and differ from run to run.

    Attributes:
        replayed: the schedule was one of a scenario that was described.
    """

    def __init__(
        self, plan: Plan, defaults: Mapping[str, Any], *, replay: str | None, command: str, drawn: bool
    ) -> None:
        self._plan = plan
        self._defaults = defaults
        self._replay = replay
        self._command = command
        self._drawn = drawn
        self.replayed = False

    def __call__(self, *given: Any, at_end: EndCheck | None = None, **described: Any) -> Explored:
        """Search; see ``kactors.pytest_plugin.scenes.describe`` for what a scenario is described by.

        Args:
            given: a scenario or a file of one.
            at_end: a check of each end: told the registers, raises AssertionError.
            described: keyword arguments.

        Raises:
            SearchFailure: an interleaving deadlocks, breaks a property or fails the check.
            UsageError: naming what is wrong in the description.
        """
        search = self._begin(given, at_end, described)
        self._replay_in(search.subject)
        return self._told(search.run())

    async def cancellable(self, *given: Any, at_end: EndCheck | None = None, **described: Any) -> Explored:
        """Search as a call does, with a Trio checkpoint every few schedules: it can be cancelled and times out."""
        await trio.lowlevel.checkpoint()
        search = self._begin(given, at_end, described)
        self._replay_in(search.subject)
        for number, _ in enumerate(search.steps()):
            if number % SCHEDULES_BETWEEN_CHECKPOINTS == 0:
                await trio.lowlevel.checkpoint()
        return self._told(search)

    def _begin(self, given: Sequence[Any], at_end: EndCheck | None, described: Mapping[str, Any]) -> Search:
        what = describe(*given, **{**self._defaults, **described})
        own = None if at_end is None else AtEnd.of(at_end)
        properties = partial(_properties, own)
        subject = Subject(what.scenario, what.workload, what.policy, properties)
        plan = self._plan
        return Search(subject, make_strategy(plan.strategy, subject, plan.budget(), plan.seed), plan.seed)

    def _told(self, search: Search) -> Explored:
        if search.finding is not None:
            stop, moves = search.finding
            raise self._failure(search.subject, stop, partial(tell_finding, search.subject, stop, moves))
        return Explored(search.searched(), frozenset(search.outcomes))

    def _failure(self, subject: Subject, stop: AnyStop, find: Callable[[], Found]) -> SearchFailure:
        return SearchFailure(in_a_line(stop, subject.scenario.policy), stop, find, self._sections)

    def _sections(self, found: Found) -> tuple[Section, ...]:
        again = f"{self._command} --replay-schedule '{found.schedule}'"
        if self._drawn:
            again = "Hypothesis drew the program: write it into a test of its own, which then tells how to replay this"
        return ("kactors finding", finding_text(found)), ("kactors replay", again)

    # --- a schedule before a search ----------------------------------------------------------------------------------

    def _replay_in(self, subject: Subject) -> None:
        """Run the schedule to replay if it is one of this scenario; a test may explore several."""
        try:
            moves = read_schedule(subject.scenario, self._replay) if self._replay is not None else None
        except UsageError:
            moves = None
        if moves is None:
            return
        self.replayed = True
        try:
            found = tell_schedule(subject, moves)
        except (KeyError, IndexError):
            raise Failure("the schedule does not fit: program or policy have changed since it was found") from None
        if found.stop.finding:
            raise self._failure(subject, found.stop, lambda: found)


def _properties(own: type[AtEnd] | None) -> list[Observer]:
    return all_properties() if own is None else [*all_properties(), own()]
