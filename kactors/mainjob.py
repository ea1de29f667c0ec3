"""What ``make run`` does: a real recording of ebizzy under three fault policies on three sizes of machine."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from kactors.report.exits import FINDING, USAGE, complain, exit_codes
from kactors.report.finding import finding
from kactors.report.main_table import conclusions, main_table
from kactors.report.units import duration
from kactors.sweep import RunsBar, run_all
from protocols.result import Result
from protocols.scenario import Scenario

RECORDING = Path("recordings") / "ebizzy-mTRp-t4.perf.txt.xz"
POLICIES = ("classic", "spf-v9", "per-vma")


@dataclass(frozen=True)
class Size:
    """A machine, its threads (two a CPU, as ebizzy does) and the window of virtual time that is simulated."""

    machine: str
    threads: int
    window_ns: int


SIZES = (Size("zen4-vm-2", 4, 20_000_000), Size("x86-vm-16", 32, 40_000_000), Size("x86-80", 160, 20_000_000))
"""Windows such that each run takes a second or two, and that no policy reaches the end of the recording in one."""


def main() -> int:
    """Run, print, and return the exit code: 0, or as the command line's."""
    with exit_codes():
        return _main()


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


def _main() -> int:
    recording = find_recording()
    if recording is None:
        return complain(f"there is no {RECORDING} beside the package or here; run this in a checkout", USAGE)
    print(f"replaying {RECORDING}: {', '.join(POLICIES)} on {', '.join(size.machine for size in SIZES)}", flush=True)
    todo = scenarios(recording)
    with RunsBar(len(todo)) as bar:
        results = run_all(todo, on_done=bar.done)
    print("\n".join(_text(results)), flush=True)
    return FINDING if any(result.stop.finding for result in results) else 0


def _text(results: list[Result]) -> list[str]:
    windows = ", ".join(f"{duration(size.window_ns)} on {size.machine} ({size.threads} threads)" for size in SIZES)
    lines = [f"the first {windows} of virtual time, seed {results[0].scenario.seed}", "", *main_table(results), ""]
    lines += conclusions(results)
    for result in results:
        found = finding(result.stop, result.virtual_ns)
        lines += ["", f"{result.policy} on {result.cpus} CPUs:", *found] if found else []
    return lines


if __name__ == "__main__":
    sys.exit(main())
