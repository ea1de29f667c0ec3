"""When a CPU can take an interrupt: its interrupt state along a local clock that may run ahead of virtual time."""

from __future__ import annotations

from typing import Any

from kactors.kernel.ratio import Ratio, stretched


class Interrupts:
    """The interrupt flag, with the spans in which it was off that virtual time has not passed yet.

    Attributes:
        enabled: the flag at the local clock.
        off_since_ns: when it was cleared.
        path: the code that cleared it, for explanations.
        busy_until_ns: end of the last handler, or of the time that the hypervisor took.
        stolen_from_ns: since when the hypervisor last ran somebody else.
        stolen_until_ns: until when.
        pending: interrupts that arrived while the flag was clear and has not been set since.
    """

    __slots__ = (
        "_spans",
        "busy_until_ns",
        "enabled",
        "off_since_ns",
        "path",
        "pending",
        "stolen_from_ns",
        "stolen_until_ns",
    )

    def __init__(self) -> None:
        self.enabled = True
        self.off_since_ns = 0
        self.path = ""
        self.busy_until_ns = 0
        self.stolen_from_ns = self.stolen_until_ns = 0
        self.pending: list[Any] = []
        self._spans: list[tuple[int, int, str]] = []

    def disable(self, clock_ns: int, path: str) -> None:
        """Clear the flag."""
        self.enabled = False
        self.off_since_ns, self.path = clock_ns, path

    def enable(self, clock_ns: int, now_ns: int) -> None:
        """Set the flag; remember the span while virtual time can still fall into it."""
        self.enabled = True
        self._spans = [span for span in self._spans if span[1] > now_ns]
        if clock_ns > now_ns:
            self._spans.append((self.off_since_ns, clock_ns, self.path))

    def serve_at(self, arrival_ns: int) -> tuple[int, str] | None:
        """Return when an interrupt that arrives now is served and what delays it; None: not before ``enable``."""
        if not self.enabled and arrival_ns >= self.off_since_ns:
            return None
        at_ns, why = arrival_ns, ""
        if self.busy_until_ns > at_ns:
            at_ns = self.busy_until_ns
            why = self._stolen() if arrival_ns < self.stolen_until_ns else "serving another IPI"
        for off_ns, on_ns, path in self._spans:
            if off_ns <= at_ns < on_ns:
                return on_ns, self._why_off(path, off_ns)
        return at_ns, why

    def why_off(self) -> str:
        """Return what delays an interrupt that waits for ``enable``."""
        return self._why_off(self.path, self.off_since_ns)

    def _why_off(self, path: str, off_ns: int) -> str:
        why = f"irqs off in {path} since {off_ns} ns"
        return f"{self._stolen()}, {why}" if off_ns < self.stolen_until_ns else why

    def _stolen(self) -> str:
        return f"vCPU not running from {self.stolen_from_ns} to {self.stolen_until_ns} ns"

    def steal(self, at_ns: int, ns: int) -> None:
        """The hypervisor runs somebody else for ``ns``."""
        if at_ns != self.stolen_until_ns:
            self.stolen_from_ns = at_ns
        self.stolen_until_ns = at_ns + ns

    def shift(self, from_ns: int, by_ns: int) -> None:
        """A handler at ``from_ns`` delays what the CPU had computed ahead; a stolen CPU also stays longer in a span."""
        self._spans = [
            (off + by_ns if off >= from_ns else off, on + by_ns if on > from_ns else on, path)
            for off, on, path in self._spans
        ]
        if not self.enabled and self.off_since_ns >= from_ns:
            self.off_since_ns += by_ns

    def stretch(self, from_ns: int, factor: Ratio) -> None:
        """What the CPU had computed ahead from ``from_ns`` on takes ``factor`` as long."""
        self._spans = [
            (stretched(off, from_ns, factor), stretched(on, from_ns, factor), path) for off, on, path in self._spans
        ]
        if not self.enabled:
            self.off_since_ns = stretched(self.off_since_ns, from_ns, factor)
