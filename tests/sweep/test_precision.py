import subprocess
import sys

import pytest

from kactors.engine.errors import UsageError
from kactors.run import run
from kactors.sweep.precision import Precision, measure, measure_all, replicate
from kactors.workloads import Program
from protocols.measurement import Measurement
from protocols.scenario import Scenario

SMALL = Scenario(workload="ebizzy", policy="classic", machine="zen4-vm-2", seed=7)
TEN_PERCENT = Precision(relative=0.1)


@pytest.fixture(scope="module")
def measured():
    return measure(SMALL, TEN_PERCENT)


def test_a_measured_run_is_the_plain_run_of_its_scenario(measured):
    assert measured.result == run(measured.scenario, properties=False)
    assert measured.scenario == SMALL.model_copy(update={"until_ns": measured.virtual_ns})


def test_it_ends_when_the_interval_is_narrow_enough(measured):
    assert measured.met
    assert not measured.why
    assert measured.rate.relative <= 0.1
    sampled_ns = len(measured.series.counts) * measured.series.slice_ns
    assert 0 < measured.needed_ns <= sampled_ns - measured.warm_up_ns


def test_the_rate_is_that_of_what_follows_the_warm_up(measured):
    skipped = measured.warm_up_ns // measured.series.slice_ns
    steady = measured.series.counts[skipped:]
    assert measured.rate.holds(sum(steady) / len(steady) / measured.series.slice_ns * 1e9)
    whole = measured.result.throughput
    assert measured.rate.mean == pytest.approx(whole.per_s, rel=0.15)
    assert measured.faults_per_s.mean == pytest.approx(whole.faults_per_s, rel=0.15)
    assert measured.rates["faults"] == measured.faults_per_s


def test_the_set_up_is_counted_on_its_own(measured):
    # ebizzy -mTRp writes ten chunks of 128 pages, alone, before it starts a worker.
    assert measured.set_up.faults == 1280
    assert measured.set_up.spf == 0
    assert measured.started_ns > 0


def test_the_cpus_time_adds_up(measured):
    assert sum(share.mean for share in measured.cpu_time.values()) == pytest.approx(1, abs=0.01)
    whole = [sum(getattr(cpu, f"{kind}_ns") for cpu in measured.result.cpu_time) for kind in measured.cpu_time]
    for share, ns in zip(measured.cpu_time.values(), whole, strict=True):
        assert share.mean == pytest.approx(ns / measured.virtual_ns / measured.result.cpus, abs=0.1)


def test_listening_to_locks_changes_nothing_and_tells_their_use(measured):
    listened = measure(SMALL, TEN_PERCENT, locks=True)
    assert listened.result == measured.result
    assert all(0 <= use.mean <= 1.001 for use in listened.utilisation.values())
    write, anybody = (listened.utilisation[name].mean for name in ("mmap_sem (write)", "mmap_sem"))
    assert 0 < write <= anybody
    # What writers held, by another observer, over the whole run.
    held_ns = listened.result.mmap_sem.write_hold.total_ns
    assert write == pytest.approx(held_ns / listened.virtual_ns, rel=0.2)
    assert "mmap_sem (write)" not in measured.utilisation


@pytest.mark.parametrize("bound", [{"until_ns_max": 6_000_000}, {"events_max": 4_000}])
def test_a_bound_that_comes_first_is_told(bound):
    cut = measure(SMALL, Precision(relative=0.0001, **bound))
    assert not cut.met
    assert "virtual time is up" in cut.why or "deliveries" in cut.why
    assert cut.result == run(cut.scenario, properties=False)


def test_a_scenarios_own_end_is_a_bound():
    cut = measure(SMALL.model_copy(update={"until_ns": 4_000_000}), Precision(relative=0.0001))
    assert (cut.met, cut.virtual_ns) == (False, 4_000_000)


def test_a_run_that_finishes_before_is_told():
    async def work(thread):
        start = await thread.mmap(1 << 20)
        await thread.touch(start)

    ended = measure(SMALL, TEN_PERCENT, workload=Program([work]))
    assert not ended.met
    assert ended.why.startswith("every thread has finished")
    assert ended.rate.mean == 0 < ended.rate.half_width
    assert Measurement.model_validate_json(ended.model_dump_json()) == ended


def test_a_workload_in_rounds_is_not_believed_before_it_has_gone_through_two():
    scenario = Scenario(workload="page_fault1", machine="zen4-vm-2", threads=1, options={"memsize": 1 << 20})
    rounds = measure(scenario, Precision(relative=0.3))
    assert rounds.met
    assert sum(rounds.series.counts) >= 2 * 256
    cut = measure(scenario, Precision(relative=0.3, events_max=5_000))
    assert sum(cut.series.counts) < 2 * 256
    assert not cut.met
    assert "too short for its interval to be believed" in cut.why


def test_processes_change_nothing(measured):
    scenarios = [SMALL, SMALL.model_copy(update={"seed": 8})]
    done = []
    found = measure_all(scenarios, TEN_PERCENT, workers=2, on_done=lambda place, _: done.append(place))
    assert found[0] == measured
    assert found[1].scenario.seed == 8
    assert sorted(done) == [0, 1]


def test_each_scenario_may_have_a_precision_of_its_own():
    two = [Precision(relative=0.5, events_max=bound) for bound in (9_000, 12_000)]
    assert [each.events for each in measure_all([SMALL, SMALL], two, workers=1)] == [9_000, 12_000]


def test_what_is_sampled_at_least_is_sampled_though_the_rate_is_known_before(measured):
    least_ns = 2 * len(measured.series.counts) * measured.series.slice_ns
    longer = measure(SMALL, Precision(relative=0.1, sampled_ns_min=least_ns))
    assert longer.met
    assert len(longer.series.counts) * longer.series.slice_ns >= least_ns


def test_replications_differ_in_the_seed_alone():
    seeds = [scenario.seed for scenario in replicate(SMALL, 3)]
    assert seeds == [7, 8, 9]
    assert replicate(SMALL, 3)[0] == SMALL


@pytest.mark.parametrize("wrong", [{"relative": 0}, {"relative": 2}, {"confidence": 1}])
def test_what_is_no_precision_is_refused(wrong):
    with pytest.raises(UsageError, match="between 0 and 1"):
        Precision(**wrong)


def test_the_command_line_starts_without_numpy():
    code = "import sys, kactors.cli; sys.exit('numpy' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
