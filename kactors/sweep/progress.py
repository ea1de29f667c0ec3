"""Bars on a terminal, and nowhere else; one for many runs."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn

from protocols.result import Result


class Bar:
    """One line on a terminal, for the length of a ``with`` block; silent when stderr is no terminal.

    Args:
        columns: what it shows.
        total: when it is complete; None: nobody knows.
        as_json: the answer is JSON: silent as well where that goes into a pipe, whose other end may write to this very
            terminal.
    """

    def __init__(self, *columns: ProgressColumn, total: float | None, as_json: bool = False) -> None:
        # Refreshed when there is something new, and not by a thread of rich's own.
        self.bar = Progress(
            *columns,
            console=Console(stderr=True),
            transient=True,
            auto_refresh=False,
            disable=not sys.stderr.isatty() or (as_json and not sys.stdout.isatty()),
        )
        self.task = self.bar.add_task("", total=total)

    def __enter__(self) -> Self:
        self.bar.start()
        self.bar.refresh()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def tell(self, **news: Any) -> None:
        """Show what is new: ``advance``, ``completed``, ``description``, as rich has them."""
        self.bar.update(self.task, **news)
        self.bar.refresh()


class RunsBar(Bar):
    """``with RunsBar(9) as bar: run_all(scenarios, on_done=bar.done)``."""

    def __init__(self, runs: int, *, as_json: bool = False) -> None:
        columns = (TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        super().__init__(*columns, TextColumn("{task.description}"), total=runs, as_json=as_json)

    def done(self, place: int, result: Result) -> None:
        """Take note of one run."""
        del place
        self.advance(f"{result.policy} on {result.cpus} CPUs")

    def advance(self, what: str) -> None:
        """Take note that one more is done, and say what it was."""
        self.tell(advance=1, description=what)
