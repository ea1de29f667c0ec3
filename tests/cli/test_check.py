"""kactors check and kactors replay-schedule: what they print, how they end, and what they refuse."""

import json
import shlex

import jsonschema
import pytest

from kactors.report.schema import SCHEMAS

DEADLOCK = (
    *("munmap-vs-fault", "--policy", "broken-blocking-spin"),
    *("--set", "machine.mmu_gather_pages=1", "-j", "1"),
)
CLEAN = ("munmap-vs-fault", "--set", "pages=1", "-j", "1")

MINE = """
from kactors.observers.properties import Property
from protocols.tracepoints import MmapSemWait


class Mine(Property):
    name = "mine"

    def tracepoints(self):
        return {MmapSemWait: self.waited}

    def waited(self, at_ns, who, wait):
        return self.violated(f"{who} takes mmap_sem")
"""

SPIN = """
from kactors.policies.spf_v9 import SpfV9


class Spin(SpfV9):
    name = "spin"

    async def take_pte_lock(self, cpu, table, address):
        while (pte := await super().take_pte_lock(cpu, table, address)) is None:
            pass
        return pte
"""


@pytest.fixture
def replay_line(kactors):
    """The words of the replay line of a search that finds something."""

    def words(*search):
        done = kactors("check", *search)
        assert done.exit_code == 1, done.output
        (line,) = [line for line in done.stdout.splitlines() if "kactors replay-schedule" in line]
        return shlex.split(line)[1:], done.stdout

    return words


