"""The events that mean something here, by perf's own names, and what each says about the thread that shows it."""

from __future__ import annotations

from enum import Enum, auto
from functools import lru_cache

FAULT_USER = "exceptions:page_fault_user"
FAULT_KERNEL = "exceptions:page_fault_kernel"
LOCK_START = "mmap_lock:mmap_lock_start_locking"
LOCK_ACQUIRED = "mmap_lock:mmap_lock_acquire_returned"
LOCK_RELEASED = "mmap_lock:mmap_lock_released"
LOCK_EVENTS = frozenset({LOCK_START, LOCK_ACQUIRED, LOCK_RELEASED})
PAGE_ALLOC = "kmem:mm_page_alloc"
PAGE_FREE = "kmem:mm_page_free"
TLB_FLUSH = "tlb:tlb_flush"
QUEUE_FUNCTION = "csd:csd_queue_cpu"
FUNCTION_DONE = "csd:csd_function_exit"
SEND_IPI = "ipi:ipi_send_cpu"
SCAN = "huge_memory:mm_khugepaged_scan_pmd"
COLLAPSE = "huge_memory:mm_collapse_huge_page"
SWITCH = "sched:sched_switch"

ENTER = "syscalls:sys_enter_"
EXIT = "syscalls:sys_exit_"
CALLS = ("mmap", "munmap", "mprotect", "madvise", "brk")

FLUSH_FUNCTION = "flush_tlb_func"
SYNC_FUNCTION = "tlb_remove_table_smp_sync"

REMOTE_FLUSH = "remote IPI send"
"""The reason of the tlb_flush that the kernel records when it asks other CPUs to flush."""

LOCAL_FLUSH = "local MM shootdown"
"""The reason of the tlb_flush that a CPU records when it flushes its own TLB for a change that it made."""

TASK_SWITCH_FLUSH = "flush on task switch"
"""The reason of the tlb_flush that the leaving task shows when another address space comes in."""

WAKEUP = "ttwu_queue_wakelist"
"""The call site of an IPI that wakes a task elsewhere: comes from any interrupt, so it says nothing about a fault."""


class Role(Enum):
    """What an event says about the thread that shows it."""

    FAULT = auto()
    """It takes a page fault."""
    ENTER = auto()
    """It begins one of the five calls."""
    EXIT = auto()
    """It ends one of them."""
    FAULT_WORK = auto()
    """It does what a fault may have to do: takes the mmap lock, allocates, flushes, sends an IPI."""
    INTERRUPT_ENTRY = auto()
    """Its CPU begins to serve an interrupt."""
    INTERRUPT_EXIT = auto()
    """Its CPU is done with the interrupt."""
    SWITCH = auto()
    """It leaves its CPU."""
    PRESENT = auto()
    """It is on this CPU; nothing more."""


_FIXED = {
    FAULT_USER: Role.FAULT,
    FAULT_KERNEL: Role.FAULT,
    LOCK_START: Role.FAULT_WORK,
    LOCK_ACQUIRED: Role.FAULT_WORK,
    LOCK_RELEASED: Role.FAULT_WORK,
    PAGE_ALLOC: Role.FAULT_WORK,
    TLB_FLUSH: Role.FAULT_WORK,
    QUEUE_FUNCTION: Role.FAULT_WORK,
    SEND_IPI: Role.FAULT_WORK,
    SWITCH: Role.SWITCH,
    **{ENTER + call: Role.ENTER for call in CALLS},
    **{EXIT + call: Role.EXIT for call in CALLS},
}
_INTERRUPT_SYSTEMS = ("irq_vectors:", "irq:")


@lru_cache(maxsize=1024)
def role_of(event: str) -> Role:
    """The role of an event by its name alone; TLB_FLUSH and the IPI events need a look at their fields as well."""
    if event in _FIXED:
        return _FIXED[event]
    if event.startswith(_INTERRUPT_SYSTEMS):
        if event.endswith("_entry"):
            return Role.INTERRUPT_ENTRY
        if event.endswith("_exit"):
            return Role.INTERRUPT_EXIT
    return Role.PRESENT


def role_in_detail(event: str, args: str) -> Role:
    """The role of an event with these fields."""
    role = role_of(event)
    if role is Role.FAULT_WORK:
        if event == TLB_FLUSH and TASK_SWITCH_FLUSH in args:
            return Role.SWITCH
        if WAKEUP in args:
            return Role.PRESENT
    return role
