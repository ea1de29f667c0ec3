"""Numbers as people read them."""

from __future__ import annotations

STEPS_NS = ((1, "ns"), (1_000, "us"), (1_000_000, "ms"), (1_000_000_000, "s"))
STEPS_BYTES = ((1, "B"), (1 << 10, "KiB"), (1 << 20, "MiB"), (1 << 30, "GiB"), (1 << 40, "TiB"))
SIGNIFICANT_DIGITS = 3


def duration(ns: int) -> str:
    """Return a time with three significant digits: 540 ns, 5.14 us, 38.6 ms, 2,716 s."""
    return _scaled(ns, STEPS_NS, 1000)


def moment(ns: int) -> str:
    """Return an instant of virtual time in ms, exact to the ns, so that two of them can be compared."""
    return f"{ns // 1_000_000:,}.{ns % 1_000_000:06d} ms"


def exact(ns: int) -> str:
    """Return a time as --until reads it, in the largest unit that gives a whole number: 20ms."""
    step, unit = max((step, unit) for step, unit in STEPS_NS if ns % step == 0)
    return f"{ns // step}{unit}"


def size(amount: int) -> str:
    """Return an amount of memory, given in bytes, with three significant digits: 512 B, 168 KiB."""
    return _scaled(amount, STEPS_BYTES, 1024)


def count(number: float) -> str:
    """Return a whole number with a comma every three digits."""
    return f"{number:,.0f}"


def percent(part: float, whole: float) -> str:
    """Return the share as 12.3 %, or - of nothing."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def gain(value: float, base: float) -> str:
    """Return the change against a base as the review mail prints it: +109.9 %; - without a base."""
    return f"{100 * (value / base - 1):+.1f} %" if base else "-"


def _scaled(number: int, steps: tuple[tuple[int, str], ...], factor: int) -> str:
    for step, unit in steps:
        digits = _decimals(number / step) if step > 1 else 0
        value = round(number / step, digits)
        # Rounded first: 999,960 ns are 1.00 ms and not 1000 us.
        if value < factor or unit == steps[-1][1]:
            return f"{value:,.{_decimals(value) if step > 1 else 0}f} {unit}"
    raise AssertionError("the last step takes every number")


def _decimals(value: float) -> int:
    whole_digits = len(str(int(value)))
    return max(SIGNIFICANT_DIGITS - whole_digits, 0)
