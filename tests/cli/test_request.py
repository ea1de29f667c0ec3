"""From words and a file to a scenario: what overrides what, and how values are read."""

import pytest

from kactors.cli.request import DEFAULT_UNTIL_NS, Overrides, build_scenario, workload_or_file
from kactors.engine.errors import UsageError
from protocols.scenario import OnLimit, Scenario

FILE = """
workload = "collapse"
policy = "per-vma"
machine = "p8-80"
cpus = 6
threads = 12
seed = 9
until_ns = 1000
events_max = 5000

[options]
pmds = 2
rounds = 3

[policy_options]
mine = true

[costs]
clear_page_ns = 7

[bounds]
transient_pages_max = 3
on_limit = "stop"

[khugepaged]
scan_sleep_millisecs = 4
fault_huge = true
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "scenario.toml"
    path.write_text(FILE)
    return path


def test_a_file_is_the_scenario(file):
    assert build_scenario(Overrides(scenario=file)) == Scenario(
        workload="collapse",
        options={"pmds": 2, "rounds": 3},
        policy="per-vma",
        policy_options={"mine": True},
        machine="p8-80",
        costs={"clear_page_ns": 7},
        cpus=6,
        threads=12,
        seed=9,
        until_ns=1000,
        events_max=5000,
        bounds={"transient_pages_max": 3, "on_limit": OnLimit.STOP},
        khugepaged={"scan_sleep_millisecs": 4, "fault_huge": True},
    )


def test_options_override_the_file(file):
    settings = (
        "pmds=8",
        "policy.mine=7",
        "machine.clear_page_ns=1",
        "bounds.on_limit=wait",
        "khugepaged.max_ptes_none=0",
    )
    given = Overrides(
        scenario=file, machine="small", cpus=2, threads=3, policy="classic", seed=4, until=5, settings=settings
    )
    scenario = build_scenario(given, workload="collapse")
    assert scenario == Scenario(
        workload="collapse",
        options={"pmds": 8, "rounds": 3},
        policy="classic",
        policy_options={"mine": 7},
        machine="small",
        costs={"clear_page_ns": 1},
        cpus=2,
        threads=3,
        seed=4,
        until_ns=5,
        events_max=5000,
        bounds={"transient_pages_max": 3, "on_limit": OnLimit.WAIT},
        khugepaged={"scan_sleep_millisecs": 4, "max_ptes_none": 0, "fault_huge": True},
    )


def test_a_bound_of_the_file_can_be_taken_away(file):
    scenario = build_scenario(Overrides(scenario=file, settings=("bounds.transient_pages_max=none",)))
    assert scenario.bounds.transient_pages_max is None


def test_the_workload_on_the_command_line_wins(file):
    settings = ("bounds.on_limit=wait",)
    assert build_scenario(Overrides(scenario=file, settings=settings), workload="ebizzy").workload == "ebizzy"


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("False", False), ("1", 1), ("-3", -3), ("1.5", "1.5"), ("a=b", "a=b"), ("", "")],
)
def test_a_setting_is_a_boolean_a_number_or_text(text, value):
    scenario = build_scenario(Overrides(settings=(f"x={text}",)), workload="collapse")
    assert scenario.options == {"x": value}
    assert type(scenario.options["x"]) is type(value)


def test_the_last_of_two_settings_wins():
    assert build_scenario(Overrides(settings=("t=1", "t=2")), workload="collapse").options == {"t": 2}


def test_what_never_ends_gets_an_end():
    assert build_scenario(Overrides(), workload="ebizzy").until_ns == DEFAULT_UNTIL_NS == 20_000_000
    assert build_scenario(Overrides(until=3), workload="ebizzy").until_ns == 3
    assert build_scenario(Overrides(), workload="collapse").until_ns is None
    assert build_scenario(Overrides(), recording="x").until_ns is None


def test_a_limit_of_deliveries_is_an_end_too(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text("events_max = 5\n")
    assert build_scenario(Overrides(scenario=path)).until_ns is None


def test_a_recording_is_the_workload_that_replays_it():
    scenario = build_scenario(Overrides(settings=("pid=7",)), recording="a/b.xz")
    assert (scenario.workload, scenario.options) == ("recording", {"file": "a/b.xz", "pid": 7})


def test_the_defaults_are_the_models():
    assert build_scenario(Overrides(until=1), workload="ebizzy") == Scenario(until_ns=1)


def test_a_word_is_a_workload_or_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rec").write_text("")
    (tmp_path / "ebizzy").write_text("")
    assert workload_or_file("rec") == {"recording": "rec"}
    assert workload_or_file("ebizzy") == {"workload": "ebizzy"}
    assert workload_or_file("./ebizzy") == {"recording": "./ebizzy"}
    with pytest.raises(UsageError, match="no workload and no file"):
        workload_or_file("nothing")
