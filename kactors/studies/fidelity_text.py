"""The table of mechanisms in docs/fidelity.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kactors.report.units import count
from kactors.studies.fidelity import NOTHING, Fidelity, Match, Verdict
from kactors.studies.switches import MECHANISMS, Switch
from kactors.studies.words import all_of

NOTICEABLE = 1.05
"""By so much the typical factor must grow for a mechanism to count as one that carries the match."""
COMMAND = "python -m benchmarks.fidelity"
LIMITED = "A run that takes more deliveries for that precision than it may ends before."
MARKS = {Verdict.NEAR: "{}", Verdict.OFF: "**{}**", Verdict.OPEN: "{} ?"}
"""How a figure is written, by what its interval says."""
FINE = 100
"""Below this a figure has two decimals."""


def fidelity_markdown(answer: Fidelity, switches: Sequence[Switch] = MECHANISMS) -> str:
    """Return two tables, what was found and how it was made, as Markdown."""
    lines = [
        *_errors(answer, switches),
        "",
        *_sums(answer, switches),
        "",
        *_conclusions(answer, switches),
        "",
        f"Made by `{COMMAND} --seed {answer.seed} --precision {answer.precision:g}`. {LIMITED}",
    ]
    return "\n".join(lines) + "\n"


def _errors(answer: Fidelity, switches: Sequence[Switch]) -> Iterator[str]:
    names = [switch.name for switch in switches]
    yield _row(["figure", "published", "as it is", *(f"no {name}" for name in names)])
    yield _row(["---", *("---:" for _ in range(2 + len(names)))])
    for whole in answer.without(NOTHING.name):
        others = [next(match for match in answer.without(name) if match.target == whole.target) for name in names]
        cells = [_cell(match) for match in (whole, *others)]
        yield _row([whole.target, _figure(whole.published), *cells])


def _cell(match: Match) -> str:
    return MARKS[match.verdict].format(f"{_figure(match.simulated.mean)} ({100 * match.error:+.0f} %)")


def _sums(answer: Fidelity, switches: Sequence[Switch]) -> Iterator[str]:
    yield _row(["switched off", *Verdict, "typical factor", "what is off"])
    yield _row(["---", *("---:" for _ in Verdict), "---:", "---"])
    for switch in (NOTHING, *switches):
        matches = answer.without(switch.name)
        sums = [str(sum(match.verdict is verdict for match in matches)) for verdict in Verdict]
        yield _row([switch.name, *sums, f"{answer.typical_error(switch.name):.2f}", switch.off])


def _conclusions(answer: Fidelity, switches: Sequence[Switch]) -> Iterator[str]:
    whole = answer.typical_error(NOTHING.name)
    ranked = sorted(switches, key=lambda switch: answer.typical_error(switch.name), reverse=True)
    worse = [switch for switch in ranked if answer.typical_error(switch.name) > whole * NOTICEABLE]
    idle = [switch.name for switch in ranked if switch not in worse]
    yield f"As it is, the model is off by a factor {whole:.2f} (geometric mean over the figures)."
    if worse:
        told = [f"{switch.name} ({answer.typical_error(switch.name):.2f})" for switch in worse]
        yield f"The match hangs on {all_of(told)}: without one of them the figures are off by that factor."
    if idle:
        yield f"These figures hardly notice {all_of(idle)}."


def _figure(value: float) -> str:
    return f"{value:.2f}" if value < FINE else count(value)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
