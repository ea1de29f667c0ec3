"""The state of mmap_sem as kernel/locking/rwsem-xadd.c has it: a pure state machine that answers with actions.

Readers that meet a writer or a queue sleep in FIFO order. Writers spin while a running writer owns the lock (one at a
time tries, the others wait behind it: the MCS queue), and take the lock past the sleeping queue. A reader at the head
of the queue ends that: releasing wakes it, and a lock owned by readers cannot be spun on.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass
from typing import Any, TypeAlias

Waiter: TypeAlias = Any
"""Whatever identifies one waiting thread; compared for equality only."""


class Verdict(enum.Enum):
    """What becomes of a waiter."""

    ACQUIRED = "acquired"
    SLEEP = "sleep"
    SPIN = "spin"
    WAKE_GRANTED = "wake granted"
    WAKE_RETRY = "wake retry"


@dataclass(slots=True)
class Queued:
    """One sleeper: who, whether he wants to write, since when, and whether he has been woken to retry."""

    who: Waiter
    write: bool
    since_ns: int
    woken: bool = False


Action: TypeAlias = tuple[Waiter, Verdict]


class Rwsem:
    """One read-write semaphore.

    Args:
        handoff_ns: how long the head writer waits before nobody may overtake it; 0: for ever.
    """

    def __init__(self, handoff_ns: int = 0) -> None:
        self._handoff_ns = handoff_ns
        self.writer: Waiter | None = None
        self.readers: list[Waiter] = []
        self.since_ns = 0
        self._owner_runs = True
        self.queue: deque[Queued] = deque()
        self.spinners: deque[Waiter] = deque()

    def down_read(self, who: Waiter, now_ns: int) -> Verdict:
        """Acquire, or join the queue."""
        if self.writer is None and not self.queue:
            self.readers.append(who)
            self.since_ns = self.since_ns if len(self.readers) > 1 else now_ns
            return Verdict.ACQUIRED
        self.queue.append(Queued(who, write=False, since_ns=now_ns))
        return Verdict.SLEEP

    def down_write(self, who: Waiter, now_ns: int) -> Verdict:
        """Acquire (past the queue, if need be), spin on a running writer, or join the queue."""
        if self.writer is None and not self.readers:
            if not self._handed_off(now_ns):
                self._own(who, now_ns)
                return Verdict.ACQUIRED
        elif self.writer is not None and self._owner_runs:
            self.spinners.append(who)
            return Verdict.SPIN
        self.queue.append(Queued(who, write=True, since_ns=now_ns))
        return Verdict.SLEEP

    def retry_write(self, now_ns: int) -> Verdict:
        """Try again as the woken head of the queue."""
        head = self.queue[0]
        if self.writer is None and not self.readers:
            self.queue.popleft()
            self._own(head.who, now_ns)
            return Verdict.ACQUIRED
        head.woken = False
        return Verdict.SLEEP

    def stop_spinning(self, who: Waiter, now_ns: int) -> Verdict | None:
        """Move a spinner into the queue; None when it is not spinning any more."""
        if who not in self.spinners:
            return None
        self.spinners.remove(who)
        self.queue.append(Queued(who, write=True, since_ns=now_ns))
        return Verdict.SLEEP

    def owner_sleeps(self, now_ns: int) -> list[Action]:
        """The owner goes off its CPU: all spinners give up."""
        self._owner_runs = False
        return self._dismiss_spinners(now_ns)

    def owner_runs(self) -> None:
        """The owner is back on a CPU."""
        self._owner_runs = True

    def up_read(self, who: Waiter, now_ns: int) -> list[Action]:
        """Release a read lock; the last one wakes the head of the queue."""
        self.readers.remove(who)
        return [] if self.readers else self._wake(now_ns)

    def up_write(self, now_ns: int, *, spinner_first: bool) -> list[Action]:
        """Release the write lock.

        Args:
            now_ns: when.
            spinner_first: whether a spinner beats the wake-up of readers at the head of the queue.
        """
        self.writer = None
        if self.spinners and not self._handed_off(now_ns):
            readers_wait = bool(self.queue) and not self.queue[0].write
            if spinner_first or not readers_wait:
                winner = self.spinners.popleft()
                self._own(winner, now_ns)
                return [(winner, Verdict.ACQUIRED)]
        return self._wake(now_ns)

    def downgrade(self, now_ns: int) -> list[Action]:
        """Turn the owner's write lock into a read lock; readers at the head of the queue join him."""
        owner, self.writer = self.writer, None
        self.readers.append(owner)
        return self._wake(now_ns)

    def needs_steal_pick(self) -> bool:
        """Return whether the release is a race between a spinner and readers at the head of the queue."""
        return bool(self.spinners) and bool(self.queue) and not self.queue[0].write

    def owners(self) -> list[Waiter]:
        """Return the writer, or the readers."""
        return list(self.readers) if self.writer is None else [self.writer]

    def _own(self, who: Waiter, now_ns: int) -> None:
        self.writer, self.since_ns, self._owner_runs = who, now_ns, True

    def _handed_off(self, now_ns: int) -> bool:
        head = self.queue[0] if self.queue else None
        return bool(self._handoff_ns and head and head.write and now_ns - head.since_ns > self._handoff_ns)

    def _wake(self, now_ns: int) -> list[Action]:
        """Wake a writer at the head, or all readers up to the next writer; their lock ends all spinning."""
        actions: list[Action] = []
        if self.queue and self.queue[0].write:
            head = self.queue[0]
            if not head.woken and not self.readers:
                head.woken = True
                actions.append((head.who, Verdict.WAKE_RETRY))
        while self.queue and not self.queue[0].write:
            reader = self.queue.popleft().who
            self.readers.append(reader)
            self.since_ns = now_ns
            actions.append((reader, Verdict.WAKE_GRANTED))
        return actions + self._dismiss_spinners(now_ns)

    def _dismiss_spinners(self, now_ns: int) -> list[Action]:
        actions: list[Action] = [(who, Verdict.SLEEP) for who in self.spinners]
        self.queue.extend(Queued(who, write=True, since_ns=now_ns) for who in self.spinners)
        self.spinners.clear()
        return actions
