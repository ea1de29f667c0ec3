"""What a recorded thread did: page faults and the calls that change the address space, in its own order.

Every step has `user_ns`: how long the thread computed on a CPU before it, in ns, the cost of tracing taken off.
Addresses and lengths are bytes, as the kernel was given them: a length need not be a multiple of the page size. How the
time is measured is told in `user_time`, how calls are paired in `threads`.
"""

from __future__ import annotations

from dataclasses import dataclass

PAGE_BYTES = 4096
"""Recordings come from x86, whose exceptions:page_fault_* events are the only ones that are read."""

MAP_FIXED = 0x10
MAP_ANONYMOUS = 0x20

PROT_READ = 0x1
PROT_WRITE = 0x2
PROT_EXEC = 0x4


@dataclass(frozen=True, slots=True)
class Fault:
    """A page fault at `address` (not rounded): of a write, of an instruction fetch, or (neither) of a read."""

    user_ns: int
    address: int
    write: bool
    instruction: bool


@dataclass(frozen=True, slots=True)
class Mmap:
    """mmap that returned `address`; `requested` is the address that was asked for, 0 for any. `fd` is -1 for none."""

    user_ns: int
    address: int
    length: int
    prot: int
    flags: int
    fd: int
    requested: int

    @property
    def file(self) -> bool:
        """Whether a file is mapped. With MAP_ANONYMOUS the kernel looks at no fd, and some programs pass 0."""
        return self.fd >= 0 and not self.flags & MAP_ANONYMOUS


@dataclass(frozen=True, slots=True)
class Munmap:
    """munmap that succeeded, or was still running when the recording ended."""

    user_ns: int
    address: int
    length: int


@dataclass(frozen=True, slots=True)
class Mprotect:
    """mprotect that succeeded, or was still running when the recording ended."""

    user_ns: int
    address: int
    length: int
    prot: int


@dataclass(frozen=True, slots=True)
class Madvise:
    """madvise that succeeded, or was still running when the recording ended; `advice`: 4 is MADV_DONTNEED."""

    user_ns: int
    address: int
    length: int
    advice: int


@dataclass(frozen=True, slots=True)
class Brk:
    """brk after which the heap ends at `address`; also the query brk(0), which takes the lock and moves nothing."""

    user_ns: int
    address: int


Step = Fault | Mmap | Munmap | Mprotect | Madvise | Brk
