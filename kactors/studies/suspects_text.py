"""What `kactors ask scaling` prints: the answer in a few sentences, the figures, a picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from kactors.report.picture import picture
from kactors.report.search_report import page
from kactors.report.tables import table
from kactors.studies.published import MAIL
from kactors.studies.suspects import Exchange, Freed, Point, Scaling, exchange
from kactors.studies.switches import SUSPECTS
from kactors.studies.words import NO_INTERVAL, NOISE, all_of, rate, sentences, share, times
from protocols.measurement import Interval

QUESTION = " Why does SPF gain less on 80 CPUs than on 16?"
CURVE_HEADERS = ("machine", "CPUs", "BASE, records/s", "SPF, records/s", "gain")
FREED_HEADERS = ("machine", "CPUs", "made free", "BASE, records/s", "SPF, records/s", "gain", "part of the gain")
FREED_HEADING = (
    " Each suspect made free in turn; part of the gain: of its logarithm, what goes with the suspect;"
    f" {NOISE}: it may be nothing:"
)
NO_GAIN, NOT_TOLD = "too small a gain", "cannot be told"
WORTH: Final = 0.005
"""A kind of time below this share on all machines has no column."""
TOLD: Final = 2
"""So many suspects, and kinds of time, are named in a sentence."""


def scaling_text(answer: Scaling) -> str:
    """Return the whole answer."""
    return page(
        [
            [QUESTION],
            sentences(_answers(answer)),
            [" Throughput of ebizzy -mTRp against the CPUs:"],
            table(CURVE_HEADERS, [_curve_row(point) for point in answer.curves], indent=" "),
            [" Where the CPUs' time goes, %:"],
            _times(answer.whole),
            [FREED_HEADING],
            table(FREED_HEADERS, list(_freed_rows(answer)), left=1, indent=" "),
            sentences(f"{switch.name}: {switch.off}." for switch in SUSPECTS),
            picture("gain of SPF over BASE, times", _curves(answer.curves), x="CPUs"),
        ]
    )


# --- the answer ------------------------------------------------------------------------------------------------------


def _answers(answer: Scaling) -> Iterator[str]:
    published = {mail.machine: mail.gain for mail in MAIL}
    told = [
        f"{times(point.gain)} on {_where(point)} (published: {published[point.machine]:.2f}x)"
        for point in answer.whole
        if point.machine in published
    ]
    yield f"SPF gains {all_of(told)}."
    yield from _machine_or_cpus(answer)
    for point in answer.whole:
        yield from _suspects(point, [freed for freed in answer.freed if freed.point.machine == point.machine])
    for point in answer.whole:
        yield (
            f"On {_where(point)} the CPUs' time goes into {_most(point.base_time)} under BASE, into"
            f" {_most(point.spf_time)} under SPF."
        )
    if answer.inexact:
        yield (
            f"{answer.inexact} runs ended at their limit of deliveries, before they were as exact as"
            f" {100 * answer.precision:g} %; their intervals say how exact they are."
        )


def _where(point: Point) -> str:
    return f"{point.cpus} CPU{'' if point.cpus == 1 else 's'} of {point.machine}"


def _machine_or_cpus(answer: Scaling) -> Iterator[str]:
    """Each machine at the other's size tells what is the machine's doing and what the CPUs'."""
    found = {(point.machine, point.cpus): point for point in answer.curves}
    one, other = answer.whole
    exchanged = [found.get(place) for place in ((one.machine, other.cpus), (other.machine, one.cpus))]
    if None in exchanged:
        return
    resized = [point for point in exchanged if point is not None]
    told = [f"{times(point.gain)} on {_where(point)}" for point in resized]
    whose = _whose(exchange(one.gain, other.gain, *(point.gain for point in resized)))
    yield f"With their sizes exchanged it gains {all_of(told)}: {whose}."


