"""What ``make run`` does: a real recording of ebizzy under three fault policies on three sizes of machine.

It starts a service, is one of its clients, and serves on when the table is printed. Ctrl-C before the table: 130; after
it: the table's exit code.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from kactors.client import BlockingClient, Job, connect
from kactors.client.dial import CONNECT_VARIABLE
from kactors.client.embedded import embedded_service
from kactors.engine.errors import UsageError
from kactors.report.exits import FINDING, USAGE, complain, exit_codes
from kactors.report.finding import finding
from kactors.report.main_table import conclusions, main_table
from kactors.report.units import duration
from kactors.rpc.address import Address
from kactors.sweep import RunsBar
from protocols.result import Result
from protocols.scenario import Scenario
from protocols.service.sessions import State

RECORDING = Path("recordings") / "ebizzy-mTRp-t4.perf.txt.xz"
POLICIES = ("classic", "spf-v9", "per-vma-6.15")
FOLDER = Path(".kactors")
"""Of the service's socket, store and log, in the folder that ``make run`` is called in."""
CLIENT = "mainjob"
"""Our name at the service: the sessions under it are ours to delete."""
ONCE_VARIABLE = "KACTORS_ONCE"


@dataclass(frozen=True)
class Size:
    """A machine, its threads (two a CPU, as ebizzy does) and the window of virtual time that is simulated."""

    machine: str
    threads: int
    window_ns: int


SIZES = (Size("zen4-vm-2", 4, 20_000_000), Size("x86-vm-16", 32, 40_000_000), Size("x86-80", 160, 20_000_000))
"""Windows such that each run takes a second or two, and that no policy reaches the end of the recording in one."""


def main(words: Sequence[str] = ()) -> int:
    """Run, print, serve on until Ctrl-C, and return the exit code: 0, or as the command line's.

    Args:
        words: of the command line: nothing, or ``--once`` to end after the table, as $KACTORS_ONCE=1 says too.
    """
    # Whoever asks us to end means the service as well.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with exit_codes():
            return _main(_is_once(words))
    finally:
        signal.signal(signal.SIGTERM, before)


def find_recording() -> Path | None:
    """Return where the recording lies, beside the package or here; None: nowhere."""
    folders = (Path(__file__).resolve().parents[1], Path.cwd())
    return next((folder / RECORDING for folder in folders if (folder / RECORDING).is_file()), None)


def scenarios(recording: Path) -> list[Scenario]:
    """Return the runs in the order of the table."""
    return [
        Scenario(
            workload="recording",
            options={"file": str(recording)},
            policy=policy,
            machine=size.machine,
            threads=size.threads,
            until_ns=size.window_ns,
        )
        for size in SIZES
        for policy in POLICIES
    ]


def _is_once(words: Sequence[str]) -> bool:
    if words not in ([], (), ["--once"]):
        raise UsageError(f"{' '.join(words)}: the main job knows one argument, --once")
    return bool(words) or os.environ.get(ONCE_VARIABLE, "0") not in ("", "0")


def _main(once: bool) -> int:
    recording = find_recording()
    if recording is None:
        return complain(f"there is no {RECORDING} beside the package or here; run this in a checkout", USAGE)
    print(f"replaying {RECORDING}: {', '.join(POLICIES)} on {', '.join(size.machine for size in SIZES)}", flush=True)
    if os.environ.get(CONNECT_VARIABLE):
        with connect(client=CLIENT) as client:
            return _job(client, recording)
    with embedded_service(FOLDER) as service:
        with service.open(CLIENT) as client:
            code = _job(client, recording)
        if service.process is None:
            return code  # another main job serves here, and goes on
        if not once:
            _serve_on(service.address, service.process)
    return code


def _job(client: BlockingClient, recording: Path) -> int:
    """Run the scenarios as sessions of the service, those that are not in its store; print what came out."""
    todo = scenarios(recording)
    names = [_name(scenario, recording, client.service.fingerprint) for scenario in todo]
    stored = _tidy(client, set(names))
    jobs = [Job(scenario, key=name, name=name) for scenario, name in zip(todo, names, strict=True)]
    with RunsBar(len(todo)) as bar:
        results = client.run_together(jobs, bar.done)
    print("\n".join(_text(results)), flush=True)
    if stored:
        print(f"({stored} of the {len(todo)} runs were in the store: equal builds give equal runs)", flush=True)
    return FINDING if any(result.stop.finding for result in results) else 0


def _name(scenario: Scenario, recording: Path, build: str) -> str:
    """Return the name of a run's session: the same for what gives the same result, and for nothing else."""
    digest = hashlib.blake2b(scenario.model_dump_json().encode(), digest_size=6)
    digest.update(build.encode() + recording.read_bytes())
    return f"main-{digest.hexdigest()}"


def _tidy(client: BlockingClient, names: Set[str]) -> int:
    """Delete the sessions of other builds' main jobs, and failed ones; return how many of ours have ended."""
    mine = [info for info in client.list() if info.client == client.service.client]
    for info in mine:
        if info.session not in names or info.state is State.FAILED:
            client.session(info.session).delete()
    return sum(info.session in names and info.state is State.ENDED for info in mine)


def _serve_on(address: Address, process: subprocess.Popen[bytes]) -> None:
    """Leave the service to its clients until Ctrl-C, or until one of them ends it."""
    print(f"\nserving at {address} until Ctrl-C; talk to it with: kactors top --connect {address}", flush=True)
    try:
        process.wait()
    except KeyboardInterrupt:
        return  # what was asked for is done


def _text(results: list[Result]) -> list[str]:
    windows = ", ".join(f"{duration(size.window_ns)} on {size.machine} ({size.threads} threads)" for size in SIZES)
    lines = [f"the first {windows} of virtual time, seed {results[0].scenario.seed}", "", *main_table(results), ""]
    lines += conclusions(results)
    for result in results:
        found = finding(result.stop, result.virtual_ns)
        lines += ["", f"{result.policy} on {result.cpus} CPUs:", *found] if found else []
    return lines


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
