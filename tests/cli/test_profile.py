"""`kactors profile` prints the sheet of any machine that can be run, and one line about what cannot."""

import json

from kactors.machines import profile
from kactors.report import profile_sheet as sheets


def test_profile_prints_the_sheet(kactors):
    done = kactors("profile", "x86-80")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == sheets.sheet("x86-80")


def test_profile_prints_json(kactors):
    told = json.loads(kactors("profile", "zen4-vm-2", "--json").stdout)
    assert told["machine"] == "zen4-vm-2"
    entry, wanted = told["parameters"]["idle_exit_ns"], profile("zen4-vm-2")["idle_exit_ns"]
    assert (entry["value"], entry["unit"], entry["range"]) == (wanted.value, "ns", list(wanted.span))
    assert told["topology"]["sockets"] == 1
    assert [place["ns"] for place in told["distances"]] == [5, 55, 100, 150]


def test_profile_diff_prints_what_differs(kactors):
    assert kactors("profile", "x86-80", "--diff", "small").stdout == sheets.difference("x86-80", "small")
    told = json.loads(kactors("profile", "x86-80", "--diff", "small", "--json").stdout)
    assert (told["cpus"]["x86-80"]["value"], told["cpus"]["small"]["value"]) == (80, 2)
    assert "tlb" not in told


def test_a_users_own_file_and_a_generic_server_have_a_sheet(kactors, tmp_path):
    own = tmp_path / "mine.toml"
    own.write_text('inherits = "small"\nwake_ns = { value = 7, source = "own stopwatch" }', encoding="utf-8")
    assert "own stopwatch" in kactors("profile", own).stdout
    assert kactors("profile", "generic:48").stdout.startswith("generic:48: 2 sockets x 2 last-level caches x 6 cores")


def test_what_is_no_machine_is_one_line(refused, tmp_path):
    assert refused("profile", "smal").startswith("--machine smal: no such machine; there are ")
    assert "generic:N is a number of CPUs" in refused("profile", "generic:x")
    assert (
        refused("profile", "small", "--diff", "nowhere.toml") == "--machine nowhere.toml: there is no file nowhere.toml"
    )
    own = tmp_path / "mine.toml"
    own.write_text('inherits = "small"\nwake_ns = { value = 7, source = "x", range = [8, 9] }', encoding="utf-8")
    assert refused("profile", own).endswith("mine.toml: wake_ns = 7 lies outside its range, 8 to 9")


def test_a_generic_server_runs(kactors):
    done = kactors("run", "ebizzy", "--machine", "generic:4", "--until", "20us", "--json")
    assert (done.exit_code, json.loads(done.stdout)["cpus"]) == (0, 4)


def test_options_that_do_not_go_together_are_one_line(refused):
    assert refused("profile", "small", "--assumed") == "--assumed is for --sensitivity"
    assert "give one of them" in refused("profile", "small", "--diff", "x86-80", "--sensitivity")
    assert "no figure is known of it" in refused("profile", "small", "--sensitivity")
    assert "there is no method" not in refused("profile", "smal", "--sensitivity")


def test_the_sensitivity_of_a_machine_is_printed(kactors):
    done = kactors("profile", "rome-2s-256", "--sensitivity", "--precision", "20%", "-j", "1")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "page_fault1, 1 thread, classic" in done.stdout


def test_no_name_is_no_machine_to_differ_from(refused):
    assert refused("profile", "small", "--diff", "").startswith("--machine : no such machine")
