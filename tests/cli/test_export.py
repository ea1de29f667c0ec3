"""kactors export: what it writes, and what it refuses."""

import json

import pytest
from click.testing import CliRunner

from kactors.cli import main
from tests.checker.export.litmus_c import Parser, can_happen

SCENE = ("two-faults", "--policy", "broken-no-pte-recheck")


@pytest.fixture(scope="module")
def schedule():
    """A schedule that leads to a finding."""
    done = CliRunner().invoke(main, ["check", *SCENE, "-j", "1", "--json"])
    return json.loads(done.stdout)["found"]["schedule"]


def test_a_finding_becomes_a_litmus_test(kactors, schedule):
    done = kactors("export", schedule, *SCENE, "--format", "litmus")
    assert done.exit_code == 0
    assert can_happen(Parser(done.stdout).parse())


def test_a_scenario_becomes_a_model_with_a_schedule_or_without(kactors, schedule):
    without = kactors("export", "-", *SCENE, "--format", "promela")
    assert without.exit_code == 0
    assert "proctype cpu0() provided (!found)" in without.stdout
    assert kactors("export", schedule, *SCENE, "--format", "promela").stdout == without.stdout


def test_wrong_requests_are_one_line(refused, schedule):
    assert "of one finding" in refused("export", "-", *SCENE, "--format", "litmus")
    assert "another scenario" in refused("export", schedule, "munmap-page", "--format", "litmus")
    assert "not a schedule" in refused("export", "nonsense", *SCENE, "--format", "promela")
    assert "--json" in refused("export", schedule, *SCENE, "--format", "litmus", "--json")
    assert "--format" in refused("export", schedule, *SCENE)
