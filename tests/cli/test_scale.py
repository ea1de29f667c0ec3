"""`kactors scale`: a workload at many sizes."""

import json

import jsonschema
import pytest

from kactors.report.schema import SCHEMAS

QUICK = ("scale", "ebizzy", "--set", "n=1", "--set", "s=4096", "--events-max", 4000, "--policies", "classic,spf-v9")


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    """Starting workers takes longer than these runs."""
    monkeypatch.setattr("os.cpu_count", lambda: 1)


def test_each_policy_has_its_sizes_law_and_knee(kactors):
    done = kactors(*QUICK, "--cpus", "1..8", "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert [each["policy"] for each in found] == ["classic", "spf-v9"]
    for each in found:
        jsonschema.Draft202012Validator(SCHEMAS["scaling"]()).validate(each)
        assert [size["cpus"] for size in each["sizes"]] == [1, 2, 4, 8]
        assert all(size["events"] <= 4000 and size["utilisation"] for size in each["sizes"])
        assert each["law"]["sigma"]["low"] >= 0


def test_the_report_says_what_saturates_what_is_not_known_and_shows_a_picture(kactors):
    text = kactors(*QUICK, "--cpus", "1,2,4,8").stdout
    assert text.startswith("ebizzy at 4 sizes, seed 1 for all:")
    for part in ("law: N lambda", "knee: ", "saturated: ", "* at 1, 2, 4, 8 CPUs: as many deliveries", "o classic"):
        assert part in text
    rows = [line for line in text.splitlines() if "( " in line and line.startswith("  ") and "/s" not in line]
    assert len([line for line in rows if "+-" in line or "no interval" in line]) >= 8


def test_three_sizes_make_no_law(kactors):
    assert "law: none" in kactors(*QUICK, "--cpus", "1,2,4").stdout


@pytest.mark.parametrize("cpus", ["0..4", "8..1", "many", "1..5000"])
def test_what_are_no_cpus_is_refused(refused, cpus):
    assert "write CPUs like 1..64" in refused("scale", "ebizzy", "--cpus", cpus)


def test_an_unknown_workload_or_policy_is_refused(refused):
    assert "there is no workload ebizy" in refused("scale", "ebizy")
    assert "there is no policy spf" in refused("scale", "ebizzy", "--policies", "spf")


NOTHING = ("scale", "ebizzy", "--policies", "classic", "--events-max", 1)


def test_where_nothing_was_done_at_any_size_there_is_nothing_to_tell(kactors):
    text = kactors(*NOTHING, "--cpus", "1,2,4,8").stdout
    assert "  no law, no knee: not one of the records was done at any size; give it more (--events-max)\n" in text
    assert "pay throughout" not in text
    assert "saturated:" not in text.split("rate: per second")[0]


def test_more_cpus_than_the_machine_has_are_told_of(kactors):
    line = "zen4-vm-2 has 2 CPUs: at 4, 8 its sockets are repeated, with its own costs and memory;"
    assert line in kactors(*NOTHING, "--cpus", "1,2,4,8", "--machine", "zen4-vm-2").stdout
    assert "are repeated" not in kactors(*NOTHING, "--cpus", "1,2", "--machine", "zen4-vm-2").stdout
    assert "are repeated" not in kactors(*NOTHING, "--cpus", "1,8").stdout
