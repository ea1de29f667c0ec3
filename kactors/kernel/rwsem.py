"""The state of mmap_sem as kernel/locking/rwsem.c has it: a pure state machine that answers with actions.

Readers that meet a writer or a queue sleep in FIFO order. Writers spin while a running writer owns the lock (one at a
time tries, the others wait behind it: the MCS queue), and take the lock past the sleeping queue. Up to 5.2 a reader at
the head of the queue ends that: releasing wakes it, and a lock owned by readers cannot be spun on. From 5.3 on writers
spin on readers too, for a while; and a sleeper that has waited long and tries in vain gets the lock handed over.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass
from typing import Any, TypeAlias

Waiter: TypeAlias = Any
"""Whatever identifies one waiting thread; compared for equality only."""

NEVER = -1
SPIN_NS_PER_READER = 500
"""rwsem_rspin_threshold: each reader that holds the lock lets a writer spin on for half a microsecond longer ..."""
READERS_COUNTED = 30
"""... up to this many."""


class Verdict(enum.Enum):
    """What becomes of a waiter."""

    ACQUIRED = "acquired"
    SLEEP = "sleep"
    SPIN = "spin"
    WAKE_GRANTED = "wake granted"
    WAKE_RETRY = "wake retry"


@dataclass(slots=True)
class Queued:
    """One sleeper.

    Attributes:
        who: its thread.
        write: whether it wants to write.
        since_ns: since when it waits.
        woken: it has been woken to retry.
        handoff: it has tried in vain after a long wait: nobody may overtake it any more.
        spins: with that right, it spins on the owner instead of sleeping.
    """

    who: Waiter
    write: bool
    since_ns: int
    woken: bool = False
    handoff: bool = False
    spins: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """In what the versions of the kernel differ; the defaults are those of 4.16.

    Attributes:
        spins: writers spin on a running owner (CONFIG_RWSEM_SPIN_ON_OWNER).
        handoff_ns: how long the head of the queue waits before a vain try of its reserves the lock; 0: for ever.
        reader_spin_ns: how long a writer spins on readers, SPIN_NS_PER_READER for each not counted; 0: not at all.
        readers_steal: a reader takes a free lock past the sleeping queue (5.11).
    """

    spins: bool = True
    handoff_ns: int = 0
    reader_spin_ns: int = 0
    readers_steal: bool = False


RULES_OF_4_16 = Rules()

Action: TypeAlias = tuple[Waiter, Verdict]


class Rwsem:
    """One read-write semaphore.

    Attributes:
        writer, readers: who owns it.
        since_ns: since when.
        queue: the sleepers.
        spinners: the MCS queue, the one that tries first.
        deadline_ns: when the spinners give up on the readers that hold the lock; NEVER: they do not spin on readers.
    """

    def __init__(self, rules: Rules = RULES_OF_4_16) -> None:
        self._rules = rules
        self.writer: Waiter | None = None
        self.readers: list[Waiter] = []
        self.since_ns = 0
        self.deadline_ns = NEVER
        self._owner_runs = True
        self._nonspinnable = False
        self.queue: deque[Queued] = deque()
        self.spinners: deque[Waiter] = deque()

    # --- acquiring ---------------------------------------------------------------------------------------------------

    def down_read(self, who: Waiter, now_ns: int) -> Verdict:
        """Acquire, or join the queue."""
        if self.writer is None and (not self.queue or self._may_steal_as_reader()):
            self._share(who, now_ns)
            return Verdict.ACQUIRED
        self.queue.append(Queued(who, write=False, since_ns=now_ns))
        return Verdict.SLEEP

    def down_write(self, who: Waiter, now_ns: int) -> Verdict:
        """Acquire (past the queue, if need be), spin, or join the queue."""
        if self._free and not self._reserved:
            self._own(who, now_ns)
            return Verdict.ACQUIRED
        if self._may_spin():
            self.spinners.append(who)
            self._watch_readers(now_ns)
            return Verdict.SPIN
        self.queue.append(Queued(who, write=True, since_ns=now_ns))
        return Verdict.SLEEP

    def retry_write(self, now_ns: int) -> Verdict:
        """Try again as the woken head of the queue."""
        head = self.queue[0]
        if self._free:
            self.queue.popleft()
            self._own(head.who, now_ns)
            return Verdict.ACQUIRED
        head.woken = False
        if self._is_overdue(head, now_ns):
            head.handoff = True
            head.spins = self._rules.spins and self.writer is not None and self._owner_runs
        return Verdict.SPIN if head.spins else Verdict.SLEEP

    def stop_spinning(self, who: Waiter, now_ns: int) -> Verdict | None:
        """Move a spinner into the queue; None when it is not spinning any more."""
        if self.queue and self.queue[0].who == who and self._dismiss_head():
            return Verdict.SLEEP
        if who not in self.spinners:
            return None
        self.spinners.remove(who)
        if not self.spinners:
            self.deadline_ns = NEVER
        self.queue.append(Queued(who, write=True, since_ns=now_ns))
        return Verdict.SLEEP

    def give_up_on_readers(self, now_ns: int) -> list[Action]:
        """``deadline_ns`` is over: all spinners sleep, and nobody spins on these readers any more."""
        self._nonspinnable = True
        return self._dismiss_spinners(now_ns)

    def owner_sleeps(self, now_ns: int) -> list[Action]:
        """The owner goes off its CPU: all spinners give up."""
        self._owner_runs = False
        return self._dismiss_head() + self._dismiss_spinners(now_ns)

    def owner_runs(self) -> None:
        """The owner is back on a CPU."""
        self._owner_runs = True

    # --- releasing ---------------------------------------------------------------------------------------------------

    def up_read(self, who: Waiter, now_ns: int) -> list[Action]:
        """Release a read lock; the last one lets a spinner in, or wakes the head of the queue."""
        self.readers.remove(who)
        if self.readers:
            return []
        self._nonspinnable, self.deadline_ns = False, NEVER
        return self._pass_on(now_ns, spinner_first=True)

    def up_write(self, now_ns: int, *, spinner_first: bool) -> list[Action]:
        """Release the write lock.

        Args:
            now_ns: when.
            spinner_first: whether a spinner beats the wake-up of readers at the head of the queue.
        """
        self.writer = None
        return self._pass_on(now_ns, spinner_first=spinner_first)

    def downgrade(self, now_ns: int) -> list[Action]:
        """Turn the owner's write lock into a read lock; readers at the head of the queue join him."""
        owner, self.writer = self.writer, None
        self.readers.append(owner)
        actions = self._grant_readers(now_ns) + self._dismiss_head()
        return actions + self._spinners_meet_readers(now_ns)

    def needs_steal_pick(self) -> bool:
        """Return whether the release is a race between a spinner and readers at the head of the queue."""
        return bool(self.spinners) and bool(self.queue) and not self.queue[0].write

    def owners(self) -> list[Waiter]:
        """Return the writer, or the readers."""
        return list(self.readers) if self.writer is None else [self.writer]

    def waits(self, who: Waiter) -> bool:
        """Return whether a thread waits for the lock."""
        return who in self.spinners or any(queued.who == who for queued in self.queue)

    # --- the rules ---------------------------------------------------------------------------------------------------

    @property
    def _free(self) -> bool:
        return self.writer is None and not self.readers

    @property
    def _reserved(self) -> bool:
        return bool(self.queue) and self.queue[0].handoff

    def _is_overdue(self, head: Queued, now_ns: int) -> bool:
        return bool(self._rules.handoff_ns) and now_ns - head.since_ns > self._rules.handoff_ns

    def _may_steal_as_reader(self) -> bool:
        return self._rules.readers_steal and not self.readers and not self._reserved

    def _may_spin(self) -> bool:
        if not self._rules.spins:
            return False
        if self.writer is not None:
            return self._owner_runs
        # A free lock can only be one that is reserved: whoever has it next is worth spinning on.
        return not self.readers or (bool(self._rules.reader_spin_ns) and not self._nonspinnable)

    def _own(self, who: Waiter, now_ns: int) -> None:
        self.writer, self.since_ns, self._owner_runs = who, now_ns, True

    def _share(self, who: Waiter, now_ns: int) -> None:
        self.readers.append(who)
        if len(self.readers) == 1:
            self.since_ns = now_ns

    def _pass_on(self, now_ns: int, *, spinner_first: bool) -> list[Action]:
        """The lock is free: who gets it, and who is woken."""
        head = self.queue[0] if self.queue else None
        if head is not None and head.handoff:
            return self._hand_over(head, now_ns)
        if self.spinners and (head is None or head.write or (spinner_first and not self._is_overdue(head, now_ns))):
            winner = self.spinners.popleft()
            self._own(winner, now_ns)
            # The release wakes a queued writer all the same; it will find the lock taken.
            return [(winner, Verdict.ACQUIRED), *self._wake_head_writer()]
        if head is None or head.write:
            return self._wake_head_writer()
        actions = self._grant_readers(now_ns)
        return actions + self._spinners_meet_readers(now_ns)

    def _hand_over(self, head: Queued, now_ns: int) -> list[Action]:
        if not head.spins:
            return self._wake_head_writer()
        self.queue.popleft()
        self._own(head.who, now_ns)
        return [(head.who, Verdict.ACQUIRED)]

    def _wake_head_writer(self) -> list[Action]:
        head = self.queue[0] if self.queue else None
        if head is None or not head.write or head.woken:
            return []
        head.woken = True
        return [(head.who, Verdict.WAKE_RETRY)]

    def _grant_readers(self, now_ns: int) -> list[Action]:
        """All readers up to the next writer enter."""
        actions: list[Action] = []
        while self.queue and not self.queue[0].write:
            reader = self.queue.popleft().who
            self.readers.append(reader)
            self.since_ns = now_ns
            actions.append((reader, Verdict.WAKE_GRANTED))
        return actions

    def _spinners_meet_readers(self, now_ns: int) -> list[Action]:
        """Readers own the lock now: up to 5.2 that ends all spinning."""
        if self._rules.reader_spin_ns and not self._nonspinnable:
            self._watch_readers(now_ns)
            return []
        return self._dismiss_spinners(now_ns)

    def _watch_readers(self, now_ns: int) -> None:
        if self.readers and self.spinners and self.deadline_ns == NEVER:
            readers = min(len(self.readers), READERS_COUNTED)
            self.deadline_ns = now_ns + self._rules.reader_spin_ns + readers * SPIN_NS_PER_READER

    def _dismiss_head(self) -> list[Action]:
        """The head of the queue sleeps again, if it spins for the lock that is promised to it."""
        if not (self.queue and self.queue[0].spins):
            return []
        self.queue[0].spins = False
        return [(self.queue[0].who, Verdict.SLEEP)]

    def _dismiss_spinners(self, now_ns: int) -> list[Action]:
        actions: list[Action] = [(who, Verdict.SLEEP) for who in self.spinners]
        self.queue.extend(Queued(who, write=True, since_ns=now_ns) for who in self.spinners)
        self.spinners.clear()
        self.deadline_ns = NEVER
        return actions
