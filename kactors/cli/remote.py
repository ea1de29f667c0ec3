"""Commands that run in the service: the same scenario, the same report."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from kactors.cli.calling import Calling
from kactors.cli.progress import run_bar
from kactors.client import BlockingClient, Job, ServiceLostError
from kactors.engine.errors import UsageError
from kactors.sweep import RunsBar
from protocols.result import Result
from protocols.scenario import Scenario
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.sessions import Stats


def run_remote(calling: Calling, scenario: Scenario, *, keep: bool) -> Result:
    """Run one scenario in the service.

    Args:
        calling: which service.
        scenario: what runs on what.
        keep: leave the session there.
    """
    sent = with_absolute_files(scenario)
    with calling.open() as client, run_bar(scenario) as bar, _sessions(client, [sent], keep) as (job,):

        def show(stats: Stats) -> None:
            if bar is not None:
                bar.show(stats.now_ns, stats.events)

        session = client.create(job.scenario, name=job.name)
        result = session.run(show)
    return result.model_copy(update={"scenario": scenario})


def compare_remote(calling: Calling, scenarios: Sequence[Scenario], *, keep: bool) -> list[Result]:
    """Run scenarios in the service, all at once; return the results in their order."""
    sent = [with_absolute_files(scenario) for scenario in scenarios]
    with calling.open() as client, RunsBar(len(sent)) as bar, _sessions(client, sent, keep) as jobs:
        results = client.run_together(jobs, bar.done)
    pairs = zip(results, scenarios, strict=True)
    return [result.model_copy(update={"scenario": scenario}) for result, scenario in pairs]


def refuse_local_options(**options: object) -> None:
    """Refuse what only a run in this process can do.

    Args:
        options: by name, what was given; None or False: it was not.

    Raises:
        UsageError: naming the first one.
    """
    for name, value in options.items():
        if value:
            raise UsageError(f"--{name.replace('_', '-')} is for a run in this process, and not for --connect")


def need_same_build(calling: Calling, what: str) -> None:
    """Check that the service would give the same answer as this program, because it is the same program.

    Args:
        calling: which service.
        what: what is asked for.

    Raises:
        UsageError: it is another version.
    """
    from kactors.service.server import build_fingerprint

    with calling.open() as client:
        service, address = client.service, client.address
    if service.fingerprint != build_fingerprint():
        build = f"kactors {service.version}, build {service.fingerprint}"
        raise UsageError(f"{address} is another version ({build}) and has no method that tells its {what}")


def with_absolute_files(scenario: Scenario) -> Scenario:
    """Return the scenario as a service in another folder understands it."""
    changes: dict[str, object] = {}
    file = scenario.options.get("file")
    if isinstance(file, str):
        changes["options"] = {**scenario.options, "file": str(Path(file).absolute())}
    path, colon, name = scenario.policy.rpartition(":")
    if path.endswith(".py"):
        changes["policy"] = f"{Path(path).absolute()}{colon}{name}"
    if scenario.machine.endswith(".toml"):
        changes["machine"] = str(Path(scenario.machine).absolute())
    return scenario.model_copy(update=changes)


@contextmanager
def _sessions(client: BlockingClient, scenarios: Sequence[Scenario], keep: bool) -> Iterator[list[Job]]:
    """Yield jobs whose sessions are deleted afterwards, also after Ctrl-C, whether they were made by then or not."""
    jobs = [Job(scenario, name=f"{scenario.workload}-{token_hex(4)}") for scenario in scenarios]
    gone = False
    try:
        yield jobs
    except ServiceLostError:
        gone = True
        raise
    finally:
        for job in jobs:
            if keep:
                sys.stderr.write(f"kept: session {job.name} at {client.address}\n")
            elif not gone:
                _delete(client, str(job.name))


def _delete(client: BlockingClient, name: str) -> None:
    try:
        with suppress(ServiceLostError):
            client.session(name).delete()
    except ServiceError as error:
        if error.code is not ErrorCode.UNKNOWN_SESSION:
            raise
