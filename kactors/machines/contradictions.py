"""Values that each could be, and not together."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import pairwise

from kactors.kernel.watermarks import watermarks_for
from protocols.machine import Machine

SHAPE = ("cpus", "cpus_per_core", "cores_per_cache", "caches_per_socket")
DISTANCES = ("line_core_ns", "line_cache_ns", "line_socket_ns", "line_remote_ns")


def contradictions(machine: Machine, replaced: Collection[str]) -> Iterator[str]:
    """Yield a sentence for each.

    Args:
        machine: whose values are within their bounds.
        replaced: parameters that a scenario replaces. Who asks what would be if CPUs were left out, or if lines of one
            distance were free, describes no machine that somebody has: only a whole profile is held to its shape.
    """
    yield from _memory(machine)
    if not set(SHAPE) & set(replaced):
        yield from _shape(machine)
    if not set(DISTANCES) & set(replaced):
        yield from _distances(machine)


def _memory(machine: Machine) -> Iterator[str]:
    if machine.pcp_high < machine.pcp_batch:
        yield f"pcp_high = {machine.pcp_high}: should be at least pcp_batch, {machine.pcp_batch}: a list takes a batch"
    if machine.page_cache_mib >= machine.memory_mib:
        yield f"page_cache_mib = {machine.page_cache_mib}: should be less than memory_mib, {machine.memory_mib}"
        return
    pages, free = ((mib << 20) // machine.page_size for mib in (machine.memory_mib, _free_mib(machine)))
    high = watermarks_for(pages, machine.page_size).high_pages
    if free <= high:
        yield (
            f"page_cache_mib = {machine.page_cache_mib} of memory_mib = {machine.memory_mib}: should leave more than "
            f"the high watermark, {high} pages, and leaves {free}"
        )
    if machine.pcp_high > pages:
        yield f"pcp_high = {machine.pcp_high}: should be at most the memory's {pages} pages"


def _free_mib(machine: Machine) -> int:
    return machine.memory_mib - machine.page_cache_mib


def _shape(machine: Machine) -> Iterator[str]:
    core = machine.cpus_per_core
    socket = core * machine.cores_per_cache * machine.caches_per_socket
    if machine.cpus > socket and machine.cpus % socket:
        product = f"cpus_per_core {core} x cores_per_cache {machine.cores_per_cache} x caches_per_socket"
        yield (
            f"cpus = {machine.cpus}: should be a multiple of a socket's {socket} ({product} "
            f"{machine.caches_per_socket}); --cpus N leaves CPUs out"
        )
    elif machine.cpus % core:
        yield f"cpus = {machine.cpus}: should be a multiple of cpus_per_core, {core}; --cpus N leaves CPUs out"


def _distances(machine: Machine) -> Iterator[str]:
    for near, far in pairwise(DISTANCES):
        if getattr(machine, near) > getattr(machine, far):
            yield (
                f"{near} = {getattr(machine, near)}: should be at most {far}, {getattr(machine, far)}: a line does not "
                "come faster from farther away"
            )
