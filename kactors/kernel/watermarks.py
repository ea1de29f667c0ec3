"""Watermarks of a zone and the sizes of its per-CPU page lists.

Source of every rule here: `mm/page_alloc.c` (`init_per_zone_wmark_min`, `__setup_per_zone_wmarks`, `zone_batchsize`,
`pageset_set_batch`), from general knowledge, not read at the modelled commit. The kernel versions named below are from
general knowledge too.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Final, Literal

PcpRule = Literal["512KiB", "1MiB"]
"""Which cap `zone_batchsize` puts on zone_pages/1024: "512KiB" up to 4.18 (so 4.16), "1MiB" from 4.19 until 5.14."""

_KIB: Final = 1024

MIN_FREE_KBYTES_FLOOR: Final = 128
"""Lowest computed min_free_kbytes, in kB."""

MIN_FREE_KBYTES_CEILING: Final = 65536
"""Highest computed min_free_kbytes, in kB (4.16; newer kernels allow 256 MB)."""

WATERMARK_SCALE_FACTOR: Final = 10
"""Default of /proc/sys/vm/watermark_scale_factor: distance between watermarks in 1/10000 of the managed pages."""

_PCP_CAP_BYTES: Final[dict[PcpRule, int]] = {"512KiB": 512 * _KIB, "1MiB": 1024 * _KIB}


@dataclass(frozen=True, slots=True)
class Watermarks:
    """The three watermarks of a zone, in base pages of the machine; 0 <= min <= low <= high.

    An allocation needs more than `low_pages` free, else it wakes kswapd and needs more than `min_pages`; kswapd stops
    at `high_pages`. The same names in lower case stand in /proc/zoneinfo.

    Raises:
        ValueError: the three are not in ascending order, or negative.
    """

    min_pages: int
    low_pages: int
    high_pages: int

    def __post_init__(self) -> None:
        if not 0 <= self.min_pages <= self.low_pages <= self.high_pages:
            raise ValueError(f"watermarks must ascend from 0 or more: {self}")


def watermarks_for(managed_pages: int, page_size_bytes: int, min_free_kbytes: int | None = None) -> Watermarks:
    """Watermarks of a machine whose only zone has `managed_pages` base pages.

    Without `min_free_kbytes` (in kB, as the sysctl) it is sqrt(16 * managed kB), clamped to 128..65536; a given one is
    taken as it is. low = min + max(min/4, managed * 10/10000), high = min + twice that, all rounded down.

    Transparent huge pages raise min_free_kbytes in the kernel (`mm/khugepaged.c`, `set_recommended_min_free_kbytes`):
    pass the raised value. On a tiny machine the watermarks may exceed the managed pages: nothing is clamped to them.

    Source: `mm/page_alloc.c`, `init_per_zone_wmark_min` and `__setup_per_zone_wmarks`, from general knowledge. Not
    modelled: several zones (min is split in proportion to them), highmem.

    Raises:
        ValueError: `managed_pages` or `min_free_kbytes` is negative, or `page_size_bytes` is no power of two >= 1024.
    """
    _check_sizes("managed_pages", managed_pages, page_size_bytes)
    page_kbytes = page_size_bytes // _KIB
    if min_free_kbytes is None:
        wanted_kbytes = isqrt(16 * managed_pages * page_kbytes)
        min_free_kbytes = min(max(wanted_kbytes, MIN_FREE_KBYTES_FLOOR), MIN_FREE_KBYTES_CEILING)
    elif min_free_kbytes < 0:
        raise ValueError(f"min_free_kbytes must be 0 or more, not {min_free_kbytes}")
    min_pages = min_free_kbytes // page_kbytes
    distance = max(min_pages // 4, managed_pages * WATERMARK_SCALE_FACTOR // 10_000)
    return Watermarks(min_pages=min_pages, low_pages=min_pages + distance, high_pages=min_pages + 2 * distance)


def pcp_sizes(zone_pages: int, page_size_bytes: int, rule: PcpRule = "512KiB") -> tuple[int, int]:
    """(batch, high) of a zone's per-CPU page lists, both in base pages.

    zone_pages/1024, capped at the rule's bytes, a quarter of that and at least 1, rounded to 2**n - 1; high is 6 times
    that. A large zone gives 31/186 with 4 KiB pages and 1/6 with 64 KiB pages ("512KiB" rule).

    Below 8192 pages (or with pages over 64 KiB) the rounded batch is 0: the kernel then moves 1 page at a time, with
    high 0, so that each free goes straight back to the zone. The answer is (1, 0): `count >= high` after every free.

    Source: `mm/page_alloc.c`, `zone_batchsize` and `pageset_set_batch`, from general knowledge. Since 5.14 high follows
    from the low watermark and the number of CPUs; that rule is not here.

    Raises:
        ValueError: `zone_pages` is negative, `page_size_bytes` is no power of two >= 1024, or `rule` is unknown.
    """
    _check_sizes("zone_pages", zone_pages, page_size_bytes)
    if rule not in _PCP_CAP_BYTES:
        raise ValueError(f"unknown pcp rule {rule!r}, known: {', '.join(_PCP_CAP_BYTES)}")
    quarter = max(min(zone_pages // 1024, _PCP_CAP_BYTES[rule] // page_size_bytes) // 4, 1)
    # rounddown_pow_of_two(batch + batch/2) - 1: powers of two were found to share cache colours between two tasks that
    # allocate in turn. The half added before rounding makes 2 stay below 4, so 64 KiB pages get a batch of 1.
    rounded = (1 << ((quarter + quarter // 2).bit_length() - 1)) - 1
    return max(rounded, 1), 6 * rounded


def _check_sizes(name: str, pages: int, page_size_bytes: int) -> None:
    if pages < 0:
        raise ValueError(f"{name} must be 0 or more, not {pages}")
    if page_size_bytes < _KIB or page_size_bytes & (page_size_bytes - 1):
        raise ValueError(f"page_size_bytes must be a power of two of at least {_KIB}, not {page_size_bytes}")
