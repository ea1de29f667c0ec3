"""kactors ablate: what it prints, how it ends, and what it refuses."""

import json

from protocols.search import Ablation

QUICK = ("spf-v9", "--checks", "pmd_check,trylock", "--scene", "munmap-page", "--scene", "mail-deadlock", "-j", "2")


def test_it_says_which_checks_are_enough(kactors):
    done = kactors("ablate", *QUICK)
    assert done.exit_code == 0
    assert "without each of 4 subsets of 2 checks" in done.stdout
    verdicts = [line.split() for line in done.stdout.splitlines() if line.startswith(("  x", "  -"))]
    assert [cells[:3] for cells in verdicts] == [
        ["x", "x", "safe"],
        ["-", "x", "safe"],
        ["x", "-", "deadlock"],
        ["-", "-", "deadlock"],
    ]
    assert "Enough, and with nothing to spare:\n  trylock\n" in done.stdout
    assert "Redundant (no safe set needs it): pmd_check." in done.stdout


def test_stories_tell_what_happened_and_how_to_see_it_again(kactors):
    told = kactors("ablate", *QUICK, "--stories").stdout
    assert told.count("*** DEADLOCK") == 2
    assert told.count("--policy spf-v9-without-trylock") == 1
    assert told.count("kactors replay-schedule 'kactors1:") == 2


def test_as_json_it_can_be_read_back(kactors):
    told = Ablation.model_validate(json.loads(kactors("ablate", *QUICK, "--json").stdout))
    assert told.minimal == (("trylock",),)
    assert [row.dropped for row in told.rows] == [(), ("pmd_check",), ("trylock",), ("pmd_check", "trylock")]


def test_a_policy_that_breaks_with_all_its_checks_is_a_finding(kactors):
    done = kactors("ablate", "spf-v9-without-trylock", "--checks", "pmd_check", "--scene", "mail-deadlock", "-j", "1")
    assert done.exit_code == 1
    assert "No subset is known to be safe, the whole policy included." in done.stdout


def test_out_of_time_nothing_is_called_safe(kactors):
    done = kactors("ablate", *QUICK, "--time", "0")
    assert "not covered" in done.stdout
    assert "Nothing was covered wholly" in done.stdout


def test_what_cannot_be_dropped_is_refused(refused):
    assert "spf-v9 has no check trilock; it has" in refused("ablate", "spf-v9", "--checks", "trilock")
    assert "no such policy" in refused("ablate", "spf-v99")
    assert "two-falts" in refused("ablate", "spf-v9", "--scene", "two-falts")
