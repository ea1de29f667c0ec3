"""The sheet of a profile shows every parameter once, with its unit and group, and tells the topology."""

import pytest

from kactors.machines import load_machine, machine_names, profile
from kactors.report import profile_sheet as sheets
from protocols.machine import Machine

PARAMETERS = tuple(key for key in Machine.model_fields if key != "name")
COUNTS = {"cpus", "cpus_per_core", "cores_per_cache", "caches_per_socket", "pcp_batch", "pcp_high"}


def test_every_parameter_has_a_group():
    assert not [key for key in PARAMETERS if sheets.group_of(key) == sheets.OTHERS]


def test_the_longest_beginning_decides_on_the_group():
    groups = {key: sheets.group_of(key) for key in ("fault_entry_ns", "fault_around_bytes", "page_size", "tlbie_ns")}
    assert list(groups.values()) == ["kernel paths", "page cache", "memory", "TLB and IPIs"]


def test_what_is_no_number_of_things_has_a_name_that_ends_in_its_unit():
    numbers = {key for key, entry in profile("small").items() if type(entry.value) is int}
    assert {key for key in numbers if not sheets.unit_of(key)} == COUNTS


@pytest.mark.parametrize("name", [*machine_names(), "generic:33"])
def test_a_sheet_has_one_line_a_parameter_with_value_unit_range_and_origin(name):
    lines = sheets.sheet(name).splitlines()
    for key, entry in profile(name).items():
        (line,) = [line for line in lines if line.startswith(f"  {key} ")]
        words = line.split()
        assert words[1] == str(entry.value)
        unit = sheets.unit_of(key)
        assert not unit or words[2] == unit
        assert entry.origin in words
        assert entry.why in line
        if entry.span:
            assert f" {entry.span[0]}-{entry.span[1]} " in line
        if entry.fits:
            assert f"{entry.fits[0]}-{entry.fits[1]} fits as well" in line


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("rome-2s-256", "2 sockets x 16 last-level caches x 4 cores x 2 threads = 256 CPUs"),
        ("ivb-ex-120", "4 sockets x 1 last-level cache x 15 cores x 2 threads = 120 CPUs"),
        ("p8-80", "1 socket x 2 last-level caches x 5 cores x 8 threads = 80 CPUs"),
        ("small", "1 socket x 1 last-level cache x 2 cores x 1 thread = 2 CPUs"),
        ("generic:17", "2 sockets x 1 last-level cache x 5 cores x 2 threads hold 17 CPUs"),
        ("generic:1", "1 socket x 1 last-level cache x 1 core x 1 thread = 1 CPUs"),
    ],
)
def test_the_topology_is_one_line(name, told):
    assert sheets.topology(load_machine(name)) == told


@pytest.mark.parametrize("name", [*machine_names(), "generic:17", "generic:300"])
def test_the_distances_are_those_of_the_machine(name):
    machine = load_machine(name)
    seen = {0}
    for place in sheets.distances(machine):
        if place["cpus"] is not None:
            first, last = place["cpus"]
            assert {machine.transfer_ns(0, cpu) for cpu in range(first, last + 1)} == {place["ns"]}
            seen.update(range(first, last + 1))
    assert seen == set(range(machine.cpus))


def test_a_difference_shows_what_differs_and_nothing_else():
    ours, theirs = profile("x86-80"), profile("p8-80")
    direction, _, header, *lines = sheets.difference("x86-80", "p8-80").splitlines()
    differing = [key for key in ours if ours[key].value != theirs[key].value]
    assert direction.startswith(
        f"from x86-80 to p8-80: {len(differing)} of {len(ours)} parameters differ; a change of x 2 "
    )
    assert direction.endswith("means that p8-80 has twice x86-80's value")
    assert header.split()[:5] == ["parameter", "x86-80", "p8-80", "unit", "change"]
    assert [line.split()[0] for line in lines] == differing
    line = next(line for line in lines if line.startswith("  clear_page_ns"))
    one, other = ours["clear_page_ns"].value, theirs["clear_page_ns"].value
    assert line.split()[:6] == ["clear_page_ns", str(one), str(other), "ns", "x", f"{other / one:.3g}"]
    assert sheets.difference("small", "small") == "small and small have the same values\n"
    assert list(sheets.difference_data("x86-80", "p8-80")) == differing
