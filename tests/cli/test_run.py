"""What runs, prints and ends with which code."""

import json

import pytest

import kactors as api
from kactors import Machine, Scenario
from kactors.cli.commands import main
from kactors.report import report
from tests.cli.conftest import TINY

TINY_SCENARIO = {"machine": "small", "options": {"n": 1, "s": 4096}}


def test_run_prints_the_report_of_the_same_run_from_python(kactors):
    done = kactors("run", "ebizzy", *TINY, "--until", "100us", "--seed", 3)
    expected = api.run(Scenario(until_ns=100_000, seed=3, **TINY_SCENARIO))
    assert done.exit_code == 0
    assert done.stderr == ""
    assert done.stdout == report(expected)
    assert expected.counters.faults > 10


def test_run_prints_json(kactors):
    done = kactors("run", "ebizzy", *TINY, "--until", "100us", "--json")
    assert json.loads(done.stdout) == json.loads(
        json.dumps(api.run(Scenario(until_ns=100_000, **TINY_SCENARIO)).to_json())
    )


def test_both_runtimes_print_the_same(kactors):
    words = ("run", "ebizzy", *TINY, "--until", "50us", "--runtime")
    assert kactors(*words, "trio").stdout == kactors(*words, "inline").stdout


def test_the_runtime_is_the_one_that_was_asked_for(kactors, monkeypatch):
    seen = []
    really = Machine.run

    def run(machine, runtime):
        seen.append(runtime)
        return really(machine, runtime)

    monkeypatch.setattr(Machine, "run", run)
    for words in (["--runtime", "trio"], ["--runtime", "inline"], []):
        kactors("run", "ebizzy", "--until", "1ns", *words)
    assert seen == ["trio", "inline", "inline"]


def test_replay_runs_a_recording_to_its_end(kactors, short_recording):
    done = kactors("replay", short_recording(), "--machine", "small", "--json")
    result = json.loads(done.stdout)
    assert done.exit_code == 0, done.stderr
    assert result["workload"] == "recording"
    assert result["threads"] == 4
    assert result["stop"]["kind"] == "quiescent"
    assert result["throughput"]["records"] > 250


def test_replay_repeats_threads_and_says_what_it_skipped(kactors, short_recording):
    path = short_recording(nonsense=20)
    done = kactors("replay", path, "--machine", "small", "--threads", 6, "--until", "100us", "--json")
    result = json.loads(done.stdout)
    assert result["threads"] == 6
    assert any("20 of 2020 lines are unreadable" in note for note in result["notes"])


def test_a_finding_is_printed_and_ends_with_1(kactors):
    done = kactors("run", "same-address", "--machine", "small", "--cpus", 4, "--set", "bounds.transient_pages_max=0")
    assert done.exit_code == 1
    assert done.stderr == ""
    assert " *** BOUND bounds.transient_pages_max exceeded" in done.stdout
    assert " again          kactors run same-address --machine small" in done.stdout


def test_a_finding_in_json_ends_with_1(kactors):
    done = kactors(
        "run", "same-address", "--machine", "small", "--cpus", 4, "--set", "bounds.transient_pages_max=0", "--json"
    )
    assert done.exit_code == 1
    assert json.loads(done.stdout)["stop"]["kind"] == "bound"


def first_finding(kactors, kind, *words):
    """The first of some seeds that ends so."""
    for seed in range(60):
        done = kactors("run", *words, "--machine", "small", "--seed", seed)
        if f"*** {kind}" in done.stdout:
            assert done.exit_code == 1
            return done.stdout
    raise AssertionError(f"no {kind}")


def test_the_mails_deadlock_is_drawn(kactors):
    text = first_finding(
        kactors,
        "DEADLOCK",
        *("munmap-vs-fault", "--policy", "broken-blocking-spin", "--set", "machine.mmu_gather_pages=3"),
    )
    assert "  CPU0 -> IPI ack of cpu1 -> PTE lock of ptl@" in text
    header = next(line for line in text.splitlines() if line.split() == ["CPU0", "CPU1"])
    waits = [line for line in text.splitlines() if " then " in line]
    assert waits[0].index("waits for IPI ack of cpu1") == header.index("CPU0")
    assert waits[1].index("waits for PTE lock") == header.index("CPU1")


def test_a_violation_tells_its_story_and_can_be_left_out(kactors):
    words = ("collapse-vs-fault", "--policy", "broken-irqs-on-no-checks", "--set", "khugepaged.scan_sleep_millisecs=1")
    text = first_finding(kactors, "VIOLATION", *words)
    assert " The last deliveries" in text
    assert text.count(" -> ") >= 20
    seed = text.split("--seed ")[1].split()[0]
    assert "VIOLATION" not in kactors("run", *words, "--machine", "small", "--seed", seed, "--no-check").stdout


CRASHING = """
from kactors.fault_policy import FaultPolicy
class Mine(FaultPolicy):
    name = "mine"
    async def fault(self, cpu, address, *, write):
        raise KeyError("no such luck")
"""


def test_a_mistake_in_a_users_file_ends_with_2_and_names_its_line(kactors, refused, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(CRASHING)
    words = ("run", "ebizzy", *TINY, "--policy", f"{path}:Mine")
    assert refused(*words) == f"{path}:6 in fault: KeyError: 'no such luck'"
    traced = kactors("--traceback", *words)
    assert traced.exit_code == 2
    assert "Traceback (most recent call last)" in traced.stderr


def test_so_does_one_that_compares_workers_meet(refused, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(CRASHING)
    line = refused("compare", "ebizzy", *TINY, "--policies", f"classic,{path}:Mine")
    assert line == f"{path}:6 in fault: KeyError: 'no such luck'"


def test_an_actor_that_crashes_ends_with_3_in_one_line(kactors, monkeypatch):
    def crash(*_args, **_given):
        raise KeyError("no such luck")

    monkeypatch.setattr("kactors.policies.classic.classic_fault", crash)
    words = ("run", "ebizzy", *TINY, "--policy", "classic")
    done = kactors(*words)
    assert done.exit_code == 3
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("kactors: internal error: cpu0 crashed on ")
    assert "KeyError: 'no such luck'" in line
    assert "kactors --traceback" in line
    assert kactors("--traceback", *words).exit_code == 3


def test_messages_lists_and_schemas(kactors):
    assert "  DownRead " in kactors("messages").stdout
    assert "  spf-v9 " in kactors("list").stdout
    assert json.loads(kactors("schema", "result").stdout)["title"] == "Result"
    assert json.loads(kactors("schema", "scenario").stdout)["title"] == "Scenario"


@pytest.mark.parametrize("command", ["run", "replay", "compare", "messages", "list", "schema"])
def test_every_command_has_help(kactors, command):
    done = kactors(command, "--help")
    assert done.exit_code == 0
    assert done.stdout.startswith("Usage: ")
    assert "--traceback" not in done.stdout


def test_the_version_is_the_packages(kactors):
    assert kactors("--version").stdout.split()[-1] == api.run(Scenario(until_ns=1)).version


def test_options_are_documented():
    for command in main.commands.values():
        for option in command.params:
            if option.param_type_name == "option" and option.name != "runtime":
                assert option.help, f"{command.name} {option.name}"
