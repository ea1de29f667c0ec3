"""A finding as a litmus test in C, for herd7 with the Linux kernel memory model.

The search is sequentially consistent; the kernel is not. A litmus test asks the memory model whether the same reads can
see the same writes: its ``exists`` clause names what each CPU read on the way to the finding. Each thing that was read
and that somebody else writes decides how its CPU goes on, so what follows stands inside an ``if``, which keeps the
kernel's control dependencies. A CPU that waits for ever cannot be written down: it looks once, and the clause says that
it looked in vain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version

from kactors.checker.export.accesses import TREE_CHANGES, Access, Accesses, accesses
from kactors.checker.space import Move
from kactors.checker.story import in_words
from kactors.checker.subject import Subject
from kactors.engine.errors import UsageError
from protocols.base import Message
from protocols.mmap_sem import DownRead, DownWrite, UpRead, UpWrite
from protocols.page_table import LockPte, PmdLock, PmdUnlock, PteLocked, TrylockPte, UnlockPte
from protocols.stop import Quiescent, Violation
from protocols.tlb import FlushIpi, FlushTlb, IpiAck, ReadCpumask, SyncIpi
from protocols.vma import (
    GetVma,
    ReadSequence,
    VmWriteBegin,
    VmWriteEnd,
)

CPUS_MAX = 3
IPIS = (FlushIpi, SyncIpi)
TAKES = (DownRead, DownWrite, LockPte, PmdLock)
RELEASES = (UpRead, UpWrite, UnlockPte, PmdUnlock)
FENCE_FIRST = (VmWriteEnd, ReadSequence, FlushTlb, ReadCpumask)
FENCE_LAST = (VmWriteBegin, *TREE_CHANGES)


@dataclass
class Line:
    """One statement.

    Attributes:
        text: of C, with ``{}`` where a register stands that a read sets.
        touches: the variable or lock; empty for a fence.
        kind: ``read``, ``write``, ``lock`` or ``fence``.
        value: what a read must see.
        vain: it is the look of a CPU that waits for ever: what follows would happen had it seen 1.
        comment: what it is a part of.
    """

    text: str
    touches: str
    kind: str
    value: int = 0
    vain: bool = False
    comment: str = ""


@dataclass
class Thread:
    """One CPU's program: its lines, and the IPIs whose acks it has not looked for yet."""

    name: str
    lines: list[Line] = field(default_factory=list)
    unacked: list[Line] = field(default_factory=list)


def _fence(name: str) -> Line:
    return Line(f"{name}();", "", "fence")


FENCES: Mapping[type[Message], Line] = {
    **dict.fromkeys((VmWriteBegin, VmWriteEnd, *TREE_CHANGES), _fence("smp_wmb")),
    ReadSequence: _fence("smp_rmb"),
    # Raising tlb_gen, an atomic operation that returns a value, orders everything around it.
    **dict.fromkeys((FlushTlb, ReadCpumask), _fence("smp_mb")),
}
"""The barriers that the kernel's seqcounts and TLB shootdown contain."""


def litmus(subject: Subject, moves: Sequence[Move]) -> str:
    """Return the litmus test of a schedule.

    Raises:
        UsageError: the schedule is no finding, more than three CPUs take part in it, or it is about a file's pages.
    """
    seen, again = accesses(subject, moves)
    if again.stop is None or isinstance(again.stop, Quiescent):
        raise UsageError("the schedule ends without a finding: there is no bad outcome to ask a memory model for")
    if any(access.to == "page_cache" for column in seen.columns.values() for access in column):
        raise UsageError("the schedule uses pages of a file: a litmus test has no page locks; use --format promela")
    threads = [_thread(name, column) for name, column in sorted(seen.columns.items())]
    _irqs_on_again(threads)
    shared = _shared(threads) - seen.read_together
    threads = [kept for thread in threads if (kept := _only(thread, shared)).lines]
    if not threads:
        raise UsageError("no two CPUs touch the same variable in this schedule: a litmus test would be empty")
    if len(threads) > CPUS_MAX:
        raise UsageError(f"{len(threads)} CPUs take part; a litmus test is for at most {CPUS_MAX}: use fewer threads")
    stop = again.stop
    found = f"{stop.property}: {stop.text}" if isinstance(stop, Violation) else stop.kind
    return "\n".join(_text(subject, seen, threads, found)) + "\n"


