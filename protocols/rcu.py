"""RCU and SRCU: who changes something waits until all who may still use the old version have left their read sections.

An RCU reader writes nothing shared: only its CPU knows that it is inside, and is asked. A reader of SRCU (sleepable
RCU) counts itself into its domain, and may sleep inside. Both wait for the sections that had begun, and for no others.
"""

from __future__ import annotations

from typing import Final

from protocols.base import Count, Message, Ns, Pfn, VmaId
from protocols.scheduling import CLIENTS

RCU: Final = ""
"""The domain that RCU is; every other name is a domain of SRCU."""


class Synchronize(Message, sender=CLIENTS, receiver=("mm",), reply=("GracePeriodOver",)):
    """synchronize_rcu, synchronize_srcu (B1): wait for every read section of the domain that has begun."""

    domain: str


class GracePeriodOver(Message, sender=("mm",), receiver=CLIENTS):
    """All those sections have ended."""


class CallRcu(Message, sender=("cpu",), receiver=("mm",)):
    """call_rcu, call_srcu (B1): free these frames after a grace period; the caller goes on."""

    domain: str
    pfns: tuple[Pfn, ...]


class RcuCallback(Message, sender=("mm",), receiver=("cpu",)):
    """The grace period that CallRcu began is over: the CPU frees the frames, in its softirq."""

    pfns: tuple[Pfn, ...]


class ReportQuiescent(Message, sender=("mm",), receiver=("cpu",), reply=("Quiescent",)):
    """A grace period of RCU has begun: answer outside of any read section. Nobody is interrupted for it."""


class Quiescent(Message, sender=("cpu",), receiver=("mm",)):
    """No read section that had begun when the question came is still open on this CPU."""


class SrcuReadLock(Message, sender=("cpu",), receiver=("mm",), reply=("SrcuReadLocked",)):
    """srcu_read_lock: count oneself into the domain's present index."""

    domain: str


class SrcuReadLocked(Message, sender=("mm",), receiver=("cpu",)):
    """The index, to be given back when the section ends."""

    index: Count


class SrcuReadUnlock(Message, sender=("cpu",), receiver=("mm",)):
    """srcu_read_unlock."""

    domain: str
    index: Count


class BeginGracePeriod(Message, sender=("mm",), receiver=("mm",)):
    """To oneself: a tick has passed since the last grace period; callbacks that free VMAs are queued."""


class VmasUnseen(Message, sender=("mm",), receiver=("mm",)):
    """To oneself: that grace period is over."""


class VmaCallbacks(Message, sender=("mm",), receiver=("cpu",)):
    """Callbacks that the CPU queued are due: it puts what the tree had of these VMAs; in a kworker if ``kworker``.

    ``scan``: how long that kworker has read the counters of the domain's readers before, of all CPUs.
    """

    vma_ids: tuple[VmaId, ...]
    kworker: bool
    scan: Ns


VMA_SRCU: Final = "vmas"
"""The SRCU domain of those who look VMAs up (vma_srcu)."""

BEGIN_GRACE_PERIOD: Final = BeginGracePeriod()
VMAS_UNSEEN: Final = VmasUnseen()
GRACE_PERIOD_OVER: Final = GracePeriodOver()
REPORT_QUIESCENT: Final = ReportQuiescent()
QUIESCENT: Final = Quiescent()
