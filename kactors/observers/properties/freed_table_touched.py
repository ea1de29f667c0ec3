"""Nobody touches a page table after it was freed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from kactors.engine.observer import Finding, Hearing
from kactors.observers.properties.base import Property
from protocols.base import Tracepoint
from protocols.tracepoints import TableTouched


class FreedTableTouched(Property):
    """Interrupts off protect a walker: a table is freed only after every CPU has taken an IPI (protocols.md C8, F8)."""

    name: ClassVar[str] = "freed_table_touched"

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        """Hear touches of freed tables."""
        return {TableTouched: self._touched}

    def _touched(self, at_ns: int, _who: str, touched: TableTouched) -> Finding:
        return self.violated(
            f"{touched.toucher} sent {touched.request} to page table {touched.table} at {at_ns} ns, after it was freed"
        )
