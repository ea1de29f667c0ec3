"""A machine's values stay within what the model can say something about, each by itself and all together."""

import re

import pytest

from kactors.engine.errors import UsageError
from kactors.machines import load_machine, machine_names
from protocols.machine import Machine

COST = "from 0 to 1,000,000,000"
COSTS = [key for key in Machine.model_fields if key.endswith("_ns") and key != "slice_ns"]


@pytest.mark.parametrize(
    ("key", "wrong", "right"),
    [
        *((key, wrong, COST) for key in COSTS for wrong in (-1, 10**18)),
        ("slice_ns", 999, "from 1000 to 1,000,000,000"),
        ("cpus", 0, "from 1 to 4096"),
        ("cpus_per_core", 9, "from 1 to 8"),
        ("cores_per_cache", 0, "from 1 to 4096"),
        ("caches_per_socket", 4097, "from 1 to 4096"),
        ("smt_slowdown_percent", 1000, "from 0 to 100"),
        ("jitter_percent", 100, "from 0 to 99"),
        ("rwsem_steal_percent", 101, "from 0 to 100"),
        ("cold_percent", 1001, "from 0 to 1000"),
        ("memory_bandwidth_gbs", -1, "from 0 to 10000"),
        ("memory_mib", 0, "from 1 to 67,108,864"),
        ("page_cache_mib", 16385, "from 0 to 16384"),
        ("fault_around_bytes", 0, "from 1 to 1,073,741,824"),
        ("mmu_gather_pages", 0, "from 1 to 1,048,576"),
        ("tlb_flush_ceiling_pages", 1 << 21, "from 1 to 1,048,576"),
        ("pcp_batch", 0, "from 1 to 1,048,576"),
        ("pcp_high", 0, "from 1 to 1,048,576"),
        ("wake_ns", "fast", f"a whole number {COST}"),
        ("wake_ns", True, f"a whole number {COST}"),
        ("rwsem_spins", "perhaps", "true or false"),
        ("lazy_tlb", "never", "'keep', 'leave' or 'skip'"),
        ("pmd_pages", 1, "256 or 512"),
    ],
)
def test_a_value_that_cannot_be_is_told_with_what_could(key, wrong, right):
    with pytest.raises(UsageError, match=rf"^machine small: machine\.{key} = .*: should be .*{re.escape(right)}$"):
        load_machine("small", costs={key: wrong})


@pytest.mark.parametrize("key", [key for key, field in Machine.model_fields.items() if field.annotation is int])
def test_no_number_of_a_profile_is_without_bounds(key):
    for wrong in (-1, 10**18):
        with pytest.raises(UsageError, match=f"{key} = {wrong}: should be"):
            load_machine("small", costs={key: wrong})


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        ({"pcp_high": 3}, "pcp_high = 3: should be at least pcp_batch, 31"),
        ({"pcp_high": 20_000}, "pcp_high = 20000: should be at most the memory's 16384 pages"),
        ({"page_cache_mib": 64}, "page_cache_mib = 64: should be less than memory_mib, 64"),
        ({"memory_mib": 64, "page_cache_mib": 63}, "more than the high watermark, 384 pages, and leaves 256"),
    ],
)
def test_memory_that_cannot_be_divided_like_that(costs, message):
    with pytest.raises(UsageError, match=f"^machine small: .*{message}"):
        load_machine("small", costs=costs)


def profile(tmp_path, **values):
    lines = [f'{key} = {{ value = {value}, source = "own" }}' for key, value in values.items()]
    path = tmp_path / "mine.toml"
    path.write_text("\n".join(['inherits = "x86-80"', *lines]), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cpus": 96}, r"cpus = 96: should be a multiple of a socket's 40 \(cpus_per_core 2 x cores_per_cache 20 x "),
        ({"cpus": 15}, "cpus = 15: should be a multiple of cpus_per_core, 2; --cpus N leaves CPUs out"),
        ({"cpus_per_core": 3}, "cpus = 80: should be a multiple of a socket's 60"),
        ({"line_remote_ns": 50}, "line_socket_ns = 100: should be at most line_remote_ns, 50"),
    ],
)
def test_a_profile_that_nobody_can_build(tmp_path, values, message):
    name = profile(tmp_path, **values)
    with pytest.raises(UsageError, match=rf"^machine .*mine\.toml: {message}"):
        load_machine(name)


def test_a_part_of_a_machine_and_a_question_about_it_need_not_be_built(tmp_path):
    assert load_machine("x86-80", cpus=15).cpus == 15
    assert load_machine("x86-80", costs={"line_remote_ns": 0}).line_remote_ns == 0
    assert load_machine("generic:13").cpus == 13
    assert load_machine(profile(tmp_path, cpus=14)).cpus == 14


def test_a_value_is_blamed_on_the_file_that_has_it(tmp_path):
    parent, child = tmp_path / "parent.toml", tmp_path / "child.toml"
    parent.write_text('inherits = "small"\nwake_ns = { value = -1, source = "own" }', encoding="utf-8")
    child.write_text('inherits = "./parent.toml"', encoding="utf-8")
    with pytest.raises(UsageError, match=r"^machine .*parent\.toml: wake_ns = -1: should be a whole number"):
        load_machine(str(child))


@pytest.mark.parametrize("name", machine_names())
def test_a_machine_of_ours_keeps_its_bounds_when_all_is_asked_of_it(name):
    load_machine(name, costs=dict.fromkeys(COSTS, 0) | {"jitter_percent": 0})
