"""kactors ask scaling: what is measured, which part of a gain goes with a suspect, what is said of it."""

import math
import re

import pytest
from hypothesis import given, strategies as st

from kactors.machines import load_machine
from kactors.policies import load_policy
from kactors.studies import suspects
from kactors.studies.suspects import Freed, Grid, Point, Scaling, exchange, share_of
from kactors.studies.suspects_text import scaling_text
from kactors.studies.switches import MECHANISMS, PTE_LOCK, SUSPECTS, VMA_CHANGES, WAKE_UPS
from protocols.measurement import Interval
from tests.studies.efforts import small_effort

SMALL = Grid(cpus=(4, 2), machines=(("p8-80", 4), ("x86-vm-16", 2)), suspects=(WAKE_UPS, PTE_LOCK))


def about_that(mean, half):
    return Interval(mean=mean, low=mean - half, high=mean + half, confidence=0.95, n=10)


def exactly(mean):
    return about_that(mean, 0.0)


def point(machine, cpus, gain, half=0.1, time=None):
    about = about_that(gain, half)
    shares = time or {name: about_that(part, 0.01) for name, part in (("lock_sleep", 0.75), ("user", 0.25))}
    return Point(
        machine=machine, cpus=cpus, base=about.scaled(1e4), spf=about.scaled(2e4), gain=about,
        base_time=shares, spf_time=shares,
    )  # fmt: skip


@pytest.fixture(scope="module")
def told():
    words = []
    return words, suspects.ask(small_effort(words.append, events_max=45_000), SMALL)


def test_each_place_is_measured_once_and_each_suspect_at_the_mails_sizes(told):
    words, answer = told
    assert len(words) == len(SMALL.scenarios(1)) == 2 * (4 + 4)
    assert [(each.machine, each.cpus) for each in answer.whole] == [("x86-vm-16", 2), ("p8-80", 4)]
    assert [(each.machine, each.cpus) for each in answer.curves] == [
        ("x86-vm-16", 2), ("x86-vm-16", 4), ("p8-80", 2), ("p8-80", 4)
    ]  # fmt: skip
    assert [(each.point.machine, each.suspect) for each in answer.freed] == [
        (machine, switch.name) for machine, _ in SMALL.machines for switch in SMALL.suspects
    ]


def test_shares_of_time_add_up_and_gains_are_ratios(told):
    for each in told[1].curves:
        assert sum(part.mean for part in each.base_time.values()) == pytest.approx(1, abs=0.02)
        assert each.gain.mean == pytest.approx(each.spf.mean / each.base.mean)


def test_a_part_of_a_gain_is_one_of_its_logarithm():
    assert share_of(exactly(6), exactly(1)).mean == pytest.approx(1)
    assert share_of(exactly(4), exactly(2)).mean == pytest.approx(0.5)
    assert share_of(exactly(2), exactly(4)).mean == pytest.approx(-1)
    assert share_of(exactly(1.05), exactly(2)) is None
    assert share_of(exactly(2), exactly(0)) is None


@given(st.floats(1.3, 8), st.floats(1.1, 8), st.floats(0.001, 0.03), st.floats(0.001, 0.03))
def test_a_part_is_as_vague_as_both_gains(whole, freed, one, two):
    """To first order the errors of f / w add up as squares, f's own and w's times the quotient."""
    found = share_of(about_that(whole, one * whole), about_that(freed, two * freed))
    left = math.log(freed) / math.log(whole)
    first_order = math.hypot(two, one * left) / math.log(whole)
    assert found.low < found.mean < found.high
    assert found.half_width == pytest.approx(first_order, rel=0.05)
    assert share_of(about_that(whole, 0.2 * whole), about_that(freed, two * freed)).half_width > found.half_width


def test_a_part_of_what_may_be_no_gain_is_unknown():
    assert share_of(about_that(1.2, 0.3), about_that(1.1, 0.01)).half_width == math.inf


