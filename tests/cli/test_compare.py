"""One scenario under several policies."""

import json
import re

import kactors as api
from kactors import Scenario
from tests.cli.conftest import TINY


def test_every_policy_has_its_row_and_the_same_seed(kactors):
    done = kactors(
        "compare", "ebizzy", *TINY, "--until", "200us", "--seed", 5, "--policies", "per-vma,classic", "--json"
    )
    assert done.exit_code == 0, done.stderr
    assert done.stderr == ""
    results = json.loads(done.stdout)
    assert [result["policy"] for result in results] == ["per-vma-6.15", "classic"]
    for result in results:
        scenario = Scenario(
            machine="small", options={"n": 1, "s": 4096}, until_ns=200_000, seed=5, policy=result["policy"]
        )
        assert result["fingerprint"] == api.run(scenario).fingerprint


def test_the_table_is_printed_and_the_first_is_the_base(kactors):
    text = kactors("compare", "ebizzy", *TINY, "--until", "200us").stdout
    rows = [re.split(r"\s{2,}", line.strip()) for line in text.split("\n\n")[1].splitlines()]
    assert [row[0] for row in rows] == ["policy", "classic", "spf-v9", "per-vma-6.15"]
    assert "%" not in rows[1][2]
    assert re.fullmatch(r"[+-][0-9.]+ %", rows[2][2])


def test_a_finding_under_one_policy_ends_with_1(kactors):
    words = ("compare", "same-address", "--machine", "small", "--cpus", 2, "--set", "bounds.transient_pages_max=0")
    done = kactors(*words, "--policies", "spf-v9")
    assert done.exit_code == 1
    assert "BOUND" in done.stdout


def test_properties_can_be_left_out(kactors, monkeypatch):
    seen = []

    def run_all(scenarios, *, properties, on_done):
        seen.append(properties)
        return [api.run(scenario) for scenario in scenarios]

    monkeypatch.setattr("kactors.sweep.run_all", run_all)
    words = ("compare", "ebizzy", *TINY, "--until", "1us")
    assert kactors(*words).exit_code == kactors(*words, "--no-check").exit_code == 0
    assert seen == [True, False]


def test_a_recording_is_compared(kactors, short_recording):
    words = ("compare", short_recording(), "--machine", "small", "--threads", 3, "--until", "200us")
    done = kactors(*words, "--policies", "classic,spf-v9")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("recording on small, 2 CPUs, 3 threads")
