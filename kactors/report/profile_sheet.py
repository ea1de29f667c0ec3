"""What `kactors profile` prints: a machine's topology, its distances, each value with unit, range and origin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kactors.machines import Entry, load_machine, profile
from kactors.report.tables import table
from protocols.machine import Machine

GROUPS: dict[str, tuple[str, ...]] = {
    "topology": ("cpus", "smt_", "cores_per_cache", "caches_per_socket", "placement"),
    "cache lines": ("line_", "atomic_", "jitter_"),
    "kernel paths": (
        *(
            "fault_",
            "charge_",
            "syscall_",
            "find_",
            "vma_",
            "map_",
            "unmap_",
            "detach_",
            "protect_",
            "rmap_",
            "scan_",
            "zap_",
            "pte_",
            "pipe_",
            "futex_",
            "cold_",
        ),
        "tracing_",
    ),
    "memory": ("page_size", "pmd_", "clear_", "copy_", "memory_"),
    "page cache": ("page_cache_", "page_mkwrite_", "page_dirty_", "fault_around_"),
    "TLB and IPIs": ("tlb", "hpte_", "lazy_tlb", "mmu_", "irq_", "ipi_"),
    "idle and scheduling": ("idle_", "switch_", "wake_", "migration_", "slice_", "tick_"),
    "rwsem": ("rwsem_",),
    "allocator": ("pcp_", "zone_", "tail_page_ns", "page_lines", "lru_", "reclaim_"),
}
"""Parameters by how their names begin; the longest beginning decides, and what has none of these is 'others'."""
OTHERS = "others"
UNITS = {
    "_ns": "ns",
    "_mib": "MiB",
    "_percent": "%",
    "_pages": "pages",
    "_gbs": "GB/s",
    "_lines": "lines",
    "_bytes": "bytes",
    "page_size": "bytes",
}
PLACEMENTS = {
    "adjacent": "on CPUs as they are numbered",
    "cores": "a core each first, socket after socket",
    "sockets": "a core each first, sockets in turn",
}


def unit_of(key: str) -> str:
    """Return the unit that a parameter's name ends in; empty: a number of things, or a word."""
    return next((unit for suffix, unit in UNITS.items() if key.endswith(suffix)), "")


def group_of(key: str) -> str:
    """Return the group of a parameter."""
    begins = [(len(begin), group) for group, names in GROUPS.items() for begin in names if key.startswith(begin)]
    return max(begins)[1] if begins else OTHERS


