"""kactors profile --sensitivity: which values are changed, by how much, and what is told of the figures."""

import math
import re

import pytest

from kactors.engine.errors import UsageError
from kactors.machines import load_machine, machine_names, profile
from kactors.policies import find_policy
from kactors.recordings.times import Timing
from kactors.statistics import mean_interval
from kactors.studies import sensitivity, targets
from kactors.studies.sensitivity_text import sensitivity_text
from kactors.studies.targets import LONE_FAULT_NS, lacking, targets_of
from kactors.workloads import WORKLOADS
from protocols.measurement import Interval
from tests.studies.efforts import small_effort

MACHINE = "x86-vm-16"
FITTED = {key: entry for key, entry in profile(MACHINE).items() if entry.origin == "fitted"}


@pytest.fixture(scope="module")
def told():
    words = []
    return words, sensitivity.ask(MACHINE, small_effort(words.append, events_max=40_000))


@pytest.fixture
def answer(told):
    return told[1]


@pytest.mark.parametrize("name", machine_names())
def test_each_target_is_something_that_can_run(name):
    for target in targets_of(name):
        for load in target.loads:
            scenarios = load.scenarios(7, {"wake_ns": 5})
            assert [scenario.seed for scenario in scenarios] == list(range(7, 7 + load.seeds))
            for scenario in scenarios:
                assert load_machine(scenario.machine).name == name
                assert find_policy(scenario.policy).name == scenario.policy
                WORKLOADS[scenario.workload].from_options(scenario.options)
                assert scenario.costs == {"wake_ns": 5}
        assert target.published > 0
        assert target.source


def test_the_figures_that_profiles_are_held_against_are_there():
    def figures(name):
        return {(target.name, target.unit) for target in targets_of(name)}

    assert ("ebizzy, 4 threads, per-vma-6.15", "a second") in figures("zen4-vm-2")
    assert ("ebizzy, 160 threads, spf-v9: faults not speculative", "share") in figures("p8-80")
    assert ("multi-fault, 20 threads, spf-srcu by classic", "times") in figures("ivb-ep-40")
    assert ("multi-fault, 60 threads, spf-srcu by classic", "times") in figures("ivb-ex-120")
    assert figures("skylake-2s-72") == {
        ("page_fault1, 1 thread, classic", "a second"),
        ("pft, 48 threads, spf-2021: an atomic pair more by none", "times"),
    }
    for name, fault_ns in LONE_FAULT_NS.items():
        assert targets_of(name)[0].published == pytest.approx(1e9 / fault_ns)
    assert targets_of("small") == []


FITTED_TO = {
    "ebizzy": "ebizzy",
    "BASE": "ebizzy, .* classic",
    "SPF v9": "ebizzy, .* spf-v9",
    "not speculative": "faults not speculative",
    "page_fault1": "page_fault1",
    "a minor fault takes with one thread": "page_fault1, 1 thread|multi-fault, 1 thread",
    "multi-fault": "multi-fault, .* spf-srcu by classic",
    "pft": "pft, 48 threads, spf-2021",
    "javac": "javac",
}
"""What profiles say that a value is fitted to, and which figure that is."""


@pytest.mark.parametrize("name", [name for name in machine_names() if targets_of(name)])
def test_what_a_value_is_fitted_to_is_among_the_figures_of_its_machine_or_of_one_that_is_named(name):
    for key, entry in profile(name).items():
        if entry.origin == "fitted":
            others = [other for other in machine_names() if re.search(rf"\b{other}\b", entry.why) and other != name]
            figures = [target.name for machine in (name, *others) for target in targets_of(machine)]
            wanted = [figure for words, figure in FITTED_TO.items() if words in entry.why]
            assert wanted, f"{key}: {entry.why}"
            for figure in wanted:
                assert any(map(re.compile(figure).search, figures)), f"{key}: {entry.why}"


def test_a_recordings_figures_are_its_medians(monkeypatch, tmp_path):
    figures = {target.timing: target for target in targets_of("zen4-vm-2") if target.unit == "ns"}
    assert set(figures) == {Timing.MMAP, Timing.MPROTECT, Timing.FAULT_TO_PAGE}
    assert figures[Timing.FAULT_TO_PAGE].published == 2624
    assert len({target.loads for target in figures.values()}) == 1, "one replay has them all"
    assert lacking("zen4-vm-2") == []
    monkeypatch.setattr(targets, "RECORDINGS", tmp_path)
    assert not [target for target in targets_of("zen4-vm-2") if target.unit == "ns"]
    assert lacking("zen4-vm-2") == ["javac.perf.txt.xz"]


def test_each_fitted_value_is_changed_by_a_fifth_both_ways_whatever_its_range():
    changed = {(key, round(entry.value * factor)) for key, entry in FITTED.items() for factor in (0.8, 1.2)}
    assert set(sensitivity.variants(MACHINE, ["fitted"])) == changed
    assert len(changed) == 2 * len(FITTED) > 0


