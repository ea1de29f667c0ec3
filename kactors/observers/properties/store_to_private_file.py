"""What is stored through a private mapping of a file goes to a copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from kactors.engine.observer import Finding, Hearing
from kactors.observers.properties.base import Property, cut_out
from protocols.base import Tracepoint
from protocols.set_up import FilePagesFound
from protocols.tracepoints import MmFilemapAddToPageCache, RangeMapped, UserStore


class StoreToPrivateFile(Property):
    """No store to a page that is not mapped MAP_SHARED reaches a page of the page cache.

    Read faults map the file's pages without the right to write, copies replace them under the PTE lock, with a flush
    before the store (A9, A10), and what was mapped shared is flushed before the addresses are used again (D3).
    """

    name: ClassVar[str] = "store_to_private_file"

    def __init__(self) -> None:
        self._files: dict[int, int] = {}
        self._shared: list[tuple[int, int]] = []

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        """Hear which frames are whose, what is mapped how, and the stores."""
        return {
            MmFilemapAddToPageCache: self._added,
            FilePagesFound: self._found,
            RangeMapped: self._mapped,
            UserStore: self._store,
        }

    def _added(self, _at_ns: int, _who: str, added: MmFilemapAddToPageCache) -> None:
        self._files[added.pfn] = added.file

    def _found(self, _at_ns: int, _who: str, found: FilePagesFound) -> None:
        self._files.update(dict.fromkeys(found.pfns, found.file))

    def _mapped(self, _at_ns: int, _who: str, mapped: RangeMapped) -> None:
        self._shared = cut_out(self._shared, mapped.first, mapped.last)
        if mapped.shared:
            self._shared = sorted([*self._shared, (mapped.first, mapped.last)])

    def _store(self, at_ns: int, who: str, store: UserStore) -> Finding:
        file = self._files.get(store.pfn)
        if file is None or any(first <= store.vpn < last for first, last in self._shared):
            return None
        return self.violated(
            f"{who} stores to page {store.vpn:#x} at {at_ns} ns, which is private, and into frame {store.pfn} of "
            f"file {file}"
        )
