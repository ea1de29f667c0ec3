"""The memory channels of each socket: what all of its CPUs write and read at once shares their bandwidth.

A queue, as a contended cache line is: a CPU alone is limited by what it can move itself, many together by the channels.
"""

from __future__ import annotations

from protocols.machine import Machine


class MemoryChannels:
    """Every socket's channels, each with the time until which it is taken.

    Args:
        machine: its bandwidth a socket, in 10^9 bytes a second: so many bytes a ns.

    Attributes:
        busy_ns: how long each socket's have been taken.
    """

    __slots__ = ("_bytes_per_ns", "_free_at_ns", "busy_ns")

    def __init__(self, machine: Machine) -> None:
        self._bytes_per_ns = machine.memory_bandwidth_gbs
        self._free_at_ns: dict[int, int] = {}
        self.busy_ns: dict[int, int] = {}

    def take(self, now_ns: int, socket: int, size: int) -> int:
        """Return how long it takes from now until ``size`` bytes are through, behind those of others."""
        start_ns = max(self._free_at_ns.get(socket, 0), now_ns)
        self._free_at_ns[socket] = done_ns = start_ns + -(-size // self._bytes_per_ns)
        self.busy_ns[socket] = self.busy_ns.get(socket, 0) + done_ns - start_ns
        return done_ns - now_ns
