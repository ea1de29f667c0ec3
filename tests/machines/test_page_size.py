"""Another page size brings what follows from it: the kernel's rules against values that are published."""

import pytest

from kactors import Scenario, run
from kactors.engine.errors import UsageError
from kactors.machines import load_machine
from kactors.machines.page_size import PCP_CAPS, zone_batchsize

FOLLOWS = ("pmd_pages", "clear_page_ns", "copy_page_ns", "clear_huge_ns", "copy_huge_ns", "pcp_batch", "pcp_high")


@pytest.mark.parametrize(
    ("page_size", "cap", "batch"),
    [(4096, 0, 31), (4096, 1, 63), (65536, 0, 1), (65536, 1, 3), (16384, 0, 7), (1 << 30, 0, 1)],
)
def test_the_batch_is_what_kernels_compute(page_size, cap, batch):
    """G1: 31, then 63 with 4 KiB pages; G4: 1 with 64 KiB pages."""
    assert zone_batchsize(page_size, PCP_CAPS[cap]) == batch


def test_the_profiles_of_64_kib_say_the_same_themselves():
    profile = load_machine("p8-80")
    assert (profile.pcp_batch, profile.pcp_high) == (1, 6)


@pytest.mark.parametrize(
    ("name", "page_size", "ratio", "pcp"),
    [("x86-vm-16", 65536, 16, (1, 6)), ("p8-80", 4096, 1 / 16, (31, 186)), ("zen4-vm-2", 65536, 16, (3, 40))],
)
def test_costs_go_with_the_bytes_and_lists_with_the_rule(name, page_size, ratio, pcp):
    before, after = load_machine(name), load_machine(name, costs={"page_size": page_size})
    assert after.page_size == page_size
    assert after.clear_page_ns == int(before.clear_page_ns * ratio)
    assert after.copy_page_ns == int(before.copy_page_ns * ratio)
    assert after.pmd_size == (16 << 20 if page_size == 65536 else 2 << 20)
    assert after.clear_huge_ns == before.clear_huge_ns * after.pmd_size // before.pmd_size
    assert (after.pcp_batch, after.pcp_high) == pcp
    same = {key for key in type(before).model_fields if getattr(before, key) == getattr(after, key)}
    assert same == set(type(before).model_fields) - {"page_size", *FOLLOWS}


def test_a_profiles_own_page_size_changes_nothing():
    assert load_machine("x86-vm-16", costs={"page_size": 4096}) == load_machine("x86-vm-16")


def test_what_is_set_besides_stays():
    wanted = {"page_size": 65536, "clear_page_ns": 5, "pcp_batch": 9, "pcp_high": 99, "pmd_pages": 512}
    after = load_machine("x86-vm-16", costs=wanted)
    assert {key: getattr(after, key) for key in wanted} == wanted


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        ({"page_size": 16384}, "machine.page_size = 16384: how many pages a page table maps then is not known"),
        ({"page_size": 5000}, "page_size = 5000: should be 4096, 16384 or 65536"),
        ({"page_size": 65536, "pmd_pages": "abc"}, "pmd_pages = 'abc'"),
        ({"page_size": 65537, "pmd_pages": 256}, "page_size = 65537: should be 4096, 16384 or 65536"),
    ],
)
def test_what_cannot_be_derived_is_said_in_one_line(costs, message):
    with pytest.raises(UsageError) as caught:
        load_machine("x86-vm-16", costs=costs)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lists_that_no_kernel_computes_are_to_be_set(tmp_path):
    profile = tmp_path / "own.toml"
    profile.write_text('inherits = ["x86-vm-16"]\npcp_batch = { value = 10, assumed = "odd" }\n', encoding="utf-8")
    with pytest.raises(UsageError, match="pcp_batch = 10 with pages of 4096 bytes is what no kernel computes"):
        load_machine(str(profile), costs={"page_size": 65536})


@pytest.mark.parametrize("policy", ["classic", "spf-v9", "spf-2021", "per-vma"])
def test_a_run_with_other_pages_ends_in_order(policy):
    scenario = Scenario(machine="x86-vm-16", policy=policy, costs={"page_size": 65536}, until_ns=1_000_000)
    result = run(scenario)
    assert result.stop.kind == "time"
    assert result.counters.faults > 50