def _thread(name: str, column: Sequence[Access]) -> Thread:
    thread = Thread(name)
    for access in column:
        if not isinstance(access.says, IPIS):
            thread.lines += thread.unacked
            thread.unacked = []
        if access.taken:
            thread.lines += _lines(name, access, thread)
    thread.lines += thread.unacked
    return thread


def _irqs_on_again(threads: Sequence[Thread]) -> None:
    """A CPU that waits for ever with irqs off would take the IPIs of others if its wait ended: write that down."""
    for thread in threads:
        if not (thread.lines and thread.lines[-1].vain):
            continue
        for other in threads:
            if any(line.touches == f"ack_{thread.name}_{other.name}" and line.vain for line in other.lines):
                thread.lines += _handler(thread.name, other.name, "irqs on again: the IPI would be taken")


def _lines(name: str, access: Access, thread: Thread) -> list[Line]:
    """Return what one message is in C."""
    says, comment = access.says, in_words(access.says)
    if isinstance(says, IPIS):
        acked = access.answer is not None
        ack = _acquire(f"ack_{access.to}_{name}", f"wait for the ack of {access.to}")
        thread.unacked.append(replace(ack, value=int(acked), vain=not acked))
        return [_release(f"ipi_{name}_{access.to}", comment)]
    if isinstance(says, IpiAck):
        return _handler(name, access.to, "the IPI is taken")
    before, after = _locks(access)
    lines = [
        *before,
        *([FENCES[type(says)]] if isinstance(says, FENCE_FIRST) else ()),
        *(Line(f"{{}} = READ_ONCE(*{variable});", variable, "read", value) for variable, value in access.reads),
        *(Line(f"WRITE_ONCE(*{variable}, {value});", variable, "write") for variable, value in access.writes),
        *([FENCES[type(says)]] if isinstance(says, FENCE_LAST) else ()),
        *(Line(f"WRITE_ONCE(*{variable}, {value});", variable, "write") for variable, value in access.completes),
        *after,
    ]
    return [replace(line, comment=comment) for line in lines]


def _locks(access: Access) -> tuple[list[Line], list[Line]]:
    """Return what a message takes before it reads and writes, and what it releases after that."""
    says = access.says
    if isinstance(says, (DownRead, DownWrite, UpRead, UpWrite)):
        lock = "mmap_sem"
    elif isinstance(says, (PmdLock, PmdUnlock)):
        lock = f"{access.place}_lock"
    elif isinstance(says, (GetVma, *TREE_CHANGES)):
        lock = "mm_rb_lock"
    else:
        lock = f"pte_lock_{access.place}"
    take, release = Line(f"spin_lock({lock});", lock, "lock"), Line(f"spin_unlock({lock});", lock, "lock")
    look = Line(f"{{}} = spin_trylock({lock});", lock, "read")
    if isinstance(says, TrylockPte):
        return [replace(look, value=int(isinstance(access.answer, PteLocked)))], []
    if isinstance(says, TAKES):
        return [replace(look, vain=True) if access.waits else take], []
    if isinstance(says, RELEASES):
        return [], [release]
    whole = isinstance(says, GetVma) or bool(access.writes or access.completes)
    return ([take], [release]) if isinstance(says, (GetVma, *TREE_CHANGES)) and whole else ([], [])


def _handler(name: str, sender: str, comment: str) -> list[Line]:
    """Return the handler of an IPI: it sees the request and acknowledges."""
    seen = replace(_acquire(f"ipi_{sender}_{name}", comment), value=1)
    return [seen, _release(f"ack_{name}_{sender}", comment)]


