"""The table of mechanisms: what is measured with what off, how far off that is, and the document that holds it."""

import math
import re
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from benchmarks import fidelity as generator
from kactors import Scenario
from kactors.studies import fidelity
from kactors.studies.fidelity import NOTHING, Fidelity, Match, Target, Verdict, match_all, targets
from kactors.studies.fidelity_text import fidelity_markdown
from kactors.studies.switches import MECHANISMS, SPINNING, WAKE_UPS
from protocols.measurement import Interval
from tests.studies.efforts import small_effort

DOC = Path(generator.DOC).read_text(encoding="utf-8")


def match(target, off, published, simulated, within=0.15, half=0.0):
    about = Interval(mean=simulated, low=simulated - half, high=simulated + half, confidence=0.95, n=10)
    return Match(target=target, off=off, published=published, simulated=about, within=within)


def test_all_that_was_published_and_measured_is_a_target():
    names = [target.name for target in targets(1)]
    assert len(names) == len(set(names)) == 11
    assert {name for name in names if name.startswith("zen4-vm-2 ebizzy")} == {
        f"zen4-vm-2 ebizzy, t={threads}" for threads in (1, 2, 4)
    }
    assert fidelity.runs(1) == 9 * 7, "the gains are made of the rates"


def test_each_figure_is_measured_with_nothing_and_with_each_mechanism_off():
    base, spf = (Scenario(workload="ebizzy", machine="p8-80", cpus=4, policy=name) for name in ("classic", "spf-v9"))
    asked = [
        Target("BASE", 40_000, 0.15, base), Target("SPF", 80_000, 0.15, spf), Target("gain", 2, 0.15, spf, over="BASE")
    ]  # fmt: skip
    words = []
    answer = match_all(small_effort(words.append, events_max=45_000), asked, (WAKE_UPS,))
    assert len(words) == 4
    assert [(each.off, each.target) for each in answer.matches] == [
        (off, name) for off in (NOTHING.name, WAKE_UPS.name) for name in ("BASE", "SPF", "gain")
    ]
    for off in (NOTHING.name, WAKE_UPS.name):
        one, other, gain = (each.simulated.mean for each in answer.without(off))
        assert gain == pytest.approx(other / one)
    assert answer.without(WAKE_UPS.name)[0].simulated.mean > 1.5 * answer.without(NOTHING.name)[0].simulated.mean


def test_how_far_off_figures_are_together_is_a_geometric_mean():
    answer = Fidelity(
        seed=1, precision=0.1, matches=(match("a", NOTHING.name, 100, 200), match("b", NOTHING.name, 100, 50))
    )
    assert answer.typical_error(NOTHING.name) == pytest.approx(2)
    assert [each.error for each in answer.matches] == [pytest.approx(1), pytest.approx(-0.5)]


@pytest.mark.parametrize(
    ("simulated", "half", "verdict"),
    [
        (114, 0.5, Verdict.NEAR),
        (86, 0.5, Verdict.NEAR),
        (100, 20, Verdict.OPEN),
        (114, 2, Verdict.OPEN),
        (116, 2, Verdict.OPEN),
        (84, 2, Verdict.OPEN),
        (118, 2, Verdict.OFF),
        (82, 2, Verdict.OFF),
        (100, math.inf, Verdict.OPEN),
    ],
)
def test_a_figure_is_near_or_off_only_where_all_of_its_interval_is(simulated, half, verdict):
    assert match("a", NOTHING.name, 100, simulated, half=half).verdict is verdict


@given(st.floats(1, 1000), st.floats(0, 500), st.floats(0, 500))
def test_what_is_told_stays_true_wherever_in_its_interval_the_figure_is(simulated, below, above):
    """Whichever of the interval's values is the true one: it would be judged alike if it were known exactly."""
    about = Interval(mean=simulated, low=simulated - below, high=simulated + above, confidence=0.95, n=10)
    told = match("a", NOTHING.name, 300, simulated).model_copy(update={"simulated": about}).verdict
    exactly = {match("a", NOTHING.name, 300, end).verdict for end in (about.low, about.mean, about.high)}
    assert told is Verdict.OPEN or exactly == {told}


def test_the_text_marks_what_is_too_far_off_and_names_what_carries_the_match():
    matches = [
        match("a", NOTHING.name, 100, 110),
        match("a", WAKE_UPS.name, 100, 300),
        match("a", SPINNING.name, 100, 111, half=6),
    ]
    text = fidelity_markdown(Fidelity(seed=1, precision=0.1, matches=tuple(matches)), (WAKE_UPS, SPINNING))
    assert "| a | 100 | 110 (+10 %) | **300 (+200 %)** | 111 (+11 %) ? |" in text
    assert "| switched off | near enough | too far off | cannot tell | typical factor | what is off |" in text
    assert "| wake-ups | 0 | 1 | 0 | 3.00 |" in text
    assert "| optimistic spinning | 0 | 0 | 1 | 1.11 |" in text
    assert "The match hangs on wake-ups (3.00)" in text
    assert "hardly notice optimistic spinning" in text


def test_the_document_holds_tables_of_todays_figures_and_mechanisms():
    tables = DOC.split(generator.BEGIN)[1].split(generator.END)[0]
    header = re.search(r"\| figure \|.*", tables)[0]
    assert header.count("|") == 4 + len(MECHANISMS)
    assert all(f"no {switch.name} |" in header for switch in MECHANISMS)
    assert all(f"| {target.name} |" in tables for target in targets(1))
    assert all(f"| {switch.name} |" in tables and f"| {switch.off} |" in tables for switch in (NOTHING, *MECHANISMS))


def test_tables_are_replaced_and_the_words_around_them_stay():
    once = generator.spliced(DOC, "| new |\n")
    assert generator.spliced(once, "| new |\n") == once
    assert once.split(generator.BEGIN)[0] == DOC.split(generator.BEGIN)[0]
    assert once.split(generator.END)[1] == DOC.split(generator.END)[1]
    assert "\n| new |\n" in once
