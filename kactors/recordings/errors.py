"""The one error of this package: a recording that cannot be read or used."""

from __future__ import annotations

TEXT_MAX = 80
"""Characters of a bad line that a message repeats."""


class RecordingError(ValueError):
    """A recording cannot be used: the file is at fault, or the wish for a process that is not in it.

    The message is one line: where (file, line), what is wrong, what would be right. It is never raised for a mistake in
    the caller's code (a negative `tracing_ns` is a plain ValueError) and never for a rule that a simulation broke.
    """

    @classmethod
    def at(cls, source: str, wrong: str, right: str, *, line: int | None = None) -> RecordingError:
        """The error for `source` (a file name), at `line` (from 1) when one line is to blame."""
        where = one_line(source) if line is None else f"{one_line(source)}, line {line}"
        return cls(f"{where}: {wrong}; {right}")


def one_line(text: str) -> str:
    """`text` with everything escaped that would break or recolour a line on a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def quoted(text: str) -> str:
    """The start of a recording's line as a message shows it: at most 80 characters of it, in quotes, on one line."""
    stripped = text.strip()
    return f"'{one_line(stripped[:TEXT_MAX])}'" + ("..." if len(stripped) > TEXT_MAX else "")
