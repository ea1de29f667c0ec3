import pytest

from kactors.statistics import Interval
from kactors.studies.scale import HANDED_ON, knee, parse_sizes, saturated, scale, scenarios
from kactors.sweep.precision import Precision
from protocols.scenario import Scenario


def about(mean, relative=0.01):
    return Interval(mean=mean, low=mean * (1 - relative), high=mean * (1 + relative), confidence=0.95, n=30)


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("1..64", [1, 2, 4, 8, 16, 32, 64]),
        ("3..80", [3, 4, 8, 16, 32, 64, 80]),
        ("1,2, 48", [1, 2, 48]),
        ("8", [8]),
        ("1..4,3..3,16", [1, 2, 3, 4, 16]),
    ],
)
def test_sizes_are_powers_of_two_and_the_ends(text, sizes):
    assert parse_sizes(text) == sizes


@pytest.mark.parametrize("text", ["", "0", "4..1", "1..", "a", "1...8", "-1"])
def test_what_names_no_sizes_is_refused(text):
    with pytest.raises(ValueError, match="no range of CPUs"):
        parse_sizes(text)


def test_a_generic_machine_grows_and_another_is_cut():
    generic, cut = (
        scenarios(Scenario(machine=machine, seed=3), [1, 4], ["classic", "spf-v9"]) for machine in ("generic", "x86-80")
    )
    assert [(each.policy, each.machine, each.cpus) for each in generic[:2]] == [
        ("classic", "generic:1", None),
        ("classic", "generic:4", None),
    ]
    assert [(each.policy, each.machine, each.cpus) for each in cut[1:3]] == [
        ("classic", "x86-80", 4),
        ("spf-v9", "x86-80", 1),
    ]
    assert {each.seed for each in (*generic, *cut)} == {3}


def test_the_knee_is_where_doubling_brings_less_than_half_of_another_rate():
    assert knee([1, 2, 4, 8], [about(10), about(19), about(36), about(40)]) == 4
    assert knee([1, 2, 4], [about(10), about(20), about(40)]) is None
    assert knee([1, 2, 4], [about(10), about(14.9, 0.05), about(40)]) is None  # by its interval it may pay
    assert knee([1, 2], [about(10), about(8)]) == 1


def test_the_busiest_resource_saturates():
    use = {"mmap_sem (write)": about(0.3), "mmap_sem": about(0.9), "mmap_sem line": about(0.95), "CPUs": about(0.5)}
    assert saturated(use) == ("mmap_sem's cache line", 0.95)
    assert saturated(use | {"mmap_sem line": about(0.1)}) == (HANDED_ON, 0.9)
    idle = {name: about(0.1) for name in use} | {"CPUs": about(0.2)}
    assert saturated(idle) == ("nothing (busiest: mmap_sem held for writing)", 0.1)
    assert saturated(idle | {"CPUs": about(0.95)}) == ("the CPUs themselves", 0.95)


@pytest.fixture(scope="module")
def scaled():
    """page_fault1 in threads: all faults take mmap_sem for reading."""
    todo = scenarios(Scenario(workload="page_fault1", machine="generic"), [1, 2, 8, 16, 32], ["classic"])
    precision = Precision(relative=0.05, events_max=30_000)
    seen = []
    (found,) = scale(todo, precision, workers=1, on_done=lambda place, measured: seen.append(measured.result.cpus))
    assert sorted(seen) == [1, 2, 8, 16, 32]
    return found


def test_sizes_come_in_order_with_their_rates(scaled):
    assert [size.cpus for size in scaled.sizes] == [1, 2, 8, 16, 32]
    assert all(size.rate.mean > 0 and size.events <= 30_000 for size in scaled.sizes)
    assert scaled.law is not None
    assert scaled.knee_cpus is not None


def test_readers_of_mmap_sem_wait_for_its_cache_line(scaled):
    one, most = scaled.sizes[0], scaled.sizes[-1]
    assert one.saturated == "the CPUs themselves"
    assert most.saturated == "mmap_sem's cache line"
    assert most.use > 0.8
    assert most.utilisation["mmap_sem"].mean > 0.8 > most.utilisation["mmap_sem (write)"].mean
    assert one.utilisation["mmap_sem line"].mean < 0.1
