"""kactors ask overallocation: what is run, what is made of it, what is said of it."""

import pytest

from kactors.machines import load_machine
from kactors.studies import overallocation
from kactors.studies.overallocation import AT_ONCE, CLASSIC, EBIZZY, SAME_ADDRESS, WAIT, Sizes, caps
from kactors.studies.overallocation_text import overallocation_text
from tests.studies.efforts import small_effort

SMALL = Sizes(cpus=(4, 16), costed=(("p8-80", 4),), memory_mib=(8, 4))


@pytest.fixture(scope="module")
def told():
    words = []
    return words, overallocation.ask(small_effort(words.append), SMALL)


@pytest.fixture
def answer(told):
    return told[1]


def test_bounds_are_one_two_four_and_a_quarter_of_the_cpus():
    assert caps(80) == (1, 2, 4, 20)
    assert caps(16) == (1, 2, 4)
    assert caps(2) == (1, 2, 4)


def test_as_many_runs_are_announced_as_are_made(told):
    assert len(told[0]) == SMALL.runs()


def test_where_all_meet_a_page_a_cpu_is_in_flight_and_all_but_one_are_wasted(answer):
    for peak in answer.peaks:
        if peak.case == AT_ONCE:
            assert (peak.peak_address, peak.wasted) == (peak.cpus, peak.cpus - 1), peak


def test_each_peak_says_how_long_clearing_took(answer):
    for peak in (*answer.peaks, *answer.capped):
        own = load_machine(peak.machine).clear_page_ns
        assert peak.clear_ns == (5_000_000 if peak.case == AT_ONCE else own) != 0
        assert own < 10_000


def test_no_case_has_more_for_one_address_than_where_all_meet(answer):
    for peak in answer.peaks:
        assert peak.peak_address <= peak.cpus
        assert peak.threads == 2 * peak.cpus
        if peak.case == EBIZZY:
            assert peak.peak_address == 1


def test_large_pages_overlap_on_one_address_without_slow_clearing_too(answer):
    peaks = [peak for peak in answer.peaks if peak.case == SAME_ADDRESS and peak.machine == "p8-80"]
    assert all(peak.peak_address > 1 for peak in peaks)


def test_a_bound_bounds_if_those_beyond_it_wait_and_not_if_they_go_the_classic_way(answer):
    assert all(peak.peak_address <= peak.cap for peak in answer.capped if peak.on_limit == WAIT)
    assert any(peak.peak_address > peak.cap for peak in answer.capped if peak.on_limit == CLASSIC)
    assert all(peak.case == SAME_ADDRESS for peak in answer.capped)


def test_costs_are_against_the_run_without_a_bound(answer):
    free, *bounded = answer.costs
    assert free.cap is None
    assert free.cost is None
    for cost in bounded:
        assert cost.cost.mean == pytest.approx(1 - cost.per_s.mean / free.per_s.mean)


def test_a_memory_that_a_page_a_cpu_does_not_fit_in_meets_the_oom_killer_and_a_bound_keeps_it_away(answer):
    rows = {(row.memory_mib, row.policy, row.cap): row for row in answer.pressure}
    assert rows[4, "spf-v9", None].oom_kills == rows[4, "classic", None].oom_kills == 1
    assert rows[4, "spf-v9", None].crossed["min"] > 0
    assert rows[4, "spf-v9", 1].oom_kills == 0
    assert rows[4, "spf-v9", 1].served == 160
    assert rows[8, "spf-v9", None].oom_kills == 0


def test_the_text_answers_first_and_ends_with_a_picture(answer):
    text = overallocation_text(answer)
    assert text.index("all but one of them too many") < text.index("Transient pages")
    words = " ".join(text.split())
    assert (
        "The worst case is made on purpose: clearing a page takes 5.00 ms (300 ns on x86-vm-16 and 1.00 us on p8-80)"
        in words
    )
    assert "as reclaim, preemption or a stolen vCPU may in the same place. Then they all meet" in words
    assert (
        text.count("(all at once: clearing takes 5.00 ms)") == text.count("all at once (clearing takes 5.00 ms)") == 1
    )
    assert "A bound keeps the peak at the bound if those beyond it wait" in text
    assert "With 4 MiB" in text
    assert "pages at most in flight" in text
    assert all(line == line.rstrip() for line in text.splitlines())
