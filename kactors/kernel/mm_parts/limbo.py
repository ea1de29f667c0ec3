"""Areas that have left the tree but may still be looked at: where look-ups take no lock, callbacks of RCU or SRCU free.

A callback that is queued waits for the next grace period; the grace periods begin a tick apart (SRCU_INTERVAL, and the
tick that RCU's begin with), and each takes all callbacks that there are by then. At its end they run on the CPUs that
had queued them: RCU's in softirq, SRCU's in a kworker each, which costs that CPU two context switches (B6).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kactors.engine.actor import Handler
from kactors.kernel.vma_tree import Vma
from protocols.base import Message
from protocols.rcu import BEGIN_GRACE_PERIOD, VMAS_UNSEEN, BeginGracePeriod, VmaCallbacks, VmasUnseen

if TYPE_CHECKING:
    from kactors.kernel.mm_parts.grace_periods import GracePeriods
    from kactors.kernel.mm_parts.vmas import Vmas


class Limbo:
    """The callbacks that free areas.

    Attributes:
        domains: those whose readers may look at an area: a grace period of each must pass. None: nobody does.
    """

    def __init__(self, vmas: Vmas, grace_periods: GracePeriods) -> None:
        self.domains: tuple[str, ...] = ()
        self._vmas = vmas
        self._grace_periods = grace_periods
        self._queued: list[tuple[Any, int]] = []
        self._waiting: list[tuple[Any, int]] = []
        self._passed = 0
        self._scan_ns = 0
        self._is_due = False

    def handlers(self) -> dict[type[Message], Handler]:
        """Return the handlers of the mm's messages to itself."""
        return {BeginGracePeriod: self._begin, VmasUnseen: self._unseen}

    def vma_ids(self) -> frozenset[int]:
        """Return the areas whose callback has not come yet."""
        return frozenset(vma_id for _, vma_id in (*self._queued, *self._waiting))

    def defer_to(self, domain: str) -> None:
        """From now on readers of this domain may look at areas; those of an earlier policy may still."""
        if domain not in self.domains:
            self.domains = (*self.domains, domain)

    def erased(self, vma: Vma, client: Any) -> None:
        """An area left the tree: what the tree had of it goes with the callback, queued on the CPU that erased it."""
        if self.domains:
            vma.references += 1
            self._queued.append((client, vma.vma_id))
            self._arm()

    def _arm(self) -> None:
        if self._is_due or self._waiting or not self._queued:
            return
        self._is_due = True
        mm, tick_ns = self._vmas.mm, self._vmas.machine.tick_ns
        # A timer keeps no machine alive; where no time passes it comes whenever it may.
        post = mm.engine.post if mm.engine.untimed else mm.engine.post_background
        post(self._vmas.now_ns + tick_ns, mm, mm, BEGIN_GRACE_PERIOD)

    def _begin(self, _: BeginGracePeriod, client: Any, tag: int) -> None:
        del client, tag
        self._is_due = False
        self._waiting, self._queued = self._queued, []
        self._passed = self._scan_ns = 0
        self._wait()

    def _wait(self) -> None:
        """Begin the grace period of the next domain; the CPU of the first callback counts its readers."""
        worker, _ = self._waiting[0]
        self._scan_ns += self._grace_periods.call(self.domains[self._passed], VMAS_UNSEEN, worker.cpu_id)

    def _unseen(self, _: VmasUnseen, client: Any, tag: int) -> None:
        """No section that had begun is open any more: run the callbacks, unless another domain has readers too."""
        del client, tag
        self._passed += 1
        if self._passed < len(self.domains):
            self._wait()
            return
        ended, self._waiting = self._waiting, []
        by_cpu: dict[Any, list[int]] = {}
        for cpu, vma_id in ended:
            by_cpu.setdefault(cpu, []).append(vma_id)
        asleep = any(self.domains)  # RCU's name is empty
        mm = self._vmas.mm
        for cpu, vma_ids in by_cpu.items():
            callbacks = VmaCallbacks(vma_ids=tuple(vma_ids), kworker=asleep, scan=self._scan_ns)
            mm.engine.post(self._vmas.now_ns, cpu, mm, callbacks)
            self._scan_ns = 0
        self._arm()
