"""Where a MessagePack value ends: headers are read as they come, and nothing is built of what they announce.

MessagePack has no frames. The C unpacker finds a value's end by building it, and believes what a header announces: an
array32 makes room for all its elements at once, a bin32 of 4 GiB is waited for, and neither can be told how deep is too
deep. So a value's headers are walked first, in Python, at some 0.1 us each, and it is built when all of it is here.
"""

from __future__ import annotations

from protocols.service.errors import ErrorCode, ServiceError

DEPTH_MAX = 256
"""Deeper than this nobody may allow: the C unpacker stops at 1024, JSON at less."""

_FIXED = [0] * 256
"""Length in bytes of what begins so, where the first byte tells it and nothing is inside; else 0."""
_LENGTH_WIDTH = [0] * 256
"""How many bytes of length follow the first, of strings, arrays and maps that are too long for a short form."""
_RAW = frozenset((*range(0xC4, 0xC7), *range(0xD9, 0xDC)))  # binaries, strings
_MAPS = frozenset((*range(0x80, 0x90), 0xDE, 0xDF))
_EXTENSIONS = frozenset((*range(0xC7, 0xCA), *range(0xD4, 0xD9)))
_NEVER_USED = 0xC1


def _fill_tables() -> None:
    for first in (*range(0x80), *range(0xE0, 0x100), 0xC0, 0xC2, 0xC3):  # small ints, nil, false, true
        _FIXED[first] = 1
    for first in range(0xA0, 0xC0):
        _FIXED[first] = 1 + (first & 0x1F)
    for first, width in zip(range(0xCA, 0xD4), (4, 8, 1, 2, 4, 8, 1, 2, 4, 8), strict=True):  # floats, uints, ints
        _FIXED[first] = 1 + width
    for base, widths in ((0xC4, (1, 2, 4)), (0xD9, (1, 2, 4)), (0xDC, (2, 4)), (0xDE, (2, 4))):
        _LENGTH_WIDTH[base : base + len(widths)] = widths


_fill_tables()


class Frame:
    """One value on its way in.

    Args:
        bytes_max: how long it may be.
        depth_max: how many arrays and maps may be inside each other, the outermost counted.
    """

    def __init__(self, bytes_max: int, depth_max: int) -> None:
        self.bytes_max = bytes_max
        self.depth_max = depth_max
        self.length = 0
        """Bytes up to the end of the last header read and of what it announced to follow right behind it."""
        self._owed = 1
        """Elements that are announced and have not begun: at least a byte each."""
        self._missing = 1
        """Those of them that belong into the innermost array or map."""
        self._outer: list[int] = []
        """The same of the arrays and maps around it."""

    def walk(self, data: bytes | bytearray, start: int) -> bool:
        """Read the headers that are here, and tell whether the whole value is; ``length`` is then its length.

        Args:
            data: bytes, of which the value's first is at ``start``. All that earlier calls were given must be in it.
            start: where.

        Raises:
            ServiceError: MALFORMED, TOO_LARGE or TOO_DEEP, as soon as a header tells so.
        """
        at, end, owed, missing = start + self.length, len(data), self._owed, self._missing
        room = start + self.bytes_max
        while owed and at < end:
            first = data[at]
            size = _FIXED[first]
            if size:
                owed -= 1
                missing -= 1
                at += size
            else:
                header, inside, children = self._header(data, at)
                if not header:
                    break
                at += header + inside
                owed += children - 1
                missing -= 1
                if children:
                    self._outer.append(missing)
                    missing = children
            if at + owed > room:
                raise ServiceError(ErrorCode.TOO_LARGE, f"a message is longer than {self.bytes_max} bytes")
            while not missing and self._outer:
                missing = self._outer.pop()
        self.length, self._owed, self._missing = at - start, owed, missing
        return not owed and at <= end

    def _header(self, data: bytes | bytearray, at: int) -> tuple[int, int, int]:
        """Return the length of the header at ``at``, how many bytes follow it, and how many elements; 0: half of it."""
        first = data[at]
        if first in _EXTENSIONS:
            raise malformed(f"extension types (0x{first:02x}) are not used here")
        if first == _NEVER_USED:
            raise malformed("0xc1 begins no MessagePack value")
        width = _LENGTH_WIDTH[first]
        if at + width >= len(data):
            return 0, 0, 0
        count = int.from_bytes(data[at + 1 : at + 1 + width], "big") if width else first & 0x0F
        if first in _RAW:
            return 1 + width, count, 0
        if len(self._outer) >= self.depth_max:
            raise ServiceError(ErrorCode.TOO_DEEP, f"a message nests deeper than {self.depth_max}")
        return 1 + width, 0, 2 * count if first in _MAPS else count


def malformed(what: str) -> ServiceError:
    """Return the error for bytes that are not what they should be."""
    return ServiceError(ErrorCode.MALFORMED, what)