def topology(machine: Machine) -> str:
    """Return a machine's topology in a line: ``2 sockets x 16 caches x 4 cores x 2 threads = 256 CPUs``."""
    cache_cpus = machine.cores_per_cache * machine.cpus_per_core
    socket_cpus = cache_cpus * machine.caches_per_socket
    # What is not full: a machine of 16 CPUs with room for more in its one cache has 16 there.
    caches = min(machine.caches_per_socket, -(-machine.cpus // cache_cpus))
    cores = min(machine.cores_per_cache, -(-machine.cpus // machine.cpus_per_core))
    threads = min(machine.cpus_per_core, machine.cpus)
    parts = [(machine.sockets, "socket"), (caches, "last-level cache"), (cores, "core"), (threads, "thread")]
    shape = " x ".join(f"{number} {what}{'s' if number != 1 else ''}" for number, what in parts)
    whole = machine.cpus == machine.sockets * socket_cpus or machine.cpus == caches * cores * threads
    return f"{shape} {'=' if whole else 'hold'} {machine.cpus} CPUs"


def distances(machine: Machine) -> list[dict[str, Any]]:
    """Return what a cache line costs by where it comes from, with the CPUs next to CPU 0 of which that is true."""
    places = (
        ("the same core", machine.line_core_ns),
        ("the same cache", machine.line_cache_ns),
        ("the same socket", machine.line_socket_ns),
        ("another socket", machine.line_remote_ns),
    )
    core = machine.cpus_per_core
    cache = core * machine.cores_per_cache
    socket = cache * machine.caches_per_socket
    bounds = (1, core, cache, socket, machine.cpus)
    return [
        {
            "from": name,
            "ns": ns,
            "cpus": [first, min(last, machine.cpus) - 1] if first < min(last, machine.cpus) else None,
        }
        for (name, ns), first, last in zip(places, bounds[:-1], bounds[1:], strict=True)
    ]


def as_data(name: str) -> dict[str, Any]:
    """Return the sheet as plain data, for JSON."""
    machine = load_machine(name)
    return {
        "machine": name,
        "topology": {"text": topology(machine), "sockets": machine.sockets},
        "distances": distances(machine),
        "parameters": {key: _parameter(key, entry) for key, entry in profile(name).items()},
    }


def sheet(name: str) -> str:
    """Return the sheet of a profile as text."""
    machine = load_machine(name)
    head = [
        f"{machine.name}: {topology(machine)}",
        f"threads are placed {PLACEMENTS[machine.placement]}; the CPUs of a core are numbered one after the other",
        "",
        "a cache line from",
        *table(("", "ns", "to CPU 0 from CPU"), [_distance(place) for place in distances(machine)], last_left=True),
    ]
    return "\n".join([*head, *_groups(profile(name))]) + "\n"


def difference(name: str, other: str) -> str:
    """Return the parameters in which two profiles differ, as text: from the first to the other."""
    ours, theirs = profile(name), profile(other)
    rows = [_differing(key, ours[key], theirs[key]) for key in ours if ours[key].value != theirs[key].value]
    if not rows:
        return f"{name} and {other} have the same values\n"
    differ = (
        f"{len(rows)} of {len(ours)} parameters differ" if len(rows) != 1 else f"1 of {len(ours)} parameters differs"
    )
    direction = f"from {name} to {other}: {differ}; a change of x 2 means that {other} has twice {name}'s value"
    headers = ("parameter", name, other, "unit", "change", f"where {other}'s comes from")
    return "\n".join([direction, "", *table(headers, rows, last_left=True)]) + "\n"


def difference_data(name: str, other: str) -> dict[str, Any]:
    """Return what ``difference`` tells as plain data, for JSON."""
    ours, theirs = profile(name), profile(other)
    return {
        key: {name: _parameter(key, ours[key]), other: _parameter(key, theirs[key])}
        for key in ours
        if ours[key].value != theirs[key].value
    }


def _groups(entries: dict[str, Entry]) -> Iterator[str]:
    headers = ("parameter", "value", "unit", "range", "origin", "where it comes from")
    by_group: dict[str, list[list[str]]] = {group: [] for group in (*GROUPS, OTHERS)}
    for key, entry in entries.items():
        by_group[group_of(key)].append(_row(key, entry))
    lines = table(headers, [row for rows in by_group.values() for row in rows], left=1, last_left=True)
    yield from ("", lines[0])
    place = 1
    for group, rows in by_group.items():
        if rows:
            yield from ("", group, *lines[place : place + len(rows)])
        place += len(rows)


def _row(key: str, entry: Entry) -> list[str]:
    span = "" if entry.span is None else f"{entry.span[0]}-{entry.span[1]}"
    why = entry.why
    if entry.fits is not None:
        why += f"; {entry.fits[0]}-{entry.fits[1]} fits as well"
    if entry.span_source:
        why += f"; range: {entry.span_source}"
    if entry.outside is not None:
        file, (low, high) = entry.outside
        why += f"; outside {file}'s range, {low}-{high}"
    return [key, str(entry.value), unit_of(key), span, entry.origin, why]


def _parameter(key: str, entry: Entry) -> dict[str, Any]:
    return {
        "value": entry.value,
        "unit": unit_of(key),
        "group": group_of(key),
        "range": entry.span,
        "origin": entry.origin,
        "why": entry.why,
        "fits": entry.fits,
        "range_source": entry.span_source,
        "file": entry.file,
    }


def _distance(place: dict[str, Any]) -> list[str]:
    cpus = place["cpus"]
    shown = "-" if cpus is None else str(cpus[0]) if cpus[0] == cpus[1] else f"{cpus[0]} to {cpus[1]}"
    return [place["from"], str(place["ns"]), shown]


def _differing(key: str, ours: Entry, theirs: Entry) -> list[str]:
    one, other = ours.value, theirs.value
    change = f"x {other / one:.3g}" if isinstance(one, int) and isinstance(other, int) and one else ""
    return [key, str(one), str(other), unit_of(key), change, theirs.told]
