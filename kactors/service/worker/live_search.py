"""One search of a worker: it computes in slices, as the simulations beside it do."""

from __future__ import annotations

import time

import trio

from kactors.checker.job import Job, Searching, Watch, told
from kactors.checker.slices import Slices
from kactors.service.worker import orders
from kactors.service.worker.failures import told_as_service_errors
from kactors.service.worker.live_session import PROGRESS_NS, SLICE_NS, Tell
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.searches import EndReason, SearchNumbers

OVER = object()


class SearchRun:
    """A search under way. ``error``: why there is no result."""

    def __init__(self) -> None:
        self.ended = trio.Event()
        self.error: ServiceError | None = None


class LiveSearch:
    """One search.

    Args:
        order: what is searched.
        tell: sends a notification to the service.

    Attributes:
        running: None: it has ended.
    """

    def __init__(self, order: orders.Search, tell: Tell) -> None:
        self.name = order.session
        self.running: SearchRun | None = SearchRun()
        self._order = order
        self._tell = tell
        self._job = job_of(order)
        self._search = Searching(self._job, Watch(self._stopped))
        self._work = self._working()
        self._reason: EndReason = "done"
        self._cancelled = False
        self._telling = False
        self._began_s = time.monotonic()
        self._wall_ns = 0
        self._told_at_ns = 0
        self._outcome: orders.SearchEnded | None = None

    def compute(self) -> None:
        """Search for about SLICE_NS; take note of its end, or of its grief."""
        running = self.running
        if running is None:
            return
        began_ns = time.perf_counter_ns()
        try:
            with told_as_service_errors(ErrorCode.BAD_SCENARIO):
                over = self._advance(began_ns + SLICE_NS)
        except ServiceError as error:
            running.error, over = error, True
        now_ns = time.perf_counter_ns()
        self._wall_ns += now_ns - began_ns
        if over:
            self._end()
        elif now_ns - self._told_at_ns >= PROGRESS_NS:
            self._told_at_ns = now_ns
            self._tell("searching", {"session": self.name, "numbers": self._numbers().model_dump(mode="json")})

    async def outcome(self, running: SearchRun) -> orders.SearchEnded:
        """Wait for its end, and return what came of it.

        Raises:
            ServiceError: nothing.
        """
        await running.ended.wait()
        if running.error is not None:
            raise running.error
        if self._outcome is None:
            raise ServiceError(ErrorCode.CANCELLED, f"{self.name} was deleted meanwhile")
        return self._outcome

    def cancel(self) -> None:
        """Let it end at its next look, with what it has covered; a story that is being told is told to its end."""
        self._cancelled = True

    def abandon(self) -> None:
        """Let it end without a result, as soon as its memory is given back."""
        if self.running is not None:
            self._work.close()
            self._work = self._search.forget()

    def is_near_its_goal(self) -> bool:
        """Return whether little is left to do, which nobody can tell of a search."""
        return False

    def _end(self) -> None:
        if self.running is not None:
            running, self.running = self.running, None
            running.ended.set()

    def _advance(self, until_ns: int) -> bool:
        while next(self._work, OVER) is not OVER:
            if time.perf_counter_ns() >= until_ns:
                return False
        return True

    def _working(self) -> Slices[None]:
        covered = yield from self._search.slices()
        numbers = self._numbers()
        if covered.complete or covered.finding is not None:
            self._reason = "done"
        self._telling = covered.finding is not None
        searched = yield from told(self._job, covered, shrunk=self._order.params.shrink)
        numbers = numbers.model_copy(
            update={"schedules": searched.schedules, "steps": searched.steps, "wall_s": self._wall_ns / 1e9}
        )
        yield from self._search.forget()
        self._outcome = orders.SearchEnded(
            reason=self._reason, numbers=numbers, searched=searched.model_dump(mode="json")
        )

    def _stopped(self) -> bool:
        """Return whether it is to end with what it has covered, and remember why."""
        seconds = self._order.params.seconds
        if self._cancelled:
            self._reason = "cancelled"
        elif seconds is not None and time.monotonic() - self._began_s >= seconds:
            self._reason = "time"
        elif self._wall_ns >= self._order.wall_ns_max:
            self._reason = "search_time_s_max"
        elif self._search.so_far().states >= self._order.states_max:
            self._reason = "search_states_max"
        else:
            return False
        return True

    def _numbers(self) -> SearchNumbers:
        so_far = self._search.so_far()
        return SearchNumbers(
            schedules=so_far.schedules,
            steps=so_far.steps,
            states=so_far.states,
            frontier=self._search.frontier,
            wall_s=self._wall_ns / 1e9,
            telling=self._telling,
        )


def job_of(order: orders.Search) -> Job:
    """Return what an order wants to be searched."""
    params = order.params
    return Job(
        scenario=params.scenario,
        properties=params.properties,
        strategy=params.strategy,
        seed=params.scenario.seed if params.seed is None else params.seed,
        steps_max=params.steps_max,
        schedules_max=params.schedules_max,
        keep_going=params.keep_going,
    )
