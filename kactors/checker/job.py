"""A search from its question to its report, in one process and in slices: the same as several processes come to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from weakref import ref

from kactors.checker.covered import Covered
from kactors.checker.pieces import WHOLE, Explorer, is_over, plan
from kactors.checker.search import Search, make_strategy, tell_search, telling
from kactors.checker.slices import Slices
from kactors.checker.smaller import seek_smallest
from kactors.checker.strategies.strategy import STEPS_MAX, Budget, Strategy
from kactors.checker.subject import Subject
from kactors.observers.properties import PROPERTIES, all_properties, load_property
from protocols.scenario import Scenario
from protocols.search import Searched


@dataclass(frozen=True)
class Job:
    """What is searched, and how: all that a process has to know.

    Attributes:
        scenario: what runs on what.
        properties: by which it is judged besides those that kactors has.
        strategy: its name.
        seed: of strategies that draw.
        steps_max: moves of one schedule.
        schedules_max: schedules; None: any number.
        until_s: instant of the monotonic clock, which all processes share, at which to stop; None: there is none.
        keep_going: look for all outcomes, also after a finding.
    """

    scenario: Scenario
    properties: tuple[str, ...] = ()
    strategy: str = "portfolio"
    seed: int = 1
    steps_max: int = STEPS_MAX
    schedules_max: int | None = None
    until_s: float | None = None
    keep_going: bool = False

    def subject(self, scenario: Scenario | None = None) -> Subject:
        """Return what is searched, with an empty memory; or another scenario, judged alike.

        Raises:
            UsageError: the scenario cannot be searched, or there is no such property.
        """
        names = [name for name in self.properties if name not in PROPERTIES]
        return Subject(
            self.scenario if scenario is None else scenario,
            properties=lambda: [*all_properties(), *map(load_property, names)],
        )

    def explorer(self, expired: Callable[[], bool], subject: Callable[[], Subject] | None = None) -> Explorer:
        """Return who explores pieces of it.

        Args:
            expired: asked now and then; true ends the search.
            subject: makes what is searched, where somebody wants to see it.
        """
        budget = Budget(steps=self.steps_max, expired=expired)
        return Explorer(subject or self.subject, budget, self.seed, self.keep_going)


@dataclass
class Watch:
    """What a search is asked and told now and then.

    Attributes:
        stopped: the user has had enough, or the time is up.
        show: is told what is covered.
    """

    stopped: Callable[[], bool] = lambda: False
    show: Callable[[Covered], None] = lambda _covered: None


class Searching:
    """A search in this process.

    Args:
        job: what is searched; its ``until_s`` is for whoever has a clock, and asks it in ``watch.stopped``.
        watch: asked whether to stop, told how far it is.
    """

    def __init__(self, job: Job, watch: Watch) -> None:
        self._job = job
        self._watch = watch
        self._total = Covered()
        self._explorer = job.explorer(watch.stopped, self._subject)
        self._strategy: Strategy | None = None
        self._subjects: list[ref[Subject]] = []

    def slices(self) -> Slices[Covered]:
        """Search in slices, and return what was covered.

        Raises:
            UsageError: the scenario cannot be searched.
        """
        return self._whole() if self._job.strategy in WHOLE else self._piece_by_piece()

    @property
    def frontier(self) -> int:
        """How many states are being explored: something below them is still to be tried."""
        return self._explorer.frontier if self._strategy is None else self._strategy.frontier

    def so_far(self) -> Covered:
        """Return schedules and steps so far, and the states that are held: those of walks are forgotten with them."""
        schedules, steps = self._explorer.under_way()
        if self._strategy is not None:
            schedules, steps = self._strategy.schedules, self._strategy.moves
        self._subjects = [subject for subject in self._subjects if subject() is not None]
        held = [subject for each in self._subjects if (subject := each()) is not None]
        return Covered(
            schedules=self._total.schedules + schedules,
            steps=self._total.steps + steps,
            states=sum(subject.space.states for subject in held),
        )

    def forget(self) -> Slices[None]:
        """Give back the memory that is still held, in slices; nothing can be searched any more."""
        for each in self._subjects:
            subject = each()
            if subject is not None:
                yield from subject.space.forget()

    def _subject(self) -> Subject:
        subject = self._job.subject()
        self._subjects.append(ref(subject))
        return subject

    def _whole(self) -> Slices[Covered]:
        job, subject = self._job, self._subject()

        def expired() -> bool:
            self._watch.show(self.so_far())
            return self._watch.stopped()

        budget = Budget(job.schedules_max, job.steps_max, expired)
        self._strategy = make_strategy(job.strategy, subject, budget, job.seed)
        search = Search(subject, self._strategy, job.seed)
        yield from search.slices(keep_going=job.keep_going)
        return search.covered()

    def _piece_by_piece(self) -> Slices[Covered]:
        job, total = self._job, self._total
        for piece in plan(job.strategy, job.schedules_max):
            total.add((yield from self._explorer.exploring(piece)))
            self._watch.show(total)
            if is_over(total, job.schedules_max, keep_going=job.keep_going):
                break
        return total


def told(job: Job, covered: Covered, *, shrunk: bool) -> Slices[Searched]:
    """Return what a search covered, and its finding with its story, in slices.

    Args:
        job: what was searched.
        covered: what came of it.
        shrunk: tell the finding by the shortest way, in the smallest scenario.
    """
    subject, found = job.subject(), None
    if covered.finding is not None:
        where = (subject, covered.finding)
        if shrunk:
            where = yield from seek_smallest(*where, subject_of=job.subject, seed=job.seed)
        found = yield from telling(where[0], *where[1], shrunk=shrunk)
        found = found.model_copy(update={"shrunk_from": len(covered.finding[1])})
        yield from where[0].space.forget()
    searched = tell_search(subject, covered, strategy=job.strategy, seed=job.seed, found=found)
    return searched.model_copy(update={"properties": job.properties})
