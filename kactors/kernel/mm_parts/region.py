"""Tree changes: mmap, the detaching half of munmap, splits and merges (protocols.md D1 to D4).

A change takes time, during which vm_sequence of the areas concerned is odd and mm_rb_lock is held for writing: the mm
begins it, and completes it on a message to itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from kactors.engine.actor import Handler
from kactors.kernel.lockdep import MM_RB_LOCK, tell_acquired, tell_released
from kactors.kernel.vma_tree import Vma
from protocols.base import Message
from protocols.scheduling import MUST_SLEEP
from protocols.tracepoints import RangeMapped
from protocols.vma import (
    ADJUST_DONE,
    AdjustDone,
    DetachRegion,
    MergeRegion,
    MmapRegion,
    RegionMapped,
    RegionMerged,
    RegionVmas,
    SplitRegion,
)

if TYPE_CHECKING:
    from kactors.kernel.mm_parts.vmas import Vmas

MAP_FAILED = -1
"""The address that mmap returns instead of EEXIST and ENOMEM."""


@dataclass(frozen=True)
class _Change:
    """A tree change under way: whose it is, which areas it makes unstable, and how it ends.

    Attributes:
        alters: there is something to change: whoever only finds that out writes nothing.
        new: how many areas it makes.
    """

    client: Any
    tag: int
    touched: list[Vma]
    finish: Callable[[], Message]
    alters: bool
    new: int = 0


class Regions:
    """Changes of the tree, one at a time (mmap_sem is held for writing)."""

    def __init__(self, vmas: Vmas) -> None:
        self._vmas = vmas
        self._tree = vmas.tree
        self._change: _Change | None = None
        self._changes = 0

    @property
    def changing(self) -> bool:
        """Whether mm_rb_lock is held for writing."""
        return self._change is not None

    @property
    def sequence(self) -> int:
        """mm_seq of SPF v12: odd while a change is under way, and never the same for two of them."""
        return 2 * self._changes + self.changing

    def handlers(self) -> dict[type[Message], Handler]:
        """Return the handlers of tree changes."""
        return {
            MmapRegion: self._mmap,
            DetachRegion: self._detach,
            SplitRegion: self._split,
            MergeRegion: self._merge,
            AdjustDone: self._done,
        }

    def _begin(self, change: _Change, cost_ns: int) -> None:
        """Make the areas unstable; the change is complete ``cost_ns`` after its lines are here.

        Sleep first while faults hold the areas.
        """
        vmas, client, tag = self._vmas, change.client, change.tag
        vmas.mm.must_hold_mmap_sem(client, tag, "changes the VMA tree", write=True)
        at_ns, granted = vmas.locks.lock_for_write(change.touched, (client, tag))
        if not granted:
            vmas.mm.reply(at_ns, client, tag, MUST_SLEEP)
            return
        for vma in change.touched:
            vma.sequence += 1
        tell_acquired(vmas.mm.engine, vmas.mm, MM_RB_LOCK, (client, tag), place=vmas.mm.number)
        if change.alters:
            at_ns = vmas.lines.begin_change(at_ns, client.cpu_id, change.touched)
        self._change = change
        done_ns = at_ns + cost_ns + change.new * vmas.locks.lock_new_ns
        vmas.mm.engine.post(done_ns, vmas.mm, vmas.mm, ADJUST_DONE)

    def _done(self, _: AdjustDone, client: Any, tag: int) -> None:
        del client, tag
        change, self._change = self._change, None
        if change is None:
            raise AssertionError("AdjustDone without a change under way")
        done_ns = self._vmas.now_ns
        if change.alters:
            done_ns = self._vmas.lines.end_change(done_ns, change.client.cpu_id, change.touched)
        answer = change.finish()
        self._changes += 1
        for vma in change.touched:
            vma.sequence += 1
        mm, who = self._vmas.mm, (change.client, change.tag)
        tell_released(mm.engine, mm, MM_RB_LOCK, who, place=mm.number)
        self._vmas.mm.reply(done_ns, change.client, change.tag, answer)
        self._vmas.replay_postponed()

    # --- mmap --------------------------------------------------------------------------------------------------------

    def _mmap(self, message: MmapRegion, client: Any, tag: int) -> None:
        # The address that the caller chose (MAP_FIXED_NOREPLACE), or the highest place that fits.
        start = message.address if message.address >= 0 else self._tree.unmapped_area(message.length)
        if start is None or self._tree.overlapping(start, start + message.length):
            failed = RegionMapped(address=MAP_FAILED, merged=False)
            self._vmas.mm.reply(self._vmas.lines.look_up(self._vmas.now_ns, client.cpu_id, None), client, tag, failed)
            return
        end = start + message.length
        wanted = Vma(
            0,
            start,
            end,
            readable=message.readable,
            writable=message.writable,
            kind=message.kind,
            mapped_file=message.mapped_file,
        )
        below, above = self._tree.neighbours(start, end)
        below = below if below is not None and below.mergeable_with(wanted) else None
        above = above if above is not None and above.mergeable_with(wanted) else None
        touched = [vma for vma in (below, above) if vma is not None]
        new = 0 if touched else 1
        change = _Change(client, tag, touched, lambda: self._map(wanted, below, above, client), alters=True, new=new)
        self._begin(change, self._vmas.machine.vma_adjust_ns)

    def _map(self, wanted: Vma, below: Vma | None, above: Vma | None, client: Any) -> Message:
        if below is not None:
            self._tree.extend(below, below.start, wanted.end)
            if above is not None:
                self._absorb(below, above, client)
        elif above is not None:
            self._tree.extend(above, wanted.start, above.end)
        else:
            made = self._tree.new(
                wanted.start, wanted.end, readable=wanted.readable, writable=wanted.writable, kind=wanted.kind
            )
            # vma_start_write on the new area (H6): no per-VMA fault enters before mmap_sem is released.
            made.locked_at = self._vmas.mm.lock_sequence
            made.mapped_file = wanted.mapped_file
            self._vmas.adopt(made, client.cpu_id)
        engine, shift = self._vmas.mm.engine, self._vmas.machine.page_shift
        if engine.listens(RangeMapped):
            shared = wanted.mapped_file is not None and wanted.mapped_file.shared
            mapped = RangeMapped(first=wanted.start >> shift, last=-(-wanted.end >> shift), shared=shared)
            engine.emit(engine.now_ns, self._vmas.mm, mapped)
        return RegionMapped(address=wanted.start, merged=below is not None or above is not None)

    def _absorb(self, vma: Vma, upper: Vma, client: Any) -> None:
        self._tree.absorb(vma, upper)
        self._vmas.limbo.erased(upper, client)
        self._vmas.drop(upper)

    # --- munmap and mprotect -----------------------------------------------------------------------------------------

    def _ends(self, start: int, end: int) -> list[tuple[Vma, int]]:
        """Return the cuts that isolate [start, end), as (area, address)."""
        return [(vma, at) for at in (start, end) if (vma := self._tree.straddling(at)) is not None]

    def _cut(self, start: int, end: int, cpu: int) -> list[Vma]:
        """Let a CPU split at both ends; return the areas between."""
        for at in (start, end):
            vma = self._tree.straddling(at)
            if vma is not None:
                self._vmas.adopt(self._tree.split(vma, at), cpu)
        return self._tree.overlapping(start, end)

    def _split(self, message: SplitRegion, client: Any, tag: int) -> None:
        start, end = message.start, message.end
        cuts = self._ends(start, end)

        def finish() -> Message:
            return RegionVmas(vmas=tuple(vma.snapshot() for vma in self._cut(start, end, client.cpu_id)))

        inside = self._tree.overlapping(start, end)
        change = _Change(client, tag, inside, finish, alters=bool(cuts), new=len(cuts))
        self._begin(change, self._vmas.machine.find_vma_ns + len(cuts) * self._vmas.machine.vma_adjust_ns)

    def _detach(self, message: DetachRegion, client: Any, tag: int) -> None:
        start, end = message.start, message.end
        cuts = self._ends(start, end)
        inside = self._tree.overlapping(start, end)

        def finish() -> Message:
            gone = self._cut(start, end, client.cpu_id)
            for vma in gone:
                self._tree.erase(vma)
                self._vmas.limbo.erased(vma, client)
            return RegionVmas(vmas=tuple(vma.snapshot() for vma in gone))

        machine = self._vmas.machine
        cost_ns = machine.find_vma_ns + (len(cuts) + len(inside)) * machine.vma_adjust_ns
        self._begin(_Change(client, tag, inside, finish, alters=bool(inside), new=len(cuts)), cost_ns)

    def _merge(self, message: MergeRegion, client: Any, tag: int) -> None:
        start, end = message.start, message.end
        touched = self._tree.overlapping(start - 1, end + 1)

        def finish() -> Message:
            absorbed = 0
            vmas = self._tree.overlapping(start - 1, end + 1)
            for lower, upper in pairwise(vmas):
                if upper.attached and lower.end == upper.start and lower.mergeable_with(upper):
                    absorbed += 1
            self._absorb_runs(vmas, client)
            return RegionMerged(absorbed=absorbed)

        mergeable = any(a.end == b.start and a.mergeable_with(b) for a, b in pairwise(touched))
        cost_ns = self._vmas.machine.vma_adjust_ns if mergeable else self._vmas.machine.find_vma_ns
        self._begin(_Change(client, tag, touched if mergeable else [], finish, alters=mergeable), cost_ns)

    def _absorb_runs(self, vmas: list[Vma], client: Any) -> None:
        lower = None
        for vma in vmas:
            if lower is not None and lower.end == vma.start and lower.mergeable_with(vma):
                self._absorb(lower, vma, client)
            else:
                lower = vma
