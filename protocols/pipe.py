"""A pipe: bytes that one thread writes and another reads, which sleeps as long as there are none."""

from __future__ import annotations

from typing import Final

from protocols.base import ByteCount, Count, Message


class WritePipe(Message, sender=("cpu",), receiver=("pipe",), reply=("PipeWritten",)):
    """write: add bytes and wake who waits for them. There is always room."""

    count: ByteCount


class PipeWritten(Message, sender=("pipe",), receiver=("cpu",)):
    """Written; the caller pays for each reader that it has to wake, ``ipis`` of them on other CPUs."""

    woken: Count
    ipis: Count


class ReadPipe(Message, sender=("cpu",), receiver=("pipe",), reply=("PipeRead", "MustSleep")):
    """read: take at most so many bytes; of an empty pipe that still has a writer, wait for some."""

    count: ByteCount


class PipeRead(Message, sender=("pipe",), receiver=("cpu",)):
    """How many bytes there were; 0 is the end of the file."""

    count: ByteCount


class ClosePipe(Message, sender=("cpu",), receiver=("pipe",), reply=("PipeWritten",)):
    """The last writer closes its end: readers find the end of the file."""


CLOSE_PIPE: Final = ClosePipe()