def test_a_value_goes_no_further_than_the_parameter_can(tmp_path):
    own = tmp_path / "mine.toml"
    entries = (
        'rwsem_steal_percent = { value = 95, fitted = "x", fits = [0, 100], range = [0, 100] }',
        'cpus_per_core = { value = 1, fitted = "x", fits = [1, 2], range = [1, 2] }',
        'tlbie_ns = { value = 0, fitted = "x", fits = [0, 2], range = [0, 2] }',
    )
    own.write_text("\n".join(['inherits = "small"', *entries]), encoding="utf-8")
    assert sensitivity.variants(str(own), ["fitted"]) == [("rwsem_steal_percent", 76), ("rwsem_steal_percent", 100)]


def test_assumed_values_are_changed_where_that_is_asked_for():
    keys = {key for key, _ in sensitivity.variants(MACHINE, ["fitted", "assumed"])}
    assert keys > set(FITTED)
    assert {profile(MACHINE)[key].origin for key in keys} == {"fitted", "assumed"}


def test_as_many_runs_are_announced_as_are_made(told):
    assert len(told[0]) == sensitivity.runs(MACHINE, ["fitted"]) == 2 * (1 + 2 * len(FITTED)), "the share needs none"


def test_every_change_is_told_for_every_figure_beside_the_profile_as_it_is(answer):
    assert [figure.name for figure in answer.figures] == [target.name for target in targets_of(MACHINE)]
    wanted = [
        (*variant, target.name)
        for variant in sensitivity.variants(MACHINE, ["fitted"])
        for target in targets_of(MACHINE)
    ]
    assert [(change.parameter, change.changed, change.figure) for change in answer.changes] == wanted
    published = {figure.name: figure for figure in answer.figures}
    for change in answer.changes:
        figure = published[change.figure]
        assert change.value == FITTED[change.parameter].value
        assert change.ratio.mean == pytest.approx(change.simulated.mean / (figure.simulated.mean or math.inf))
        assert change.error == pytest.approx(change.simulated.mean / figure.published - 1)


def test_the_text_has_a_line_for_each_with_its_interval(answer):
    text = sensitivity_text(answer)
    for figure in answer.figures:
        assert figure.name in text
    assert "95,905/s" in text
    assert " 0.38 % " in text
    for key in FITTED:
        assert f"  - {key}: fitted " in text
    lines = [line for line in text.splitlines() if "x (" in line and not line.startswith("  -")]
    assert len(lines) >= len(answer.changes)


def test_what_may_be_chance_is_marked(answer):
    def ratio(low, high):
        return mean_interval([1.0, 1.0]).model_copy(update={"mean": (low + high) / 2, "low": low, "high": high})

    changes = [
        answer.changes[0].model_copy(update={"ratio": ratio(*ends), "met": True}) for ends in ((0.9, 1.2), (1.1, 1.2))
    ]
    text = sensitivity_text(answer.model_copy(update={"changes": tuple(changes)}))
    assert "1 of 2 changes move a figure by more than chance" in text
    assert "~ 1.05x (0.90 to 1.20)" in text
    assert "~ 1.15x" not in text


def test_a_machine_without_fitted_values_says_so():
    answer = sensitivity.ask(MACHINE, small_effort(events_max=10_000), origins=())
    assert answer.changes == ()
    assert "None of its values is fitted" in sensitivity_text(answer)


@pytest.mark.parametrize("name", ["small", "generic:8"])
def test_of_a_machine_of_which_nothing_is_known_that_is_told(name):
    with pytest.raises(UsageError, match=f"machine {name}: no figure is known of it"):
        sensitivity.ask(name, small_effort())


def test_a_recording_that_is_not_there_is_told(answer):
    text = sensitivity_text(answer.model_copy(update={"lacking": ("javac.perf.txt.xz",)}))
    assert "recordings/javac.perf.txt.xz is not there: the figures that it gives are left out." in text


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        ("a second", 95_905.0, " 95,905/s  95,905 ±10.0 % "),
        ("times", 1.58, " 1.58x  1.58x (1.42 to 1.74) "),
        ("share", 0.0439, " 4.39 %  4.4 % (4.0 to 4.8) "),
        ("ns", 18_700.0, " 18.7 us  18.7 us (16.8 us to 20.6 us) "),
    ],
)
def test_each_figure_is_written_in_its_unit(answer, unit, value, text):
    about = Interval(mean=value, low=0.9 * value, high=1.1 * value, confidence=0.95, n=3)
    figure = answer.figures[0].model_copy(update={"unit": unit, "published": value, "simulated": about})
    assert text in sensitivity_text(answer.model_copy(update={"figures": (figure,)}))


@pytest.mark.parametrize("name", ["ivb-ep-40", "ivb-ex-120"])
def test_what_goes_in_rounds_in_step_is_measured_over_whole_rounds(name):
    """A time in which one policy's threads have dropped their pages, and the other's not, tells nothing of the gain."""
    for target in targets_of(name):
        for load in target.loads:
            assert dict(load.options)["rounds"] >= 1
            assert load.until_ns is None
            assert load.how.startswith("3 seeds, rounds: ")
