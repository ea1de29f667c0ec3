"""One seed, one trace: on both runtimes, under any hash seed, on a second run, byte for byte."""

import os
import subprocess
import sys
from itertools import zip_longest

import pytest

from kactors import Machine, Scenario
from kactors.engine.choices import RecordingChoices, ReplayedChoices, SeededChoices
from kactors.observers.trace_text import TextTrace
from kactors.policies import POLICIES
from protocols.scenario import Khugepaged

COLLAPSE = Scenario(
    workload="collapse",
    machine="small",
    options={"pmds": 1, "rounds": 2},
    khugepaged=Khugepaged(scan_sleep_millisecs=1),
)
SCENARIOS = {policy: Scenario(machine="small", policy=policy, until_ns=2_000_000, threads=5) for policy in POLICIES} | {
    "collapse": COLLAPSE
}


def trace(scenario: Scenario, path, runtime: str = "inline") -> list[str]:
    observer = TextTrace(path)
    Machine(scenario, observers=[observer]).run(runtime)
    observer.close()
    return path.read_text().splitlines()


def assert_same(one: list[str], other: list[str]) -> None:
    """Fail with the first line that differs, and what led to it."""
    for number, (left, right) in enumerate(zip_longest(one, other)):
        if left != right:
            before = "\n".join(one[max(number - 5, 0) : number])
            pytest.fail(f"the traces diverge at delivery {number}:\n{before}\n< {left}\n> {right}")


@pytest.mark.parametrize("name", SCENARIOS)
def test_both_runtimes_give_one_trace(name, tmp_path):
    inline = trace(SCENARIOS[name], tmp_path / "inline.txt")
    trio = trace(SCENARIOS[name], tmp_path / "trio.txt", "trio")
    assert len(inline) > 100
    assert_same(inline, trio)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_second_run_gives_the_same_trace(name, tmp_path):
    assert_same(trace(SCENARIOS[name], tmp_path / "one.txt"), trace(SCENARIOS[name], tmp_path / "two.txt"))


def test_another_seed_gives_another_trace(tmp_path):
    scenario = SCENARIOS["spf-v9"]
    assert trace(scenario, tmp_path / "one.txt") != trace(scenario.model_copy(update={"seed": 2}), tmp_path / "two.txt")


def test_a_divergence_is_shown_with_what_led_to_it():
    with pytest.raises(pytest.fail.Exception, match=r"delivery 2:\na\nb\n< c\n> x"):
        assert_same(["a", "b", "c"], ["a", "b", "x"])
    with pytest.raises(pytest.fail.Exception, match=r"< None\n> c"):
        assert_same(["a", "b"], ["a", "b", "c"])


PROGRAM = """
import sys
from pathlib import Path
from kactors import Machine, Scenario
from kactors.observers.trace_text import TextTrace
scenario = Scenario.model_validate_json(sys.argv[1])
observer = TextTrace(Path(sys.argv[2]))
print(Machine(scenario, observers=[observer]).run(sys.argv[3]).fingerprint)
observer.close()
"""


@pytest.mark.parametrize("name", ["classic", "spf-srcu", "spf-rcu", "per-vma-6.15", "collapse"])
def test_the_hash_seed_changes_nothing(name, tmp_path):
    texts, fingerprints = [], set()
    for hash_seed, runtime in (("0", "inline"), ("1", "trio"), ("4711", "inline")):
        path = tmp_path / f"{hash_seed}.txt"
        command = [sys.executable, "-c", PROGRAM, SCENARIOS[name].model_dump_json(), str(path), runtime]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        fingerprints.add(done.stdout)
        texts.append(path.read_text().splitlines())
    assert len(fingerprints) == 1
    assert_same(texts[0], texts[1])
    assert_same(texts[0], texts[2])


@pytest.mark.parametrize("name", SCENARIOS)
def test_watching_changes_nothing(name, tmp_path):
    bare = Machine(SCENARIOS[name], properties=False).run()
    watched = Machine(SCENARIOS[name], observers=[observer := TextTrace(tmp_path / "out.txt")]).run()
    observer.close()
    assert bare.fingerprint == watched.fingerprint
    assert bare.events == watched.events


def test_recorded_choices_replay_to_the_same_run():
    scenario = SCENARIOS["spf-v9"]
    recording = RecordingChoices(SeededChoices(scenario.seed))
    first = Machine(scenario, recording).run()
    again = Machine(scenario, ReplayedChoices(recording.picks)).run()
    assert first.fingerprint == again.fingerprint