def _acquire(flag: str, comment: str) -> Line:
    return Line(f"{{}} = smp_load_acquire({flag});", flag, "read", comment=comment)


def _release(flag: str, comment: str) -> Line:
    return Line(f"smp_store_release({flag}, 1);", flag, "write", comment=comment)


def _shared(threads: Sequence[Thread]) -> set[str]:
    """Return the variables that somebody writes and somebody else touches, and the locks that two take."""
    touched: dict[str, set[str]] = {}
    changed: set[str] = set()
    for thread in threads:
        for line in thread.lines:
            touched.setdefault(line.touches, set()).add(thread.name)
            if line.kind != "read" or "spin_" in line.text:
                changed.add(line.touches)
    return {name for name, who in touched.items() if name and len(who) > 1 and name in changed}


def _only(thread: Thread, shared: set[str]) -> Thread:
    """Return the program without what nobody else sees: fences stay where they order something."""
    lines: list[Line] = []
    for line in thread.lines:
        if line.kind == "fence" and (not lines or lines[-1].kind == "fence"):
            continue
        if line.kind == "fence" or line.touches in shared:
            lines.append(line)
    while lines and lines[-1].kind == "fence":
        lines.pop()
    return Thread(thread.name, lines)


# --- text ------------------------------------------------------------------------------------------------------------


def _text(subject: Subject, seen: Accesses, threads: Sequence[Thread], found: str) -> Iterator[str]:
    scenario = subject.scenario
    yield f"C {re.sub(r'[^A-Za-z0-9+_-]', '-', f'{scenario.workload}+{scenario.policy}')}"
    yield from ("", "(*", f" * {found}".replace("*)", "* )"), f" * kactors {version('kactors')}, scenario")
    yield f" * {scenario.model_dump_json(exclude_defaults=True)}".replace("*)", "* )")
    yield " * mmap_sem and mm_rb_lock are spinlocks here, as herd7 has no others; left out where several read at once."
    yield from (" *)", "")
    written = [(line.touches, thread.name) for thread in threads for line in thread.lines if line.kind == "write"]
    names = sorted({line.touches for thread in threads for line in thread.lines if line.touches})
    locks = {line.touches for thread in threads for line in thread.lines if "spin_" in line.text}
    yield "{"
    yield from (f"\tint {name}={seen.first.get(name, 0)};" for name in names if name not in locks)
    yield from ("}", "")
    clauses: list[str] = []
    for number, thread in enumerate(threads):
        yield from _program(number, thread, locks, clauses)
    twice = sorted({name for name, _ in written if len({who for it, who in written if it == name}) > 1})
    clauses += [f"{name}={seen.last.get(name, 0)}" for name in twice]
    conjunction = " /\\ ".join(clauses)
    yield f"exists ({conjunction})"


def _program(number: int, thread: Thread, locks: set[str], clauses: list[str]) -> Iterator[str]:
    """Yield one CPU's program and add what it must read to the clauses."""
    mine = sorted({line.touches for line in thread.lines if line.touches})
    words = ", ".join(f"{'spinlock_t' if name in locks else 'int'} *{name}" for name in mine)
    reads = [line for line in thread.lines if line.kind == "read"]
    yield from (f"P{number}({words})", "{", f"\t// {thread.name}")
    yield from (f"\tint r{register};" for register in range(len(reads)))
    depth, register, said, hopes = 1, 0, "", False
    for place, line in enumerate(thread.lines):
        if line.comment != said:
            yield "\t" * depth + f"// {line.comment}"
            said = line.comment
        yield "\t" * depth + line.text.format(f"r{register}")
        if line.kind == "read":
            if not hopes:
                clauses.append(f"{number}:r{register}={line.value}")
            hopes = hopes or line.vain
            if place + 1 < len(thread.lines):
                yield "\t" * depth + f"if (r{register} == {1 if line.vain else line.value}) {{"
                depth += 1
            register += 1
    yield from ("\t" * level + "}" for level in range(depth - 1, -1, -1))
    yield ""