def _whose(found: Exchange | None) -> str:
    if found is None or says_nothing(found.machine):
        return "what of the difference is the machine's doing, and what that of the number of CPUs, cannot be told"
    return (
        f"{share(found.machine)} of the difference is the machine's doing, and {share(found.cpus)} that of the number"
        " of CPUs (of the logarithm)"
    )


def says_nothing(part: Interval) -> bool:
    """Return whether an interval leaves open whether it is nothing or all."""
    return part.holds(0.0) and part.holds(1.0)


def _suspects(point: Point, freed: Sequence[Freed]) -> Iterator[str]:
    """Name what carries the gain and what holds it down, where the intervals do not overlap."""
    clear = [each for each in freed if not each.point.gain.overlaps(point.gain)]
    carry = sorted((each for each in clear if each.point.gain.mean < point.gain.mean), key=_gain)[:TOLD]
    hold = sorted((each for each in clear if each.point.gain.mean > point.gain.mean), key=_gain, reverse=True)[:TOLD]
    parts = [
        f"{verb} {all_of([f'{each.suspect} (without: {each.point.gain.mean:.2f}x)' for each in some])}"
        for verb, some in (("hangs on", carry), ("is held down by", hold))
        if some
    ]
    yield f"The gain on {_where(point)} {', and '.join(parts) or 'does not clearly hang on any suspect'}."


def _gain(freed: Freed) -> float:
    return freed.point.gain.mean


def _most(shares: dict[str, Interval]) -> str:
    most = sorted(shares.items(), key=lambda item: item[1].mean, reverse=True)[:TOLD]
    return all_of([f"{_kind(kind)}, {share(part)}," for kind, part in most])


def _kind(name: str) -> str:
    return name.replace("_", " ").replace("ipi", "IPI")


# --- the figures -----------------------------------------------------------------------------------------------------


def _curve_row(point: Point) -> list[str]:
    return [point.machine, str(point.cpus), rate(point.base), rate(point.spf), times(point.gain)]


def _times(points: Sequence[Point]) -> list[str]:
    rows = [
        (point, policy, shares)
        for point in points
        for policy, shares in (("BASE", point.base_time), ("SPF", point.spf_time))
    ]
    kinds = [kind for kind in rows[0][2] if any(shares[kind].mean >= WORTH for _, _, shares in rows)]
    cells = [
        [point.machine, str(point.cpus), policy, *(_percent(shares[kind]) for kind in kinds)]
        for point, policy, shares in rows
    ]
    return table(("machine", "CPUs", "policy", *map(_kind, kinds)), cells, left=1, indent=" ")


def _freed_rows(answer: Scaling) -> Iterator[list[str]]:
    for point in answer.whole:
        yield [*_place(point), "(nothing)", rate(point.base), rate(point.spf), times(point.gain), ""]
        for each in answer.freed:
            if each.point.machine == point.machine:
                figures = [rate(each.point.base), rate(each.point.spf), times(each.point.gain)]
                yield [*_place(point), each.suspect, *figures, _part(each.share)]


def _part(of_gain: Interval | None) -> str:
    if of_gain is None:
        return NO_GAIN
    low, mean, high = (f"{100 * each:+.0f}" for each in (of_gain.low, of_gain.mean, of_gain.high))
    ends = f"({low} to {high})" if math.isfinite(of_gain.half_width) else NO_INTERVAL
    if says_nothing(of_gain):
        return f"{NOT_TOLD} {ends}"
    return f"{NOISE + ' ' if of_gain.holds(0.0) else ''}{mean} % {ends}"


def _percent(part: Interval) -> str:
    reach = f" ±{100 * part.half_width:.1f}" if math.isfinite(part.half_width) else f" {NO_INTERVAL}"
    return f"{100 * part.mean:.1f}{reach}"


def _place(point: Point) -> list[str]:
    return [point.machine, str(point.cpus)]


def _curves(points: Sequence[Point]) -> dict[str, list[tuple[float, float]]]:
    curves: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        curves.setdefault(point.machine, []).append((point.cpus, point.gain.mean))
    return curves
