"""The text of `perf script`, line by line.

Two layouts, told apart line by line. `perf script --ns -F comm,pid,tid,cpu,time,event,trace` writes

    ebizzy 16786/16788 [000]  1172.648479022:  csd:csd_function_exit: func=flush_tlb_func, csd=(nil)

and `perf script` by itself, perhaps with a period (a number) before the event,

    ebizzy 16788 [000]  1172.648479:  csd:csd_function_exit: func=flush_tlb_func, csd=(nil)

Nine digits after the point are nanoseconds, six are microseconds; both become an exact int.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from os import PathLike, fspath

from kactors.recordings.errors import RecordingError, quoted
from kactors.recordings.text_blocks import text_blocks

UNREADABLE_PERCENT_MAX = 1
"""More unreadable lines than this share of the non-blank ones, and the file is not a recording."""

LAYOUT = "expected lines like 'comm pid/tid [cpu] seconds.nanoseconds: event: fields' of `perf script --ns`"

_NS_DIGITS = 9
_UNREADABLE_AT_ONCE = 10_000
"""After that many unreadable lines and not one event, the rest of the file is not read."""

# A comm has no marks around it and may hold anything, even a colon or a bracket. It is the shortest text that is
# followed by a whole header; the fixed widths (three digits of CPU, six or nine of time) make a header longer than the
# kernel's 15 characters of comm, so that no comm can contain one. 64: kworkers as /proc names them.
_EVENT_LINE = re.compile(
    r"[ \t]*((?:[^ \t].{0,63}?[ \t]+)??(?:-?[0-9]{1,10}/)?-?[0-9]{1,10})[ \t]+"
    r"\[([0-9]{3,6})\][ \t]+([0-9]{1,12})\.([0-9]{9}|[0-9]{6}):[ \t]+"
    r"(?:[0-9]{1,20}[ \t]+)?([A-Za-z_][^ \t]*):(?:[ \t]+(.*))?"
)
_TASK = re.compile(r"(?:([^ \t].*?)[ \t]+)??(?:(-?[0-9]+)/)?(-?[0-9]+)")
_CALLCHAIN_LINE = re.compile(r"[ \t]+(?:[0-9a-f]{1,16}(?:[ \t]|$)|.*\(inlined\)$)")


@dataclass(frozen=True, slots=True)
class PerfEvent:
    """One event: who (`comm`, `pid`, `tid`), where (`cpu`), when (`at_ns`, ns since boot) and what.

    `line` counts from 1. `pid` is None where the layout has none. `event` is perf's full name ("kmem:mm_page_alloc"),
    `args` the unparsed rest of the line.
    """

    line: int
    comm: str
    pid: int | None
    tid: int
    cpu: int
    at_ns: int
    event: str
    args: str


class LineKind(Enum):
    """What a line is that is no event."""

    BLANK = "blank"
    COMMENT = "comment"
    CALLCHAIN = "callchain"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class ReadReport:
    """How much of a file was understood.

    `lines` counts the non-blank lines, `events` those that are events, `skipped` the unreadable ones, the first of
    which is line `first_skipped_line` (from 1). Comments and callchains are in `lines` only.
    """

    lines: int
    events: int
    skipped: int
    first_skipped_line: int | None

    def with_skipped(self, more: list[int]) -> ReadReport:
        """The report when the events on the lines `more` turned out to be unreadable too."""
        if not more:
            return self
        first = min([*more, self.first_skipped_line or more[0]])
        return ReadReport(self.lines, self.events - len(more), self.skipped + len(more), first)

    @property
    def is_usable(self) -> bool:
        """Whether there is an event at all and at most 1 % of the lines had to be skipped."""
        return self.events > 0 and self.skipped * 100 <= self.lines * UNREADABLE_PERCENT_MAX


def parse_line(text: str, line: int) -> PerfEvent | LineKind:
    """The event on one line (without its newline), or what else the line is. Raises nothing, whatever the text."""
    match = _EVENT_LINE.fullmatch(text)
    if match is None:
        return _kind_of_other(text)
    who, cpu, seconds, fraction, event, args = match.groups()
    comm, pid, tid = _task(who)
    # An int of ns, never through a float: a float of 1e9 seconds resolves only 120 ns.
    fraction_ns = int(fraction) if len(fraction) == _NS_DIGITS else int(fraction) * 1000
    at_ns = int(seconds) * 1_000_000_000 + fraction_ns
    return PerfEvent(line, comm, pid, tid, int(cpu), at_ns, sys.intern(event), args.rstrip() if args else "")


@lru_cache(maxsize=4096)  # a recording has some dozen tasks and a hundred thousand lines
def _task(who: str) -> tuple[str, int | None, int]:
    match = _TASK.fullmatch(who)
    if match is None:
        raise AssertionError(f"{who!r} is the start of an event's line and not a task")
    comm, pid, tid = match.groups()
    return comm or "", int(pid) if pid else None, int(tid)


def _kind_of_other(text: str) -> LineKind:
    stripped = text.strip()
    if not stripped:
        return LineKind.BLANK
    if stripped[0] == "#":
        return LineKind.COMMENT
    if _CALLCHAIN_LINE.match(text):
        return LineKind.CALLCHAIN
    return LineKind.UNREADABLE


class EventStream:
    """The events of one file, parsed while they are iterated, in the order of the file.

    Iterating again reads the file again. `report` tells how far the last iteration came. Raises RecordingError where
    `text_blocks` does, and at the end of the file if it holds no event or more than 1 % of its lines are unreadable.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.source = fspath(path)
        self.report = ReadReport(0, 0, 0, None)

    def __iter__(self) -> Iterator[PerfEvent]:
        """Parses on; the report is brought up to date after each block of lines."""
        lines = events = skipped = number = 0
        first_skipped: tuple[int, str] | None = None
        for block in text_blocks(self.source):
            for text in block:
                number += 1
                parsed = parse_line(text.rstrip("\r"), number)
                if isinstance(parsed, PerfEvent):
                    events += 1
                    yield parsed
                elif parsed is LineKind.BLANK:
                    continue
                elif parsed is LineKind.UNREADABLE:
                    skipped += 1
                    first_skipped = first_skipped or (number, text)
                lines += 1
            self.report = ReadReport(lines, events, skipped, first_skipped[0] if first_skipped else None)
            if not events and skipped > _UNREADABLE_AT_ONCE:
                break
        self._check(first_skipped)

    def _check(self, first_skipped: tuple[int, str] | None) -> None:
        report = self.report
        if report.is_usable:
            return
        if first_skipped is None:
            wrong = "holds no event" if report.lines else "is empty"
            raise RecordingError.at(self.source, wrong, LAYOUT)
        number, text = first_skipped
        wrong = f"{report.skipped} of {report.lines} lines are unreadable, this is the first: {quoted(text)}"
        raise RecordingError.at(self.source, wrong, LAYOUT, line=number)
