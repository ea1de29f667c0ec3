"""What a thread does: user accesses and the system calls that change its address space, step by step."""

from kactors.syscalls.thread import UserThread

__all__ = ["UserThread"]
