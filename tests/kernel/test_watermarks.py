"""Watermarks and per-CPU list sizes, pinned to the figures that the kernel's rules give."""

import dataclasses

import pytest
from hypothesis import given, strategies as st

from kactors.kernel.watermarks import (
    MIN_FREE_KBYTES_CEILING,
    MIN_FREE_KBYTES_FLOOR,
    Watermarks,
    pcp_sizes,
    watermarks_for,
)

KIB = 1024
GIB = 1 << 30
PAGE_SIZES = st.sampled_from([4 * KIB, 16 * KIB, 64 * KIB])


def pages_of(size_bytes, page_size_bytes):
    return size_bytes // page_size_bytes


@pytest.mark.parametrize(
    ("size_bytes", "page_size_bytes", "expected"),
    [
        # 4 GiB: sqrt(16 * 4194304 kB) = 8192 kB; managed * 10/10000 exceeds min/4.
        (4 * GIB, 4 * KIB, Watermarks(2048, 2048 + 1048, 2048 + 2096)),
        # 1 GiB: 4096 kB; min/4 = 256 pages is less than 262 = 262144 * 10/10000.
        (1 * GIB, 4 * KIB, Watermarks(1024, 1286, 1548)),
        # 256 MiB: 2048 kB; min/4 = 128 exceeds 65.
        (GIB // 4, 4 * KIB, Watermarks(512, 640, 768)),
        # 512 GiB: the square root, 92681 kB, is clamped to 65536 kB.
        (512 * GIB, 4 * KIB, Watermarks(16384, 16384 + 134217, 16384 + 268434)),
        # The same memory in 64 KiB pages: the same kB, a sixteenth of the pages.
        (512 * GIB, 64 * KIB, Watermarks(1024, 1024 + 8388, 1024 + 16776)),
        # 512 kB: the square root, 90 kB, is clamped to 128 kB.
        (512 * KIB, 4 * KIB, Watermarks(32, 40, 48)),
    ],
)
def test_watermarks_follow_the_size(size_bytes, page_size_bytes, expected):
    assert watermarks_for(pages_of(size_bytes, page_size_bytes), page_size_bytes) == expected


def test_a_given_min_free_kbytes_is_not_clamped():
    assert watermarks_for(262144, 4 * KIB, min_free_kbytes=67584) == Watermarks(16896, 21120, 25344)
    assert watermarks_for(262144, 4 * KIB, min_free_kbytes=0) == Watermarks(0, 262, 524)
    assert watermarks_for(16, 64 * KIB, min_free_kbytes=100) == Watermarks(1, 1, 1)


def test_no_memory_has_the_floor():
    assert watermarks_for(0, 4 * KIB) == Watermarks(32, 40, 48)


@given(managed=st.integers(0, 1 << 36), page_size=PAGE_SIZES)
def test_the_computed_minimum_stays_in_its_clamp_and_grows_with_memory(managed, page_size):
    marks = watermarks_for(managed, page_size)
    page_kbytes = page_size // KIB
    assert MIN_FREE_KBYTES_FLOOR // page_kbytes <= marks.min_pages <= MIN_FREE_KBYTES_CEILING // page_kbytes
    assert marks.high_pages - marks.low_pages == marks.low_pages - marks.min_pages
    assert dataclasses.astuple(marks) <= dataclasses.astuple(watermarks_for(2 * managed, page_size))


def test_watermarks_ascend():
    with pytest.raises(ValueError, match="ascend"):
        Watermarks(10, 9, 11)
    with pytest.raises(ValueError, match="ascend"):
        Watermarks(-1, 0, 0)


@pytest.mark.parametrize(
    ("size_bytes", "page_size_bytes", "rule", "expected"),
    [
        (16 * GIB, 4 * KIB, "512KiB", (31, 186)),
        (16 * GIB, 4 * KIB, "1MiB", (63, 378)),
        (256 * GIB, 64 * KIB, "512KiB", (1, 6)),  # 8 pages in 512 KiB, a quarter is 2, 2 + 1 rounds down to 2, less 1
        (256 * GIB, 64 * KIB, "1MiB", (3, 18)),
        (512 << 20, 4 * KIB, "512KiB", (31, 186)),  # 131072 pages: just reaches the cap
        (256 << 20, 4 * KIB, "512KiB", (15, 90)),
        (128 << 20, 4 * KIB, "512KiB", (7, 42)),
        (192 << 20, 4 * KIB, "512KiB", (15, 90)),  # a quarter is 12, 12 + 6 rounds down to 16, less 1
        (32 << 20, 4 * KIB, "512KiB", (1, 6)),  # 8192 pages: the smallest zone with a list
        ((32 << 20) - 4 * KIB, 4 * KIB, "512KiB", (1, 0)),  # one page less: nothing stays on the list
        (0, 4 * KIB, "512KiB", (1, 0)),
    ],
)
def test_per_cpu_lists_are_sized_by_the_zone(size_bytes, page_size_bytes, rule, expected):
    assert pcp_sizes(pages_of(size_bytes, page_size_bytes), page_size_bytes, rule) == expected


@given(zone_pages=st.integers(0, 1 << 36), page_size=PAGE_SIZES, rule=st.sampled_from(["512KiB", "1MiB"]))
def test_a_batch_is_one_less_than_a_power_of_two(zone_pages, page_size, rule):
    batch, high = pcp_sizes(zone_pages, page_size, rule)
    assert batch >= 1
    assert (batch + 1) & batch == 0
    assert high in {6 * batch, 0}
    assert (high == 0) == (zone_pages < 8192)


@pytest.mark.parametrize("page_size_bytes", [0, -4096, 512, 4097, 12288])
def test_a_page_size_is_a_power_of_two(page_size_bytes):
    for call in (watermarks_for, pcp_sizes):
        with pytest.raises(ValueError, match="page_size_bytes must be a power of two"):
            call(1000, page_size_bytes)


def test_negative_counts_and_unknown_rules_are_refused():
    with pytest.raises(ValueError, match="managed_pages must be 0 or more"):
        watermarks_for(-1, 4 * KIB)
    with pytest.raises(ValueError, match="zone_pages must be 0 or more"):
        pcp_sizes(-1, 4 * KIB)
    with pytest.raises(ValueError, match="min_free_kbytes must be 0 or more"):
        watermarks_for(1000, 4 * KIB, min_free_kbytes=-1)
    with pytest.raises(ValueError, match=r"unknown pcp rule '5\.14', known: 512KiB, 1MiB"):
        pcp_sizes(1000, 4 * KIB, "5.14")
