"""What stopped a run, when a user must look at it: a deadlock, a broken property, an exceeded bound."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from kactors.report.tables import table
from kactors.report.units import count, duration, moment
from protocols.stop import BoundExceeded, Deadlock, EventLimit, Livelock, Stop, TimeReached, Violation, WaitEdge

STORY_LINES = 20
WAITS_MAX = 40
COLUMN_GAP = 3
WIDTH = 100


def finding(stop: Stop, at_ns: int | None) -> list[str]:
    """Return the lines that tell a finding, or none when the run ended as it should.

    Args:
        stop: why it ended.
        at_ns: when; None: in a search, where no time passes.
    """
    match stop:
        case Deadlock():
            return _deadlock(stop, at_ns)
        case Livelock():
            return [f" *** LIVELOCK{_at(at_ns)} ***", "", *_wrapped(stop.text)]
        case Violation():
            return _violation(stop, at_ns)
        case BoundExceeded():
            return _bound(stop, at_ns)
    return []


def why_stopped(stop: Stop) -> str:
    """Return in a few words why the run ended."""
    match stop:
        case TimeReached():
            return "virtual time is up"
        case EventLimit():
            return f"{count(stop.events)} deliveries, the most it was allowed"
    words = {"quiescent": "every thread has finished", "predicate": "the caller's condition became true"}
    return words.get(stop.kind, stop.kind.upper())


def _at(at_ns: int | None) -> str:
    return "" if at_ns is None else f" at {moment(at_ns)}"


def _wrapped(text: str) -> list[str]:
    return wrap(text, WIDTH, initial_indent="  ", subsequent_indent="  ")


def _deadlock(stop: Deadlock, at_ns: int | None) -> list[str]:
    timed = at_ns is not None
    waiters = len({edge.waiter for edge in stop.waits})
    lines = [f" *** DEADLOCK{_at(at_ns)}: nothing is left to deliver, and {waiters} still wait ***", ""]
    if stop.cycle:
        start = stop.cycle[0].waiter.replace("cpu", "CPU")
        title = "Unsafe interleaving, as it happened" if timed else "Who has what, and waits for what"
        lines += [f"  {' -> '.join([start, *(edge.resource for edge in stop.cycle), start])}", ""]
        lines += [f" {title}:", "", *_columns(stop.cycle, timed), ""]
    else:
        lines += ["  No cycle: what they wait for is held by nobody who waits.", ""]
    shown = stop.waits[:WAITS_MAX]
    since = [["since", *(moment(edge.since) for edge in shown)]] if timed else []
    columns = [
        ["who waits", *(edge.waiter for edge in shown)],
        ["for", *(edge.resource for edge in shown)],
        ["held by", *(edge.holder for edge in shown)],
        *since,
        ["because it", *(edge.why for edge in shown)],
    ]
    headers, *rows = zip(*columns, strict=True)
    lines += table(headers, rows, left=len(columns))
    if len(stop.waits) > WAITS_MAX:
        lines.append(f"  ... and {len(stop.waits) - WAITS_MAX} more waits")
    return lines


def _columns(cycle: Sequence[WaitEdge], timed: bool) -> list[str]:
    """Draw the cycle as lockdep does: a column for each of its members, first what each has, then what each wants."""
    members = [edge.waiter for edge in cycle]
    has = [
        (moment(edge.since) if timed else "", edge.holder, _has(edge))
        for edge in sorted(cycle, key=lambda edge: edge.since)
    ]
    wants = [("then", edge.waiter, f"waits for {edge.resource}") for edge in cycle]
    rows = [*has, *wants]
    when = max(len(row[0]) for row in rows)
    width = max(len(text) for _, _, text in rows) + COLUMN_GAP
    names = [name.replace("cpu", "CPU") for name in members]
    lines = [
        " " * (when + 4) + "".join(name.ljust(width) for name in names),
        " " * (when + 4) + "".join(("-" * len(name)).ljust(width) for name in names),
    ]
    for at, member, text in rows:
        lines.append(f"  {at:>{when}}  {' ' * (width * members.index(member))}{text}")
    return [line.rstrip() for line in lines]


def _has(edge: WaitEdge) -> str:
    """An IPI ack is nothing that one takes: there the reason tells what the holder did."""
    return edge.why if edge.resource.endswith(f" of {edge.holder}") else f"takes {edge.resource}"


def _violation(stop: Violation, at_ns: int | None) -> list[str]:
    text = [f"  {stop.text}"] if at_ns is not None else _wrapped(stop.text)
    lines = [f" *** VIOLATION of {stop.property}{_at(at_ns)} ***", "", *text]
    if stop.story:
        lines += ["", " The last deliveries (ns, sender -> receiver, tag, message):", ""]
        lines += [f"  {line}" for line in stop.story[-STORY_LINES:]]
    return lines


def _bound(stop: BoundExceeded, at_ns: int | None) -> list[str]:
    show = duration if stop.bound.endswith("_ns") else count
    return [
        f" *** BOUND {stop.bound} exceeded{_at(at_ns)} ***",
        "",
        f"  {show(stop.value)}, where at most {show(stop.limit)} are allowed",
        f"  cause: {stop.cause}",
    ]
