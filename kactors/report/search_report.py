"""The report of a search: what was found, as a story, or what was covered and found in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from kactors.report.command import replay_schedule
from kactors.report.finding import finding, why_stopped
from kactors.report.story import story
from kactors.report.tables import table
from kactors.report.units import count
from protocols.roles import heard_by
from protocols.scenario import Scenario
from protocols.search import Found, Registers, Searched

WIDTH = 100
ROLES = ("cpu", "khugepaged", "mm", "ptl", "allocator", "page_cache")
WALKS = ("random", "pct", "fair-pct", "pos", "delay")
OUTCOMES_MAX = 40


def search_report(searched: Searched) -> str:
    """Return what `kactors check` prints: plain text, lines without trailing blanks."""
    parts = [_what_was_searched(searched)]
    if searched.found is not None:
        # The line that replays it comes last, where it is looked for.
        parts += [_outcomes(searched), *found_parts(searched.found, searched.scenario, searched.properties)]
    else:
        parts += [_verdict(searched), _outcomes(searched), _taken(searched), _never_taken(searched)]
    return page(parts)


def replay_report(found: Found, properties: Sequence[str]) -> str:
    """Return what `kactors replay-schedule` prints: the story that the search told."""
    if found.stop.finding:
        return page([*found_parts(found, found.scenario, properties)])
    ends = [
        f" The schedule ends after {count(found.shrunk_from)} deliveries without a finding ({why_stopped(found.stop)})."
    ]
    return page([_drawn(found), ends])


def found_parts(found: Found, searched: Scenario, properties: Sequence[str]) -> Iterator[list[str]]:
    """Yield what was found, its story, and how to see it again, each as lines."""
    yield finding(found.stop, None)
    yield [_how_short(found, searched), "", *_drawn(found)]
    yield [" Replay it:", "", f"  {replay_schedule(found.schedule, found.scenario, properties)}"]


def page(parts: Sequence[list[str]]) -> str:
    """Return groups of lines as one text, an empty line between two of them."""
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _what_was_searched(searched: Searched) -> list[str]:
    scenario = searched.scenario
    options = "".join(f" {key}={value}" for key, value in scenario.options.items())
    seed = "" if searched.strategy in ("exhaustive", "dpor", "plain") else f", seed {searched.seed}"
    effort = f"{_many(searched.schedules, 'schedule')}, {_many(searched.steps, 'delivery')}"
    return [
        f" scenario       {scenario.workload}{options} under {scenario.policy} on {scenario.machine}",
        f" search         {searched.strategy}{seed}: {effort}, the longest schedule {count(searched.depth)}",
    ]


def _how_short(found: Found, searched: Scenario) -> str:
    changed = ", ".join(_changes(searched, found.scenario))
    smaller = f", in a smaller scenario ({changed})" if changed else ""
    now = len(found.story)
    return f" The story: {_many(now, 'step')}; the schedule that was found had {count(found.shrunk_from)}{smaller}."


def _changes(searched: Scenario, told: Scenario) -> Iterator[str]:
    for key, value in told.options.items():
        if searched.options.get(key) != value:
            yield f"{key}={value}"
    for name in ("cpus", "threads"):
        if getattr(searched, name) != getattr(told, name):
            yield f"{name}={getattr(told, name)}"


def _drawn(found: Found) -> list[str]:
    return story(found.story, found.critical)


def _verdict(searched: Searched) -> list[str]:
    if searched.complete:
        space = [_many(searched.states, "state"), f"{count(searched.depth)} deliveries deep"]
        if searched.traces is not None and searched.interleavings is None:
            space.insert(0, _many(searched.traces, "Mazurkiewicz trace"))
        if searched.interleavings is not None:
            space.insert(0, f"{count(searched.interleavings)} interleavings")
        return [
            " complete       every interleaving is covered, and none is a finding",
            f"                {', '.join(space)}",
        ]
    lines = [" not complete   nothing was found, but not everything was looked at:"]
    return lines + [
        line
        for text in _not_covered(searched)
        for line in wrap(text, WIDTH, initial_indent="                - ", subsequent_indent=" " * 18)
    ]


def _not_covered(searched: Searched) -> Iterator[str]:
    """Yield in plain words what a search without a finding leaves open."""
    if searched.strategy in WALKS:
        yield "schedules are drawn, so an interleaving that was not drawn was not seen"
    else:
        yield f"the search was ended; {_many(searched.states, 'state')} had been seen, how many there are is not known"
    if searched.cut:
        yield f"{_many(searched.cut, 'schedule')} were longer than --max-steps and were given up before their end"
    if searched.missed is not None:
        yield (
            f"a bug that depends on the order of 3 deliveries has been missed with a probability of at most "
            f"{searched.missed:.4f} (PCT's bound)"
        )


def _outcomes(searched: Searched) -> list[str]:
    """Return what the threads saw, where a scenario has registers at all."""
    rows = [[count(times), _registers(seen)] for seen, times in searched.outcomes if seen]
    if not rows:
        return []
    lines = table(("schedules", "outcome"), rows[:OUTCOMES_MAX], left=0, last_left=True)
    return lines + ([f"  ... and {count(len(rows) - OUTCOMES_MAX)} more"] if len(rows) > OUTCOMES_MAX else [])


def _registers(seen: Registers) -> str:
    return " ".join(f"{name}={value}" for name, value in seen)


def _taken(searched: Searched) -> list[str]:
    """Return which messages were taken by whom, with the number of the actor's states in which it took them."""
    rows = [
        (role, [f"{message} {count(states)}" for message, states in searched.taken[role].items()])
        for role in ROLES
        if role in searched.taken
    ]
    return [" Taken, with the number of states in which the actor took it:", *_by_role(rows)] if rows else []


def _never_taken(searched: Searched) -> list[str]:
    rows = [
        (
            role,
            sorted(
                message.__name__ for message in heard_by(role) if message.__name__ not in searched.taken.get(role, ())
            ),
        )
        for role in ROLES
    ]
    return [" Never taken, of all that the actor understands:", *_by_role(rows)]


def _by_role(rows: Sequence[tuple[str, list[str]]]) -> list[str]:
    return [
        line
        for role, words in rows
        if words
        for line in wrap(
            ", ".join(words), WIDTH, initial_indent=f"  {role:<12}", subsequent_indent=" " * 14, break_on_hyphens=False
        )
    ]


def _many(number: int, what: str) -> str:
    plural = f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
    return f"{count(number)} {what if number == 1 else plural}"
