"""``generic:N``: an x86 server of any size, whose topology follows from the number of its CPUs."""

from __future__ import annotations

import re

from kactors.machines.entry import Entries, Entry

PREFIX = "generic:"
CPUS_MAX = 4096
CPUS_PER_CORE = 2
CORES_PER_CACHE_MAX = 8
"""As in the L3 complexes of Zen 3 and later."""
ONE_SOCKET_CPUS_MAX = 16
MEMORY_MIB_PER_CPU, MEMORY_MIB_MIN = 512, 8192


def generic_topology(name: str) -> Entries:
    """Return what follows from N in ``generic:N``: N CPUs, two a core; one socket up to 16 CPUs, else two.

    Raises:
        ValueError: N is no number from 1 to 4096.
    """
    digits = name.removeprefix(PREFIX)
    if not (re.fullmatch(r"[0-9]{1,4}", digits) and 1 <= int(digits) <= CPUS_MAX):
        raise ValueError(f"N in generic:N is a number of CPUs from 1 to {CPUS_MAX}, like generic:64")
    cpus = int(digits)
    cores = -(-cpus // CPUS_PER_CORE)
    cores_per_socket = cores if cpus <= ONE_SOCKET_CPUS_MAX else -(-cores // 2)
    caches = -(-cores_per_socket // CORES_PER_CACHE_MAX)
    derived = {
        "cpus": cpus,
        "cores_per_cache": -(-cores_per_socket // caches),
        "caches_per_socket": caches,
        "memory_mib": max(MEMORY_MIB_MIN, MEMORY_MIB_PER_CPU * cpus),
    }
    return {key: Entry(value, "assumed", "follows from N", name) for key, value in derived.items()}
