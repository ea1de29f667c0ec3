"""kactors reproduce spf-v9: how rates become the mail's counters, how a figure is judged, what is said of it."""

import math

import pytest
from hypothesis import given, strategies as st

from kactors.studies import reproduction
from kactors.studies.published import COUNTERS, MAIL, MAIL_SECONDS
from kactors.studies.reproduction import NO, OPEN, YES, Line, Reproduction, judge, ten_seconds
from kactors.studies.reproduction_text import reproduction_text
from kactors.sweep.precision import Precision, measure
from protocols.measurement import Interval
from tests.studies.efforts import small_effort


def around(mean, half=0.0):
    return Interval(mean=mean, low=mean - half, high=mean + half, confidence=0.95, n=10)


@pytest.fixture(scope="module")
def told():
    """Both tables from runs of a few milliseconds: too short for the figures, long enough for their form."""
    words = []
    effort = small_effort(words.append, events_max=50_000)
    return words, reproduction.reproduce(effort, {mail.machine: 0 for mail in MAIL})


@pytest.fixture
def lines(told):
    return [{line.name: line for line in table.lines} for table in told[1].tables]


@pytest.mark.parametrize(
    ("rule", "published", "simulated", "verdict"),
    [
        ("share", 100, around(114.9), YES),
        ("share", 100, around(115.1), NO),
        ("share", 100, around(85.1), YES),
        ("share", 100, around(84.0, 2), OPEN),
        ("factor", 92, around(183), YES),
        ("factor", 92, around(185), NO),
        ("factor", 92, around(46), YES),
        ("factor", 92, around(40, 7), OPEN),
        ("zero", 0, around(0, 5), YES),
        ("zero", 0, around(3, 5), OPEN),
        ("zero", 0, around(3, 2), NO),
        ("", 129, around(80), ""),
    ],
)
def test_a_figure_is_near_enough_or_not_or_its_interval_leaves_that_open(rule, published, simulated, verdict):
    assert judge(rule, published, simulated) == verdict


def test_what_is_near_enough_and_might_not_be_is_named(told):
    def line(name, mean, half, rule="share", published=100.0):
        simulated = around(mean, half)
        verdict = judge(rule, published, simulated)
        return Line(name=name, published=published, simulated=simulated, rule=rule, verdict=verdict, others=None)

    sure = [line("BASE", 110, 4), line("spf", 180, 10, "factor"), line("faults", 0, 3, "zero", 0.0), line("x", 130, 1)]
    vague = [line("SPF", 114, 2), line("gain", 86, math.inf), line("not speculative", 60, 30, "factor")]
    assert not any(each.reaches_out for each in sure)
    assert all(each.reaches_out for each in vague)
    table = told[1].tables[0].model_copy(update={"lines": (*sure, *vague)})
    text = " ".join(reproduction_text(told[1].model_copy(update={"tables": (table,)})).split())
    named = f"SPF on {table.machine}, gain on {table.machine} and not speculative on {table.machine}"
    assert f"Near enough, but with intervals that reach further than that: {named}." in text


@given(st.floats(1, 1e6), st.floats(0, 1e6), st.floats(0, 1e5))
def test_a_wider_interval_never_makes_a_yes_of_a_no(published, mean, half):
    narrow, wide = judge("factor", published, around(mean)), judge("factor", published, around(mean, half))
    assert (narrow == YES) == (wide == YES)


def test_ten_seconds_are_the_rate_for_so_long_and_the_set_up_once():
    scenario = reproduction.scenarios(1)[1].model_copy(update={"machine": "p8-80", "cpus": 4})
    measured = measure(scenario, Precision(relative=0.2, events_max=60_000))
    counted = ten_seconds(measured, "faults")
    assert measured.set_up.faults == 80
    assert counted.mean == pytest.approx(80 + MAIL_SECONDS * measured.rates["faults"].mean)
    assert counted.high - counted.mean == pytest.approx(MAIL_SECONDS * measured.rates["faults"].half_width)
    assert ten_seconds(measured, "residual").low >= 80


def test_the_tables_hold_the_mails_lines_in_its_order(lines):
    for mail, table in zip(MAIL, lines, strict=True):
        assert list(table) == ["BASE", "SPF", "gain", *COUNTERS, "residual", "not speculative"]
        assert table["BASE"].published == mail.base_per_s
        assert table["spf_pte_lock"].published == mail.counters["spf_pte_lock"]
        assert table["residual"].verdict == ""


def test_the_gain_is_the_ratio_of_the_rates_and_the_share_that_of_the_counters(lines):
    for table in lines:
        value = {name: line.simulated.mean for name, line in table.items()}
        assert value["gain"] == pytest.approx(value["SPF"] / value["BASE"])
        assert table["gain"].simulated.low < value["gain"] < table["gain"].simulated.high
        reasons = sum(value[name] for name in (*COUNTERS[2:], "residual"))
        assert value["not speculative"] == pytest.approx(reasons / value["faults"])


def test_other_versions_of_the_series_stand_beside_the_mail(lines):
    x86, p8 = lines
    assert x86["BASE"].others == (11350.29, 13217.90)
    assert p8["spf_pte_lock"].others == (6304, 10579)
    assert p8["gain"].others == pytest.approx((1.7357, 2.2067), abs=1e-3)
    assert x86["spf_pmd_changed"].others is None


def test_nothing_collapses_so_spf_pmd_changed_is_0_and_the_text_says_why(told, lines):
    assert all(table["spf_pmd_changed"].simulated.mean == 0 for table in lines)
    assert all(table.collapses == 0 for table in told[1].tables)
    assert "spf_pmd_changed stays 0 because nothing collapses" in " ".join(reproduction_text(told[1]).split())


def test_the_text_has_a_verdict_on_each_line_and_says_what_was_not_exact(told):
    text = reproduction_text(told[1])
    assert text.index("x86-vm-16: 16 CPUs x86 VM") < text.index("p8-80: 80 CPUs POWER8 node")
    assert all(f" pagefault:{name} " in text for name in COUNTERS[2:])
    assert "Not as exact as asked for: " in text
    assert "The larger reason to give up is" in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_four_runs_are_announced_and_the_answer_can_be_read_back(told):
    assert len(told[0]) == len(reproduction.scenarios(1)) == 4
    assert Reproduction.model_validate_json(told[1].model_dump_json()) == told[1]
