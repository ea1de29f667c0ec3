"""`kactors validate`: recorded beside simulated, from a short cut of a real recording."""

import json
import lzma
from itertools import islice
from pathlib import Path

import pytest
from click.testing import CliRunner

from kactors.cli import main
from kactors.engine.engine import Limits
from kactors.recordings import Distribution
from kactors.studies.validate import TimeRow, validate
from protocols.scenario import Scenario

RECORDINGS = Path(__file__).parents[2] / "recordings"


def cut(folder, lines=2000, name="ebizzy-mTRp-t4"):
    path = folder / "short.perf.txt"
    with lzma.open(RECORDINGS / f"{name}.perf.txt.xz", "rt", encoding="utf-8") as recording:
        path.write_text("".join(islice(recording, lines)))
    return path


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    return cut(tmp_path_factory.mktemp("recordings"))


def call(*words):
    return CliRunner().invoke(main, ["validate", *map(str, words)], catch_exceptions=False)


def distribution(count, p50, p99):
    return Distribution(count, p50, p99, p99, p99)


@pytest.fixture(scope="module")
def as_json(short):
    done = call(short, "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_what_was_recorded_is_simulated_as_often(as_json):
    times = {row["name"]: row for row in as_json["times"]}
    assert (as_json["machine"], as_json["policy"], as_json["seed"]) == ("zen4-vm-2", "per-vma-6.15", 1)
    for name in ("mmap", "munmap", "mmap_lock write wait", "mmap_lock write hold"):
        assert times[name]["recorded"]["count"] > 90
        # Counted as long as no thread that was recorded to the end has run out of steps.
        assert 0.6 < times[name]["simulated"]["count"] / times[name]["recorded"]["count"] < 1.04
    counts = {row["name"]: row for row in as_json["counts"]}
    assert abs(counts["faults"]["recorded"] - counts["faults"]["simulated"]) <= 4
    assert as_json["span_ns"]["recorded"] > 0 < as_json["span_ns"]["simulated"]


def test_ratios_are_simulated_to_recorded(as_json):
    for row in as_json["times"]:
        if row["ratio_p50"] is not None:
            assert row["ratio_p50"] == pytest.approx(row["simulated"]["p50_ns"] / row["recorded"]["p50_ns"])
            assert row["ratio_p99"] == pytest.approx(row["simulated"]["p99_ns"] / row["recorded"]["p99_ns"])
    assert as_json["within"] == all(row["within"] in (True, None) for row in as_json["times"])


@pytest.mark.parametrize(
    ("recorded", "simulated", "within"),
    [
        ((51, 100, 1000), (9, 150, 3000), True),
        ((51, 150, 3000), (9, 100, 1000), True),
        ((51, 100, 1000), (9, 151, 1000), False),
        ((51, 100, 1000), (9, 66, 1000), False),
        ((51, 100, 1000), (9, 100, 3001), False),
        ((51, 100, 1000), (9, 100, 333), False),
        ((50, 100, 1000), (9, 900, 9000), None),
        ((51, 100, 1000), (0, 0, 0), False),
    ],
)
def test_a_row_is_judged_by_both_factors_once_enough_was_recorded(recorded, simulated, within):
    assert TimeRow("x", distribution(*recorded), distribution(*simulated)).within is within


def test_the_table_has_a_row_a_duration_and_says_how_many_met_their_target(short, as_json):
    done = call(short)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"{short}: process ")
    judged = [row["within"] for row in as_json["times"] if row["within"] is not None]
    assert f"  {sum(judged)} of {len(judged)} durations with more than 50 recorded samples" in done.stdout
    for row in as_json["times"]:
        (line,) = [line for line in lines if line.startswith(f"  {row['name']}  ")]
        assert line.endswith({None: "-", True: "met", False: "missed"}[row["within"]])
    assert sum("ratio" in line for line in lines) >= 3


def test_another_seed_policy_and_profile_are_taken(short, as_json):
    other = json.loads(
        call(short, "--json", "--seed", 5, "--policy", "classic", "--set", "machine.tracing_ns=0").stdout
    )
    assert (other["seed"], other["policy"], other["tracing_ns"]) == (5, "classic", 0)
    mmap = {row["name"]: row for row in other["times"]}["mmap"]
    traced = {row["name"]: row for row in as_json["times"]}["mmap"]
    # Four events lie between sys_enter and sys_exit: its own, start_locking, acquire_returned and released.
    assert traced["simulated"]["p50_ns"] - mmap["simulated"]["p50_ns"] >= 4 * as_json["tracing_ns"] - 200


def test_a_missed_target_is_no_finding_unless_one_is_strict(short):
    slow = ("--set", "machine.map_ns=900000")
    assert call(short, *slow).exit_code == 0
    assert call(short, *slow, "--strict").exit_code == 1


def test_the_same_call_from_python(short, as_json):
    options = {"file": str(short)}
    scenario = Scenario(workload="recording", options=options, machine="zen4-vm-2", policy="per-vma-6.15")
    assert json.loads(json.dumps(validate(scenario).to_json())) == as_json


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere.txt"], "nowhere.txt"),
        ([Path(__file__)], "lines like 'comm pid/tid"),
        (["SHORT", "--machine", "cray-1"], "cray-1"),
        (["SHORT", "--policy", "hope"], "hope"),
        (["SHORT", "--set", "machine.tracing_ns=-1"], "tracing_ns"),
    ],
)
def test_a_wrong_request_gets_one_line(short, words, told):
    done = call(*[short if word == "SHORT" else word for word in words])
    assert (done.exit_code, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert told in line


def test_whoever_asks_can_watch_the_run(short):
    engines, ticks = [], []

    def tick():
        ticks.append(engines[0].now_ns)
        return False

    scenario = Scenario(workload="recording", options={"file": str(short)}, machine="zen4-vm-2", policy="per-vma-6.15")
    watched = validate(scenario, limits=Limits(predicate=tick), on_ready=engines.append)
    assert len(ticks) == watched.result.events
    assert ticks[-1] == watched.result.virtual_ns
    assert watched.times == validate(scenario).times
