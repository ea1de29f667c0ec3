"""A profile with another page size: what follows from that, by the kernel's rules or by the number of bytes.

``--set machine.page_size=65536`` brings all of it; what is set besides stays as it is set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kactors.engine.errors import UsageError
from protocols.scenario import OptionValue

PAGE_SIZES: Final = (4096, 16384, 65536)
PMD_PAGES: Final = {4096: 512, 65536: 256}
"""Pages that a page table maps: x86 and the hash MMU with 4 KiB pages, the hash MMU with 64 KiB pages (F9)."""

BY_THE_PAGE: Final = ("clear_page_ns", "copy_page_ns")
BY_THE_HUGE_PAGE: Final = ("clear_huge_ns", "copy_huge_ns")

PCP_CAPS: Final = (512 << 10, 1 << 20)
"""Bytes at most that zone_batchsize takes a quarter of: up to 4.18, and since (mm/page_alloc.c)."""
PCP_HIGH_BATCHES: Final = 6
"""pcp_high in batches up to 5.13; later kernels derive it from the low watermark, which is a number of bytes."""
PCP_HIGH_BATCHES_MIN: Final = 4
"""zone_highsize since 5.14: never below."""


def following(profile: Mapping[str, OptionValue], wanted: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
    """Return the values that change with the page size, but for those that are ``wanted`` themselves.

    Args:
        profile: a profile's values.
        wanted: values to replace, ``page_size`` perhaps among them.

    Raises:
        UsageError: a value follows by no known rule, and is not among the wanted ones.
    """
    before, after = profile.get("page_size"), wanted.get("page_size", profile.get("page_size"))
    if before == after or not isinstance(before, int) or not isinstance(after, int) or after < 1:
        return {}  # no change, or none that a profile could have: its validation says so
    pmd_pages = wanted.get("pmd_pages", PMD_PAGES.get(after))
    if isinstance(pmd_pages, str) or (pmd_pages is None and after not in PAGE_SIZES):
        return {}
    if pmd_pages is None:
        raise UsageError(
            f"machine.page_size = {after}: how many pages a page table maps then is not known; set machine.pmd_pages "
            f"too, or take {' or '.join(map(str, PMD_PAGES))}"
        )
    derived: dict[str, OptionValue] = {"pmd_pages": pmd_pages}
    derived |= {key: _scaled(profile, key, after, before) for key in BY_THE_PAGE}
    huge_before, huge_after = before * _int(profile, "pmd_pages"), after * int(pmd_pages)
    derived |= {key: _scaled(profile, key, huge_after, huge_before) for key in BY_THE_HUGE_PAGE}
    if not {"pcp_batch", "pcp_high"} <= wanted.keys():
        derived |= _per_cpu_lists(_int(profile, "pcp_batch"), _int(profile, "pcp_high"), before, after)
    return {key: value for key, value in derived.items() if key not in wanted}


def zone_batchsize(page_size: int, cap: int) -> int:
    """Return pcp_batch of a zone of a GiB or more (G1): a quarter of the cap in pages, rounded to 2^n - 1."""
    batch = max(cap // page_size // 4, 1)
    return max((1 << (batch + batch // 2).bit_length() - 1) - 1, 1)


def _per_cpu_lists(batch: int, high: int, before: int, after: int) -> dict[str, OptionValue]:
    cap = next((cap for cap in PCP_CAPS if zone_batchsize(before, cap) == batch), None)
    if cap is None:
        raise UsageError(
            f"machine.page_size: pcp_batch = {batch} with pages of {before} bytes is what no kernel computes, so "
            "nothing follows for others; set machine.pcp_batch and machine.pcp_high too"
        )
    new_batch = zone_batchsize(after, cap)
    if high == PCP_HIGH_BATCHES * batch:
        return {"pcp_batch": new_batch, "pcp_high": PCP_HIGH_BATCHES * new_batch}
    return {"pcp_batch": new_batch, "pcp_high": max(high * before // after, PCP_HIGH_BATCHES_MIN * new_batch)}


def _scaled(profile: Mapping[str, OptionValue], key: str, after: int, before: int) -> int:
    return _int(profile, key) * after // before


def _int(profile: Mapping[str, OptionValue], key: str) -> int:
    return int(profile[key])
