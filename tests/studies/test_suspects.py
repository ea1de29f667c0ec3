"""kactors ask scaling: what is measured, which part of a gain goes with a suspect, what is said of it."""

import math

import pytest

from kactors.machines import load_machine
from kactors.policies import load_policy
from kactors.studies import suspects
from kactors.studies.suspects import Freed, Grid, Point, Scaling, share_of
from kactors.studies.suspects_text import parts_of, scaling_text
from kactors.studies.switches import MECHANISMS, PTE_LOCK, SUSPECTS, VMA_CHANGES, WAKE_UPS
from protocols.measurement import Interval
from tests.studies.efforts import small_effort

SMALL = Grid(cpus=(4, 2), machines=(("p8-80", 4), ("x86-vm-16", 2)), suspects=(WAKE_UPS, PTE_LOCK))


def point(machine, cpus, gain, half=0.1, time=None):
    about = Interval(mean=gain, low=gain - half, high=gain + half, confidence=0.95, n=10)
    shares = time or {"lock_sleep": 0.75, "user": 0.25}
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
        assert sum(each.base_time.values()) == pytest.approx(1, abs=0.02)
        assert each.gain.mean == pytest.approx(each.spf.mean / each.base.mean)


def test_a_part_of_a_gain_is_one_of_its_logarithm():
    assert share_of(6, 1) == pytest.approx(1)
    assert share_of(4, 2) == pytest.approx(0.5)
    assert share_of(2, 4) == pytest.approx(-1)
    assert share_of(1.05, 2) is None
    assert share_of(2, 0) is None


def test_machine_and_cpus_share_the_difference_of_two_gains():
    assert parts_of(*(point("m", 1, gain) for gain in (6, 2, 6, 2))) == pytest.approx((1, 0))
    assert parts_of(*(point("m", 1, gain) for gain in (6, 2, 2, 6))) == pytest.approx((0, 1))
    machine, cpus = parts_of(*(point("m", 1, gain) for gain in (8, 2, 4, 4)))
    assert machine == pytest.approx(0.5)
    assert machine + cpus == pytest.approx(1)
    assert math.isfinite(sum(parts_of(*(point("m", 1, 2) for _ in range(4)))))


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
    assert "lock sleep (75 %) and user (25 %)" in text


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
