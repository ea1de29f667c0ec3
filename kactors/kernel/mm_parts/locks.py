"""mmap_sem: carries the rwsem's verdicts out as messages, and charges the lock's cache line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from kactors.engine.actor import Handler
from kactors.engine.waits import Holder
from kactors.kernel.cache_line import CacheLine
from kactors.kernel.lockdep import MMAP_SEM, tell_acquired, tell_needed, tell_released
from kactors.kernel.mm_parts.part import Host, Part, Who
from kactors.kernel.rwsem import NEVER, Action, Rules, Rwsem, Verdict
from protocols.base import Message
from protocols.machine import Machine
from protocols.mmap_sem import (
    GIVE_UP_ON_READERS,
    MMAP_SEM_ACQUIRED,
    RSPIN_OVER,
    SPINNING_TOO_LONG,
    DowngradeWrite,
    DownRead,
    DownWrite,
    GiveUpOnReaders,
    MmapSemReleased,
    MmapSeq,
    OwnerRuns,
    OwnerSleeps,
    ReadMmapSeq,
    RetryWrite,
    SpinningTooLong,
    StopSpinning,
    UpRead,
    UpWrite,
)
from protocols.scheduling import GRANTED, MUST_SLEEP, RETRY
from protocols.tracepoints import LockAcquired, LockReleased, MmapSemHold

ANSWERS: dict[Verdict, Message] = {
    Verdict.ACQUIRED: MMAP_SEM_ACQUIRED,
    Verdict.SLEEP: MUST_SLEEP,
    Verdict.WAKE_GRANTED: GRANTED,
    Verdict.WAKE_RETRY: RETRY,
}
WAKE_UPS = (Verdict.WAKE_GRANTED, Verdict.WAKE_RETRY)


class MmapSem(Part):
    """The lock itself: one cache line that every fault and every address-space change writes.

    Args:
        mm: the actor.
        idles: tells whether a CPU, by number, is known to be idle.
    """

    def __init__(self, mm: Host, idles: Callable[[int], bool]) -> None:
        super().__init__(mm)
        machine = mm.machine
        # Where threads move, whoever releases the lock finds a CPU for each that he wakes.
        self._places = machine.wake_placement == "idle"
        self._clients: dict[int, Any] = {}
        rules = Rules(
            spins=machine.rwsem_spins,
            handoff_ns=machine.rwsem_handoff_ns,
            reader_spin_ns=machine.rwsem_reader_spin_ns,
            readers_steal=machine.rwsem_readers_steal,
        )
        self._rwsem = Rwsem(rules)
        self._line = CacheLine(machine)
        self._seq_line = CacheLine(machine)
        self._idles = idles
        self._armed_ns = NEVER

    def handlers(self) -> dict[type[Message], Handler]:
        """Return the handlers of mmap_sem's conversation."""
        return {
            DownRead: self._down_read,
            DownWrite: self._down_write,
            RetryWrite: self._retry_write,
            StopSpinning: self._stop_spinning,
            SpinningTooLong: self._spinning_too_long,
            GiveUpOnReaders: self._give_up_on_readers,
            UpRead: self._up_read,
            UpWrite: self._up_write,
            DowngradeWrite: self._downgrade,
            OwnerSleeps: self._owner_sleeps,
            OwnerRuns: self._owner_runs,
            ReadMmapSeq: self._read_seq,
        }

    def holder(self, who: Who) -> Holder | None:
        """Name the owners of the lock when ``who`` waits for it."""
        if not self._rwsem.waits(who[1]):
            return None
        names = tuple(self._clients[tag].node(tag) for tag in self._rwsem.owners()) or ("mm",)
        mode = "write" if self._rwsem.writer is not None else "read"
        return Holder(f"mmap_sem (held for {mode})", names, self._rwsem.since_ns, "has not released it")

    @property
    def line_busy_ns(self) -> int:
        """How long the lock's own cache line has been taken."""
        return self._line.busy_ns

    def must_hold(self, client: Any, tag: int, act: str, *, write: bool) -> None:
        """lockdep_assert_held: the client does what needs mmap_sem."""
        tell_needed(self.mm.engine, self.mm, MMAP_SEM, (client, tag), act, place=self.mm.number, write=write)

    @property
    def sequence(self) -> int:
        """mmap_seq of the SPF of 2021 (I1): odd while a writer holds the lock, and never the same for two of them."""
        return 2 * self.mm.lock_sequence + (self._rwsem.writer is not None)

    def _read_seq(self, _: ReadMmapSeq, client: Any, tag: int) -> None:
        done_ns = self._seq_line.read(self.now_ns, client.cpu_id)
        self.mm.reply(done_ns, client, tag, MmapSeq(sequence=self.sequence))

    def _count_seq(self, at_ns: int, cpu: int, *, ends: bool) -> int:
        """Return when a writer has moved mmap_seq and mm_lock_seq; where nobody ever read one, the kernel has none."""
        if self._seq_line.in_use:
            at_ns = self._seq_line.write(at_ns, cpu)
        return self.mm.count_section(at_ns, cpu, ends=ends)

    def _down_read(self, _: DownRead, client: Any, tag: int) -> None:
        done_ns = self._line.write(self.now_ns, client.cpu_id)
        self._clients[tag] = client
        self._answer(done_ns, client, tag, self._rwsem.down_read(tag, done_ns), write=False)

    def _down_write(self, _: DownWrite, client: Any, tag: int) -> None:
        done_ns = self._line.write(self.now_ns, client.cpu_id)
        self._clients[tag] = client
        self._answer(done_ns, client, tag, self._rwsem.down_write(tag, done_ns), write=True)
        self._arm()

    def _retry_write(self, _: RetryWrite, client: Any, tag: int) -> None:
        done_ns = self._line.write(self.now_ns, client.cpu_id)
        self._clients[tag] = client
        self._answer(done_ns, client, tag, self._rwsem.retry_write(done_ns), write=True)

    def _stop_spinning(self, _: StopSpinning, client: Any, tag: int) -> None:
        verdict = self._rwsem.stop_spinning(tag, self.now_ns)
        if verdict is not None:
            self._answer(self.now_ns, client, tag, verdict, write=True)

    def _arm(self) -> None:
        """Where writers spin on readers, see to it that they give up in time."""
        deadline_ns = self._rwsem.deadline_ns
        if deadline_ns not in (NEVER, self._armed_ns):
            self._armed_ns = deadline_ns
            self.mm.engine.post(deadline_ns, self.mm, self.mm, SPINNING_TOO_LONG)

    def _spinning_too_long(self, _: SpinningTooLong, client: Any, tag: int) -> None:
        del client, tag
        if self._rwsem.deadline_ns == self.now_ns:
            first = self._rwsem.spinners[0]
            spinner = self._clients[first]
            if spinner.cpu_id < 0:  # khugepaged, whose CPU is nobody else's
                self._give_up_on_readers(GIVE_UP_ON_READERS, spinner, first)
            else:
                self.mm.reply(self.now_ns, spinner, first, RSPIN_OVER)

    def _give_up_on_readers(self, _: GiveUpOnReaders, client: Any, tag: int) -> None:
        """Unless the spinner has the lock by now, or spins on a writer."""
        del client
        if tag in self._rwsem.spinners and NEVER != self._rwsem.deadline_ns <= self.now_ns:
            self._carry_out(self.now_ns, None, self._rwsem.give_up_on_readers(self.now_ns))

    def _up_read(self, _: UpRead, client: Any, tag: int) -> None:
        done_ns = self._line.write(self.now_ns, client.cpu_id)
        owns = self._ends(client, tag, write=False)
        if owns:
            del self._clients[tag]
        self._release(done_ns, client, tag, self._rwsem.up_read(tag, done_ns) if owns else [])

    def _up_write(self, _: UpWrite, client: Any, tag: int) -> None:
        done_ns = self._line.write(self._count_seq(self.now_ns, client.cpu_id, ends=True), client.cpu_id)
        actions: list[Action] = []
        if self._ends(client, tag, write=True):
            del self._clients[tag]
            self._end_hold(done_ns)
            actions = self._rwsem.up_write(done_ns, spinner_first=self._spinner_wins())
        self._release(done_ns, client, tag, actions)

    def _downgrade(self, _: DowngradeWrite, client: Any, tag: int) -> None:
        done_ns = self._line.write(self._count_seq(self.now_ns, client.cpu_id, ends=True), client.cpu_id)
        actions: list[Action] = []
        if self._ends(client, tag, write=True):
            self._end_hold(done_ns)
            self._tell_acquired(client, tag, write=False)
            actions = self._rwsem.downgrade(done_ns)
        self._release(done_ns, client, tag, actions)

    def _owner_sleeps(self, _: OwnerSleeps, client: Any, tag: int) -> None:
        del client, tag
        self._carry_out(self.now_ns, None, self._rwsem.owner_sleeps(self.now_ns))

    def _owner_runs(self, _: OwnerRuns, client: Any, tag: int) -> None:
        del client, tag
        self._rwsem.owner_runs()

    def _spinner_wins(self) -> bool:
        if not self._rwsem.needs_steal_pick():
            return True
        return self.mm.engine.choices.pick("rwsem.steal", 100) < self.machine.rwsem_steal_percent

    def _end_hold(self, at_ns: int) -> None:
        self.mm.end_write_section()
        self.mm.engine.emit(at_ns, self.mm, MmapSemHold(hold=at_ns - self._rwsem.since_ns))

    def _ends(self, client: Any, tag: int, *, write: bool) -> bool:
        """Tell of a release; False: the client does not own the lock, and nothing happens to it."""
        if self.mm.engine.listens(LockReleased):
            tell_released(self.mm.engine, self.mm, MMAP_SEM, (client, tag), place=self.mm.number, write=write)
        # A thread that has moved while it waited is the same owner.
        return tag == self._rwsem.writer if write else tag in self._rwsem.readers

    def _tell_acquired(self, client: Any, tag: int, *, write: bool) -> None:
        tell_acquired(self.mm.engine, self.mm, MMAP_SEM, (client, tag), place=self.mm.number, write=write)

    def _answer(self, at_ns: int, client: Any, tag: int, verdict: Verdict, *, write: bool) -> None:
        """Reply now, unless the writer spins: his answer comes with the release."""
        if verdict is Verdict.ACQUIRED and write:
            at_ns = self._count_seq(at_ns, client.cpu_id, ends=False)
        if verdict is Verdict.ACQUIRED and self.mm.engine.listens(LockAcquired):
            self._tell_acquired(client, tag, write=write)
        if verdict is not Verdict.SPIN:
            self.mm.reply(at_ns, client, tag, ANSWERS[verdict])

    def _release(self, at_ns: int, client: Any, tag: int, actions: list[Action]) -> None:
        released = self._carry_out(at_ns, client, actions)
        self._arm()
        self.mm.reply(at_ns, client, tag, released)

    def _carry_out(self, at_ns: int, waker: Any, actions: Iterable[Action]) -> MmapSemReleased:
        """Tell everybody what became of him; a spinner first fetches the line.

        Return how many were woken, for how many of them the waker must interrupt an idle CPU, and whom he has to wake.
        """
        woken = ipis = 0
        to_wake: list[int] = []
        for tag, verdict in actions:
            client = self._clients[tag]
            when_ns = at_ns
            if verdict is not Verdict.WAKE_RETRY and verdict is not Verdict.SLEEP:
                # A spinner gets it as a writer, a sleeper as a reader.
                self._tell_acquired(client, tag, write=verdict is Verdict.ACQUIRED)
            if verdict is Verdict.ACQUIRED:
                when_ns = self._count_seq(self._line.write(at_ns, client.cpu_id), client.cpu_id, ends=False)
            elif verdict in WAKE_UPS and self._places and client.cpu_id >= 0:
                to_wake.append(tag)
                continue
            elif verdict in WAKE_UPS:
                # try_to_wake_up runs on the releasing CPU, one sleeper after the other.
                woken += 1
                ipis += client is not waker and self._idles(client.cpu_id)
                when_ns = at_ns + wake_cost_ns(self.machine, woken, ipis)
            self.mm.reply(when_ns, client, tag, ANSWERS[verdict])
        return MmapSemReleased(woken=woken, ipis=ipis, to_wake=tuple(to_wake))


def wake_cost_ns(machine: Machine, woken: int, ipis: int) -> int:
    """Return what waking ``woken`` threads costs, for ``ipis`` of which an idle CPU has to be interrupted."""
    return woken * machine.wake_ns + ipis * machine.ipi_exit_ns