def test_machine_and_cpus_share_the_difference_of_two_gains():
    def parts(*gains, half=0.0):
        found = exchange(*(about_that(gain, half) for gain in gains))
        assert found.machine.mean + found.cpus.mean == pytest.approx(1)
        assert found.machine.half_width == pytest.approx(found.cpus.half_width)
        return found.machine

    assert parts(6, 2, 6, 2).mean == pytest.approx(1)
    assert parts(6, 2, 2, 6).mean == pytest.approx(0)
    assert parts(8, 2, 4, 4).mean == pytest.approx(0.5)
    assert parts(6, 2, 6, 2, half=0.1).half_width < parts(6, 2, 6, 2, half=0.2).half_width < 0.2
    # Both are as uncertain as they are: that the gains at their own sizes are in both makes the quotient surer.
    assert parts(8, 2, 8, 2, half=0.1).half_width < 0.1 / 2 / math.log(4) * math.sqrt(2)
    assert exchange(*map(exactly, (2, 2, 2, 2))).machine.half_width == math.inf
    assert exchange(*map(exactly, (2, 0, 2, 2))) is None


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.92, 0.94, "+93 % (+92 to +94)"),
        (-0.02, 0.04, "~ +1 % (-2 to +4)"),
        (-0.5, 1.5, "cannot be told (-50 to +150)"),
        (-math.inf, math.inf, "cannot be told (no interval)"),
        (None, None, "too small a gain"),
    ],
)
def test_each_part_has_its_interval_and_one_that_says_nothing_says_so(low, high, text):
    part = None
    if low is not None:
        mean = (low + high) / 2 if math.isfinite(low) else 0.5
        part = Interval(mean=mean, low=low, high=high, confidence=0.95, n=10)
    whole = point("x86-vm-16", 16, 6.0)
    freed = Freed(suspect="wake-ups", point=point("x86-vm-16", 16, 1.2), share=part)
    answer = Scaling(seed=1, precision=0.05, curves=(whole,), whole=(whole, whole), freed=(freed,), inexact=0)
    row = next(line for line in scaling_text(answer).splitlines() if " wake-ups  " in line)
    assert row.endswith(f"  {text}")


def test_whose_doing_the_difference_is_has_an_interval_or_is_not_told():
    def text(half):
        one, other = point("x86-vm-16", 16, 6.0, half), point("p8-80", 80, 2.0, half)
        curves = (one, other, point("x86-vm-16", 80, 5.9, half), point("p8-80", 16, 2.1, half))
        answer = Scaling(seed=1, precision=0.05, curves=curves, whole=(one, other), freed=(), inexact=0)
        return " ".join(scaling_text(answer).split())

    assert re.search(r"9[0-9]\.[0-9] % \(9[0-9]\.. to 9[0-9]\..\) of the difference is the machine's doing", text(0.01))
    assert "and what that of the number of CPUs, cannot be told." in text(1.9)


def test_the_sentences_name_what_clearly_carries_the_gain_and_what_holds_it_down():
    whole = point("x86-vm-16", 16, 6.0)
    freed = [
        Freed(suspect=name, point=point("x86-vm-16", 16, gain), share=None)
        for name, gain in (("wake-ups", 1.2), ("line transfers", 6.05), ("writer section", 16.0))
    ]
    other = point("p8-80", 80, 2.0)
    answer = Scaling(seed=1, precision=0.05, curves=(whole, other), whole=(whole, other), freed=tuple(freed), inexact=2)
    text = " ".join(scaling_text(answer).split())
    assert (
        "The gain on 16 CPUs of x86-vm-16 hangs on wake-ups (without: 1.20x), and is held down by writer section"
        " (without: 16.00x)." in text
    )
    assert "The gain on 80 CPUs of p8-80 does not clearly hang on any suspect." in text
    assert "2 runs ended at their limit" in text
    assert "(published: 6.44x)" in text
    assert "goes into lock sleep, 75.0 % (74.0 to 76.0), and user, 25.0 % (24.0 to 26.0), under BASE, into" in text
    assert " 75.0 ±1.0 " in text


def test_the_answer_of_real_runs_is_a_text_too(told):
    text = scaling_text(told[1])
    assert "With their sizes exchanged it gains" in " ".join(text.split())
    assert "gain of SPF over BASE, times" in text
    assert all(line == line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize("switch", {switch.name: switch for switch in (*MECHANISMS, *SUSPECTS)}.values())
@pytest.mark.parametrize("machine", ["x86-vm-16", "p8-80", "zen4-vm-2"])
def test_every_switch_changes_something_that_the_machine_or_the_policy_has(switch, machine):
    plain = suspects.ebizzy(machine, 2, "spf-v9", 1)
    off = switch.turn_off(plain)
    assert off != plain
    load_policy(off.policy, off.policy_options)
    values = load_machine(machine, costs=off.costs).model_dump()
    assert all(values[name] == value for name, value in off.costs.items())


def test_only_spf_v9_goes_without_its_checks():
    assert VMA_CHANGES.turn_off(suspects.ebizzy("small", 2, "classic", 1)).policy == "classic"
    assert "last_vma_check" in VMA_CHANGES.turn_off(suspects.ebizzy("small", 2, "spf-v9", 1)).policy
