"""Commands that measure: --precision, --replications, --confidence."""

import json
import re

import jsonschema
import pytest

import kactors as api
from kactors.report.schema import SCHEMAS
from protocols.measurement import Estimate, Measurement
from tests.cli.conftest import TINY

SMALL = ("ebizzy", *TINY, "--threads", 2)
"""A thread a CPU: no time slices to wait for."""


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    """Starting workers takes longer than these runs."""
    monkeypatch.setattr("os.cpu_count", lambda: 1)


def obeys(value, name):
    jsonschema.Draft202012Validator(SCHEMAS[name]()).validate(value)


def test_a_run_ends_when_its_rate_is_known(kactors):
    done = kactors("run", *SMALL, "--policy", "classic", "--precision", "5%", "--json")
    assert done.exit_code == 0, done.stderr
    value = json.loads(done.stdout)
    obeys(value, "measurement")
    measured = Measurement.model_validate_json(done.stdout)
    assert measured.met
    assert measured.rate.relative <= 0.05
    assert measured.rate.confidence == 0.95
    assert api.run(measured.scenario).fingerprint == measured.result.fingerprint


def test_every_rate_is_printed_with_its_interval_as_perf_stat_does(kactors):
    text = kactors("run", *SMALL, "--policy", "classic", "--precision", "5%", "--confidence", "90%").stdout
    rates = [line for line in text.split("CPU time")[0].splitlines() if "/s " in line]
    assert len(rates) >= 10
    for line in rates:
        assert re.search(r"\( (\+- *[0-9.]+%|below [0-9.e+]+|no interval) \)", line), line
    assert "90 % intervals" in text
    assert "NOT MET" not in text
    assert "one run, no interval" in text.split("The whole run")[1]


def test_a_bound_that_comes_first_is_said(kactors):
    done = kactors("run", *SMALL, "--precision", "0.01%", "--until", "4ms")
    assert done.exit_code == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "NOT MET" in line]
    assert "+- 0.01 % was asked for: virtual time is up" in line
    assert "it would take about" in line


def test_how_long_it_takes_is_not_told_where_a_narrow_interval_is_not_believed(kactors):
    text = kactors("run", *SMALL, "--precision", "60%", "--until", "2ms").stdout
    (line,) = [line for line in text.splitlines() if "NOT MET" in line]
    assert "it would take about" not in line


def test_policies_are_compared_with_intervals_of_their_gains(kactors):
    words = ("compare", *SMALL, "--policies", "classic,spf-v9", "--precision", "5%")
    value = json.loads(kactors(*words, "--json").stdout)
    for each in value:
        obeys(each, "estimate")
    base, other = (Estimate.model_validate_json(json.dumps(each)) for each in value)
    assert base.gain is None
    assert other.gain.mean == pytest.approx(other.rate.mean / base.rate.mean)
    assert other.gain.low < other.gain.mean < other.gain.high
    text = kactors(*words).stdout
    assert re.search(r"^  spf-v9 .* \( \+-.*%  \( \+- +[0-9.]+ \)", text, re.MULTILINE)


def test_replications_are_paired_by_seed(kactors):
    words = ("compare", *SMALL, "--policies", "classic,spf-v9", "--replications", 3, "--until", "4ms", "--seed", 5)
    base, other = (
        Estimate.model_validate_json(json.dumps(each)) for each in json.loads(kactors(*words, "--json").stdout)
    )
    for each in (base, other):
        assert [run.scenario.seed for run in each.runs] == [5, 6, 7]
        assert {run.virtual_ns for run in each.runs} == {4_000_000}
        assert each.rate.n == 3
    assert other.gain.n == 3
    assert "seeds 5, 6, 7" in kactors(*words).stdout


def test_replications_of_one_policy(kactors):
    done = kactors("run", *SMALL, "--replications", 2, "--until", "4ms")
    assert done.exit_code == 0, done.stderr
    assert "2 runs with seeds 1 to 2" in done.stdout


def test_without_an_interval_that_is_said(kactors):
    assert "one run, no interval" in kactors("run", *SMALL, "--until", "200us").stdout
    assert "one run each, no intervals" in kactors("compare", *SMALL, "--until", "200us").stdout


@pytest.mark.parametrize("share", ["0%", "100%", "2", "two", "-1%"])
def test_what_is_no_share_is_refused(refused, share):
    assert "write a share above 0 and below 100 %" in refused("run", *SMALL, f"--precision={share}")


def test_confidence_alone_is_refused(refused):
    assert "ask for one with --precision 2%" in refused("run", *SMALL, "--confidence", "99%")


@pytest.mark.parametrize("extra", [("--connect", "unix:/nowhere"), ("--trace", "a.txt"), ("--runtime", "trio")])
def test_what_is_for_a_plain_run_is_refused(refused, extra):
    line = refused("run", *SMALL, "--precision", "2%", *extra)
    assert line.startswith(f"{extra[0]} is for a plain run, and not for --precision")


def test_a_finding_while_measuring_ends_with_1(kactors):
    done = kactors("run", *SMALL, "--precision", "2%", "--set", "bounds.ipi_wait_max_ns=1")
    assert done.exit_code == 1
    assert "the run stopped: bound" in done.stdout


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ("--until", "1us"),
            "note: classic on 2 CPUs did no records in 1.00 us of virtual time, set-up included: no rate",
        ),
        (
            ("--until", "1us", "--precision", "5%"),
            " NO RECORDS     classic: not one was done in 1.00 us of virtual time",
        ),
        (
            ("--until", "3us", "--replications", 2),
            " NO RECORDS     classic: not one was done in 3.00 us of virtual time",
        ),
    ],
)
def test_where_nothing_was_done_that_is_said_instead_of_a_gain(kactors, words, line):
    done = kactors("compare", "ebizzy", "--machine", "small", "--policies", "classic,spf-v9", *words)
    assert done.exit_code == 0
    assert line in done.stdout
    assert "give it more (--until)" in done.stdout
    assert "below 0" not in done.stdout
    assert "-100" not in done.stdout
