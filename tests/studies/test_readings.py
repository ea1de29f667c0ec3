"""Figures from runs: a rate, a gain in pairs of seeds, a share, a recording's median; and what changes between two."""

import lzma
from itertools import islice

import pytest

from kactors.recordings.times import Timing
from kactors.statistics import mean_interval, paired_ratio, quantile_interval
from kactors.studies.published import JAVAC_ZEN4
from kactors.studies.readings import Runs, carry_out, change, read
from kactors.studies.targets import RECORDINGS, Load, Target
from tests.studies.efforts import small_effort

PFT = (("t", 2), ("m", 64 * 4096))
PLAIN, PAIRED = (
    Load("small", "pft", "spf-2021", PFT, (("vma_atomics", atomics),), until_ns=50_000, seeds=2) for atomics in (0, 1)
)
GAIN = Target("an atomic pair", 0.4, "here", PAIRED, PLAIN, unit="times")
RATE = Target("a rate", 1e6, "here", PLAIN)
MEDIAN = Target("a median", 100.0, "here", PLAIN, unit="ns", timing=Timing.MMAP)


@pytest.fixture(scope="module")
def done():
    words = []
    measured = Load("zen4-vm-2", "ebizzy", "spf-v9", (("t", 2),))
    asked = [(load, costs) for load in (PLAIN, PAIRED, measured) for costs in ((), (("fault_entry_ns", 4_000),))]
    return carry_out([*asked, *asked], small_effort(words.append, events_max=40_000, relative=0.5)), measured, words


def test_what_is_asked_for_twice_is_run_once_and_each_seed_is_a_run(done):
    found, _, words = done
    assert len(words) == 2 * (2 + 2 + 1)
    assert len(found) == 6


def test_runs_of_several_seeds_are_as_long_as_they_are_told_to_be(done):
    found, measured, _ = done
    runs = found[PLAIN, ()]
    assert (len(runs.rates), runs.measured, runs.met) == (2, None, True)
    assert read(RATE, [runs]).mean == pytest.approx(sum(runs.rates) / 2)
    assert found[measured, ()].measured is not None


def test_values_that_are_replaced_change_the_figure(done):
    found, measured, _ = done
    slow = (("fault_entry_ns", 4_000),)
    assert found[PLAIN, slow].rates < found[PLAIN, ()].rates
    target = Target("a rate", 1e5, "here", measured)
    assert change(target, [found[measured, slow]], [found[measured, ()]]).mean != 1


def test_a_gain_is_that_of_the_pairs_of_one_seed():
    one, other = Runs(rates=(2.0, 4.0, 3.0)), Runs(rates=(1.0, 2.0, 1.5))
    assert read(GAIN, [one, other]).mean == 2
    assert read(GAIN, [one, other]).half_width == pytest.approx(0), "whatever the seeds have in common is gone"
    slower = Runs(rates=(1.0, 2.1, 1.5))
    found = change(GAIN, [slower, other], [one, other])
    assert found == paired_ratio([1.0, 1.05, 1.0], [2.0, 2.0, 2.0])


def test_a_rate_of_nothing_has_no_ratio_and_no_interval():
    nothing, some = Runs(rates=(0.0, 0.0)), Runs(rates=(1.0, 1.1))
    assert change(RATE, [some], [nothing]).half_width == float("inf")
    assert read(GAIN, [some, nothing]).mean == 0


def test_a_median_has_an_interval_by_ranks_and_so_has_what_becomes_of_it():
    one, base = Runs(times_ns={Timing.MMAP: range(200, 260)}), Runs(times_ns={Timing.MMAP: range(100, 130)})
    assert read(MEDIAN, [one]) == quantile_interval(range(200, 260), 0.5)
    found = change(MEDIAN, [one], [base])
    assert found.mean == pytest.approx(229 / 114)
    assert found.low < 2 < found.high


def test_a_share_is_compared_as_a_quotient_of_two_intervals(done):
    found, measured, _ = done
    target = Target("a share", 0.01, "here", measured, unit="share")
    share = read(target, [found[measured, ()]])
    assert 0 <= share.low <= share.mean <= 1
    assert change(target, [found[measured, ()]], [found[measured, ()]]).holds(1.0)


def test_a_replay_tells_each_time_that_was_taken(tmp_path):
    path = tmp_path / "short.perf.txt"
    with lzma.open(RECORDINGS / JAVAC_ZEN4.file, "rt", encoding="utf-8") as recording:
        path.write_text("".join(islice(recording, 3000)))
    load = Load("zen4-vm-2", "recording", JAVAC_ZEN4.policy, (("file", str(path)),))
    words = []
    (runs,) = carry_out([(load, ())], small_effort(words.append)).values()
    assert words == ["a replay on zen4-vm-2"]
    assert runs.met
    taken = runs.times_ns[Timing.FAULT_TO_PAGE]
    assert len(taken) > 50
    assert mean_interval(taken).low > 500
