"""The command that a report names repeats the very scenario."""

import shlex
from dataclasses import fields

import pytest
from hypothesis import example, given, strategies as st

from kactors import Scenario
from kactors.cli.commands import main
from kactors.cli.request import Overrides, build_scenario
from kactors.machines import machine_names
from kactors.policies import BROKEN, POLICIES
from kactors.report.command import command
from kactors.workloads import WORKLOADS

WORDS = st.text("abcxyz_-", min_size=1).filter(lambda word: word[0] != "-")
WHOLE = st.integers(-(10**12), 10**12)


def parsed(line):
    """The scenario that the command line means, without running it."""
    words = shlex.split(line)
    assert words[0] == "kactors"
    context = main.commands[words[1]].make_context(words[1], words[2:])
    known = {field.name for field in fields(Overrides)}
    given = Overrides(**{key: value for key, value in context.params.items() if key in known})
    return build_scenario(given, workload=context.params.get("workload"), recording=context.params.get("file"))


@given(
    workload=st.sampled_from(sorted(set(WORKLOADS) - {"recording"})),
    options=st.dictionaries(st.text("abcxyzMT_", min_size=1), st.booleans() | WHOLE | WORDS, max_size=3),
    policy=st.sampled_from([*POLICIES, *BROKEN, "my own/policy.py:Mine", "spf-v9-without-trylock"]),
    policy_options=st.dictionaries(st.text("abcxyzMT_", min_size=1), st.booleans() | WHOLE | WORDS, max_size=2),
    machine=st.sampled_from([*machine_names(), "my machine.toml"]),
    costs=st.dictionaries(st.text("abc_", min_size=1), WHOLE, max_size=2),
    cpus=st.none() | st.integers(1, 4096),
    threads=st.none() | st.integers(1, 65536),
    seed=WHOLE,
    until_ns=st.integers(1, 10**12),
    bounds=st.fixed_dictionaries(
        {},
        optional={
            "spf_inflight_max": st.integers(1, 9),
            "on_limit": st.sampled_from(["wait", "classic", "stop"]),
            "transient_pages_max": st.integers(0, 9),
        },
    ),
    khugepaged=st.fixed_dictionaries({}, optional={"max_ptes_none": st.integers(0, 511), "fault_huge": st.booleans()}),
)
@example(
    **(
        {
            "workload": "ebizzy",
            "policy": "classic",
            "policy_options": {},
            "machine": "small",
            "seed": -1,
            "until_ns": 1_500_000_000,
        }
        | {"options": {"m": True, "t": 4}, "costs": {}, "cpus": 2, "threads": None, "bounds": {}, "khugepaged": {}}
    )
)
def test_it_reads_back_as_the_scenario(**values):
    scenario = Scenario(**values)
    assert parsed(command(scenario)) == scenario


def test_a_recording_is_replayed():
    scenario = Scenario(workload="recording", options={"file": "a file.xz", "pid": 7}, machine="small")
    assert command(scenario).startswith("kactors replay 'a file.xz' ")
    assert parsed(command(scenario)) == scenario


@pytest.mark.parametrize(("until_ns", "text"), [(20_000_000, "20ms"), (3, "3ns"), (1_500_000, "1500us")])
def test_its_time_is_readable(until_ns, text):
    assert f"--until {text}" in command(Scenario(until_ns=until_ns))
