"""The fields of the events that are used: from the text after an event's name to numbers, or None if missing."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Bounded, so that no number is too long for int().
_NUMBER = r"0x[0-9a-f]{1,16}|-?[0-9]{1,20}"
_CALL_FIELD = re.compile(rf"([a-z_]+): ({_NUMBER})(?![0-9a-z])")
_RESULT = re.compile(rf"({_NUMBER})(?![0-9a-z])")
_FAULT = re.compile(rf"address=(\S+) ip=\S+ error_code=({_NUMBER})$")
_LOCK = re.compile(r"mm=(0x[0-9a-f]{1,16})\b.* write=(true|false|[01])\b")
_QUEUED = re.compile(r"cpu=([0-9]{1,6}) .*\bfunc=(\S+) csd=(\S+)")
_FUNCTION = re.compile(r"func=(\S+), csd=(\S+)")
_ORDER = re.compile(r"\border=([0-9]{1,2})\b")
_MM = re.compile(r"mm=(0x[0-9a-f]{1,16})\b")

_WRITE = 1 << 1
_INSTRUCTION = 1 << 4

_ERRNO_MAX = 4095
_TWO_64 = 1 << 64
_USER_END = 1 << 63
"""The half of the addresses that is the kernel's, on every 64-bit machine that Linux runs on."""


@dataclass(frozen=True, slots=True)
class FaultFields:
    """`address` is None when it is the kernel's own."""

    address: int | None
    write: bool
    instruction: bool


@dataclass(frozen=True, slots=True)
class LockFields:
    """Which mm's lock (the address of its mm_struct), and whether it is taken for writing."""

    mm: int
    write: bool


def fault_fields(args: str) -> FaultFields | None:
    """Of exceptions:page_fault_user and page_fault_kernel, by the bits of the x86 error code."""
    match = _FAULT.match(args)
    code = _number(match[2]) if match else None
    if match is None or code is None:
        return None
    # An address with a name is the kernel's: the event prints %ps, the symbol where there is one.
    address = _number(match[1])
    if address is None or not 0 <= address < _USER_END:
        return FaultFields(None, False, False)
    return FaultFields(address, bool(code & _WRITE), bool(code & _INSTRUCTION))


def call_fields(args: str) -> dict[str, int]:
    """Of syscalls:sys_enter_*: each argument by its name; those that are not numbers are left out."""
    return {name: int(value, 0) for name, value in _CALL_FIELD.findall(args) if _number(value) is not None}


def call_result(args: str) -> int | None:
    """Of syscalls:sys_exit_*: the result, negative for an errno, which perf may print as an unsigned 64-bit number."""
    match = _RESULT.match(args)
    value = _number(match[1]) if match else None
    if value is not None and value >= _TWO_64 - _ERRNO_MAX:
        return value - _TWO_64
    return value


def lock_fields(args: str) -> LockFields | None:
    """Of the mmap_lock:* events."""
    match = _LOCK.match(args)
    return LockFields(int(match[1], 16), match[2] in {"true", "1"}) if match else None


def queued_function(args: str) -> tuple[int, str, str] | None:
    """Of csd:csd_queue_cpu: the CPU that is to run a function, the function, and the csd that carries the order."""
    match = _QUEUED.match(args)
    return (int(match[1]), match[2], match[3]) if match else None


def run_function(args: str) -> tuple[str, str] | None:
    """Of csd:csd_function_exit: the function that ran and its csd."""
    match = _FUNCTION.match(args)
    return (match[1], match[2]) if match else None


def mm_of(args: str) -> int | None:
    """The `mm=` at the start of an event's fields."""
    match = _MM.match(args)
    return int(match[1], 16) if match else None


def order_of(args: str) -> int:
    """The `order=` of kmem:mm_page_alloc and mm_page_free; 0 without one."""
    match = _ORDER.search(args)
    return int(match[1]) if match else 0


def is_success(args: str) -> bool:
    """Whether a mmap_lock_acquire_returned got the lock: a trylock may not."""
    return "success=false" not in args and "success=0" not in args


def signed_32(value: int) -> int:
    """An int argument (a file descriptor), which perf prints as an unsigned number of 32 or 64 bits."""
    low = value & 0xFFFFFFFF
    return low - (1 << 32) if low >> 31 else low


def _number(text: str) -> int | None:
    try:
        return int(text, 0)
    except ValueError:  # 017, or a symbol's name
        return None