def test_the_deadlock_of_the_mail_is_a_story_of_at_most_20_steps(kactors):
    done = kactors("check", *DEADLOCK, "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)["found"]
    assert found["stop"]["kind"] == "deadlock"
    assert {edge["resource"].split(" of ")[0] for edge in found["stop"]["cycle"]} == {"IPI ack", "PTE lock"}
    assert len(found["story"]) <= 20
    assert found["scenario"]["options"] == {"pages": 1}
    assert found["critical"] is not None
    assert all(step["does"] for step in found["story"])


def test_the_replay_line_tells_the_same_story(kactors, replay_line):
    words, text = replay_line(*DEADLOCK)
    again = kactors(*words)
    assert again.exit_code == 1
    told = [part for part in again.stdout.split("\n\n") if "The story" not in part]
    assert len(told) >= 5
    assert all(part.strip() in text for part in told)


def test_a_policy_of_ones_own_that_spins_on_a_trylock_is_a_livelock(kactors, replay_line, tmp_path):
    path = tmp_path / "spin.py"
    path.write_text(SPIN)
    words, text = replay_line("mail-deadlock", "--policy", f"{path}:Spin", "-j", "1")
    assert "*** LIVELOCK ***" in text
    assert "PteLockBusy, TrylockPte" in " ".join(text.split())
    again = kactors(*words)
    assert again.exit_code == 1
    assert "*** LIVELOCK ***" in again.stdout


def test_a_clean_search_is_complete_and_ends_well(kactors):
    done = kactors("check", *CLEAN)
    assert done.exit_code == 0
    assert "every interleaving is covered" in done.stdout
    assert "Never taken" in done.stdout


@pytest.mark.parametrize("strategy", ["exhaustive", "dpor"])
def test_strategies_agree_on_the_number_of_traces(kactors, strategy):
    traces = [
        json.loads(kactors("check", *CLEAN, "--json", "--strategy", name).stdout)["traces"]
        for name in ("portfolio", strategy)
    ]
    assert traces[0] == traces[1] > 1


@pytest.mark.parametrize("search", [CLEAN, DEADLOCK, (*CLEAN, "--strategy", "pct", "--max-schedules", "50")])
def test_what_is_printed_as_json_obeys_its_schema(kactors, search):
    value = json.loads(kactors("check", *search, "--json").stdout)
    jsonschema.Draft202012Validator(SCHEMAS["search"]()).validate(value)


def test_a_search_of_drawn_schedules_says_what_it_may_have_missed(kactors):
    done = kactors("check", *CLEAN, "--strategy", "pct", "--max-schedules", "50")
    assert done.exit_code == 0
    assert "50 schedules" in done.stdout
    assert "PCT's bound" in done.stdout


def test_a_search_whose_time_is_up_says_that_it_is_not_complete(kactors):
    done = kactors("check", "munmap-vs-fault", "-j", "1", "--time", "0")
    assert done.exit_code == 0
    assert "not complete" in done.stdout


@pytest.mark.parametrize(
    "search",
    [
        (*CLEAN, "--strategy", "random", "--max-schedules", "2100"),
        # The exhaustive search needs two pieces of it, the second of which must go on from the first.
        ("dontneed-fault",),
        ("munmap-page", "--policy", "broken-no-last-check"),
    ],
    ids=["walks", "portfolio", "finding"],
)
def test_the_number_of_processes_does_not_change_the_result(kactors, search):
    one, two, three = (kactors("check", *search, "--json", "-j", count) for count in (1, 2, 3))
    assert one.stdout == two.stdout == three.stdout
    assert json.loads(one.stdout)["schedules"] > 128, "the first piece is searched by the parent alone"


def test_a_scenario_file_is_searched_too(kactors, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('workload = "munmap-vs-fault"\n[options]\npages = 1\n')
    assert "munmap-vs-fault pages=1 under spf-v9 on small" in kactors("check", path, "-j", "1").stdout


def test_a_property_of_ones_own_judges_and_is_on_the_replay_line(kactors, replay_line, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    words, text = replay_line(*CLEAN, "--property", f"{path}:Mine")
    assert "VIOLATION of mine" in text
    assert words[-2:] == ["--property", f"{path}:Mine"]
    assert kactors(*words).exit_code == 1


def test_without_shrinking_the_finding_is_told_as_it_was_found(kactors):
    value = json.loads(kactors("check", *DEADLOCK, "--no-shrink", "--json").stdout)
    assert value["found"]["scenario"] == value["scenario"]
    assert value["found"]["critical"] is None


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("check", "munmap-vs-falt"), "did you mean munmap-vs-fault?"),
        (("check", "munmap-vs-fault", "--policy", "nobody"), "there is no policy nobody"),
        (("check", "munmap-vs-fault", "--strategy", "luck"), "'luck' is not one of"),
        (("check", "munmap-vs-fault", "--property", "nothing"), "--property nothing: no such property"),
        (("check", "munmap-vs-fault", "--max-schedules", "0"), "0 is not in the range"),
        (("check", "munmap-vs-fault", "-j", "0"), "0 is not in the range"),
        (("check", "munmap-vs-fault", "--connect", "unix:/nowhere"), "unix:/nowhere does not answer"),
        (("replay-schedule", "x", "munmap-vs-fault", "--connect", "unix:/nowhere"), "it has no method for this"),
        (("check", "same-address", "--threads", "3"), "3 threads on 2 CPUs"),
        (("check", "nowhere.toml"), "No such file"),
        (("replay-schedule", "nonsense", "munmap-vs-fault"), "not a schedule: 'nonsense'"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_line(refused, words, line):
    assert line in refused(*words)


def test_a_schedule_of_another_scenario_is_refused(refused, replay_line):
    (command, schedule, *words), _ = replay_line(*DEADLOCK)
    line = refused(command, schedule, *words, "--set", "pages=2")
    assert "it is of another scenario, policy or version" in line


def test_a_damaged_schedule_is_refused(refused, replay_line):
    (command, schedule, *words), _ = replay_line(*DEADLOCK)
    assert "is not possible: the run has ended by then" in refused(command, f"{schedule},0", *words)
    assert "damaged at 'x'" in refused(command, f"{schedule},x", *words)


RAISES = """
from kactors.policies.classic import Classic


class Raises(Classic):
    name = "raises"

    async def fault(self, cpu, address, *, write):
        return cpu.no_such_thing
"""

DEAF = """
from kactors.observers.properties import Property


class Deaf(Property):
    name = "deaf"
"""

EVERYTHING = (
    DEAF
    + """
    def tracepoints(self):
        return {}

    def deliveries(self):
        return print
"""
)


@pytest.mark.parametrize("command", [("check", "two-faults"), ("run", "same-address", "--machine", "small")])
def test_a_users_mistake_is_told_with_its_place(refused, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(RAISES)
    line = refused(*command, "--policy", "./mine.py:Raises")
    assert line.startswith("./mine.py:9 in fault: AttributeError: ")
    assert line.endswith("has no attribute 'no_such_thing'")


@pytest.mark.parametrize(("text", "why"), [(DEAF, "hears nothing"), (EVERYTHING, "no deliveries")])
def test_a_property_that_would_never_find_anything_is_refused(refused, tmp_path, monkeypatch, text, why):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(text)
    assert why in refused("check", "two-faults", "--property", "./mine.py:Deaf")


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "soon"])
def test_a_time_without_an_end_is_refused(refused, seconds):
    assert "--time" in refused("check", "two-faults", "--time", seconds)


def test_a_machine_that_is_not_small_is_refused(refused):
    assert "80 CPUs: a search is for a small machine" in refused("check", "same-address", "--cpus", "80")
