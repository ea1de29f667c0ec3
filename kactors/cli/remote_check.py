"""`kactors check --connect`: the same search in the service, the same report."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from kactors.checker.covered import Covered
from kactors.checker.job import Job, Watch
from kactors.checker.schedules import retitled
from kactors.cli.calling import Calling
from kactors.cli.remote import with_absolute_files
from kactors.client import BlockingClient, BlockingSearch, ServiceLostError
from kactors.engine.errors import UsageError
from protocols.search import Found, Searched
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.searches import SEARCH_STEPS_MAX, CheckStartParams, CheckStats


def check_remote(calling: Calling, job: Job, seconds: float | None, watch: Watch, *, shrunk: bool) -> Searched:
    """Search in the service.

    Args:
        calling: which service.
        job: what is searched, and how.
        seconds: for how long; None: as long as it takes.
        watch: asked whether to stop, which ends the search with what it has covered; told how far it is.
        shrunk: tell the finding by its shortest schedule.
    """

    def show(stats: CheckStats) -> None:
        numbers = stats.numbers
        watch.show(Covered(schedules=numbers.schedules, steps=numbers.steps, states=numbers.states))

    _need_shorter(job)
    params = _params(job, seconds, shrunk=shrunk)
    with calling.open() as client, _search(client, params) as search:
        stats = search.wait(show, watch.stopped)
        searched = search.result()
    if stats.reason not in ("done", "time", "cancelled"):
        sys.stderr.write(f"kactors: the service ended the search at its limit {stats.reason}\n")
    return _as_asked(searched, job)


def _params(job: Job, seconds: float | None, *, shrunk: bool) -> CheckStartParams:
    return CheckStartParams.model_validate(
        {
            "scenario": with_absolute_files(job.scenario),
            "strategy": job.strategy,
            "seed": job.seed,
            "steps_max": job.steps_max,
            "schedules_max": job.schedules_max,
            "seconds": seconds,
            "keep_going": job.keep_going,
            "shrink": shrunk,
            "properties": _absolute(job.properties),
            "name": f"check-{token_hex(4)}",
        }
    )


def _need_shorter(job: Job) -> None:
    """Refuse schedules that are longer than a service makes them.

    Raises:
        UsageError: they are.
    """
    if job.steps_max > SEARCH_STEPS_MAX:
        raise UsageError(
            f"--max-steps {job.steps_max}: a service gives schedules up after {SEARCH_STEPS_MAX} deliveries"
        )


def _absolute(properties: Sequence[str]) -> tuple[str, ...]:
    """Return names of properties as a service in another folder understands them."""
    split = (name.rpartition(":") for name in properties)
    return tuple(f"{Path(path).absolute()}:{kind}" if path else kind for path, _, kind in split)


def _as_asked(searched: Searched, job: Job) -> Searched:
    """Return the report with the names of files as they were given here."""
    found = searched.found
    if found is not None:
        names = {"policy": job.scenario.policy, "machine": job.scenario.machine}
        scenario = found.scenario.model_copy(update=names)
        found = Found(**{**dict(found), "schedule": retitled(scenario, found.schedule), "scenario": scenario})
    return searched.model_copy(update={"scenario": job.scenario, "properties": job.properties, "found": found})


@contextmanager
def _search(client: BlockingClient, params: CheckStartParams) -> Iterator[BlockingSearch]:
    """Yield a search that is deleted afterwards, also after Ctrl-C, whether it was begun by then or not."""
    gone = False
    try:
        yield client.check(params)
    except ServiceLostError:
        gone = True
        raise
    finally:
        if not gone:
            _delete(client.search(str(params.name)))


def _delete(search: BlockingSearch) -> None:
    try:
        with suppress(ServiceLostError):
            search.delete()
    except ServiceError as error:
        if error.code is not ErrorCode.UNKNOWN_SEARCH:
            raise
