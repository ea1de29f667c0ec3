"""Golden traces: a run's deliveries beside the test, and the first line in which a run differs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kactors.engine.errors import UsageError
from kactors.observers.trace_file import TraceFile
from kactors.pytest_plugin.driven import DrivenMachine
from kactors.pytest_plugin.failures import Failure

FOLDER: Final = "golden"
BEFORE, AFTER = 3, 3
"""Lines shown around the first that differs."""


def refused_under_ci(environment: Mapping[str, str]) -> bool:
    """Return whether this is a CI run, which must not rewrite what it is to check."""
    return environment.get("CI", "").lower() not in {"", "0", "false"}


class Golden:
    """Compares traces with files in ``golden/`` beside the test.

    Args:
        test_file: the test's file.
        test: its name, parameters included.
        update: write the files instead.

    Attributes:
        written: files that have been written.
    """

    def __init__(self, test_file: Path, test: str, *, update: bool) -> None:
        self._stem = test_file.parent / FOLDER / f"{test_file.stem}.{_in_a_path(test)}"
        self._update = update
        self.written: list[Path] = []

    def __call__(self, trace: str | DrivenMachine, name: str = "") -> None:
        """Compare a trace with its file.

        Args:
            trace: text, or a machine: all of its deliveries so far.
            name: tells several traces of one test apart.

        Raises:
            Failure: there is no file, or the trace differs from it.
        """
        text = trace.trace() if isinstance(trace, DrivenMachine) else trace
        if not isinstance(text, str):
            raise UsageError(f"golden() compares a trace (text) or a machine, not {type(trace).__name__}")
        path = self._stem.with_name(f"{self._stem.name}{f'.{_in_a_path(name)}' if name else ''}.txt")
        kept = path.read_text(encoding="utf-8") if path.exists() else None
        if kept == text:
            return
        if self._update:
            self._write(path, text)
        elif kept is None:
            raise Failure(f"there is no golden trace {path}; run pytest with --update-traces to write it")
        else:
            raise Failure(divergence(kept, text, path))

    def _write(self, path: Path, text: str) -> None:
        path.parent.mkdir(exist_ok=True)
        file = TraceFile(path)
        file.write(text)
        file.close()
        self.written.append(path)


def divergence(kept: str, text: str, path: Path) -> str:
    """Return the first line in which two traces differ, with those around it."""
    old, new = kept.splitlines(), text.splitlines()
    pairs = zip(old, new, strict=False)
    first = next((place for place, (one, other) in enumerate(pairs) if one != other), min(len(old), len(new)))
    head = f"the trace differs from {path} from line {first + 1} on ({len(old)} lines there, {len(new)} here):"
    before = [f"    {line}" for line in old[max(first - BEFORE, 0) : first]]
    there = [f"  - {line}" for line in old[first : first + AFTER]] or ["  - (its end)"]
    here = [f"  + {line}" for line in new[first : first + AFTER]] or ["  + (its end)"]
    return "\n".join([head, *before, *there, *here, "if it is meant to, run pytest with --update-traces"])


def _in_a_path(name: str) -> str:
    return re.sub(r"[^\w.=-]+", "_", name).strip("_.")
