"""A bar for many runs, on a terminal only."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from protocols.result import Result


class RunsBar:
    """``with RunsBar(9) as bar: run_all(scenarios, on_done=bar.done)``; silent when stderr is no terminal."""

    def __init__(self, runs: int) -> None:
        console = Console(stderr=True)
        columns = (
            TextColumn("runs"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
        )
        # Refreshed when a run ends, and not by a thread of rich's own.
        self._bar = Progress(
            *columns, console=console, transient=True, auto_refresh=False, disable=not sys.stderr.isatty()
        )
        self._task = self._bar.add_task("", total=runs)

    def __enter__(self) -> Self:
        self._bar.start()
        self._bar.refresh()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def done(self, place: int, result: Result) -> None:
        """Take note of one run."""
        del place
        self.advance(f"{result.policy} on {result.cpus} CPUs")

    def advance(self, what: str) -> None:
        """Take note that one more is done, and say what it was."""
        self._bar.update(self._task, advance=1, description=what)
        self._bar.refresh()
