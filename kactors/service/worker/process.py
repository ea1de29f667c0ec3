"""The worker process: orders come in on standard input, answers and notifications go out on standard output."""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio

from kactors.rpc.codec import Decoder, Request, encode_error, encode_notification, encode_response
from kactors.service.outbox import Outbox
from kactors.service.worker.room import Obeying, Room
from protocols.service.errors import ServiceError

FRAME_BYTES_MAX = 1 << 30
DEPTH_MAX = 64
NICE = 10
"""Simulations give way to the process that answers clients."""
AUTOGROUP = Path("/proc/self/autogroup")
"""sched(7): with autogroups a process group's own niceness counts, and that of a process only inside it."""
MARK_BYTES = 64
"""Length of a session's name, padded, in the file that outlives a crash."""
GC_THRESHOLDS = 5_000, 20, 1_000_000
"""Simulations make little that refers to itself. Looking for it among all that a hundred of them hold takes as long as
a hundred slices, so that is done only when machines have been forgotten (``room.py``)."""
OUTBOX_BYTES_MAX = 1 << 17


async def work(mark_fd: int) -> None:
    """Serve until the service closes its end or is gone.

    Args:
        mark_fd: a file in which the session whose turn it is stands by name.
    """
    source, sink = _own_streams()
    outbox = Outbox()

    def tell(name: str, params: dict[str, Any]) -> None:
        outbox.put(encode_notification(name, [params]))

    def mark(name: str) -> None:
        os.pwrite(mark_fd, name.encode().ljust(MARK_BYTES), 0)

    room = Room(tell, mark)

    async def answer(msgid: int, obeying: Obeying) -> None:
        try:
            reply = encode_response(msgid, await obeying)
        except ServiceError as error:
            reply = encode_error(msgid, error)
        outbox.put(reply)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(room.compute, lambda: outbox.below(OUTBOX_BYTES_MAX))
        nursery.start_soon(_send, outbox, sink)
        decoder = Decoder(FRAME_BYTES_MAX, DEPTH_MAX)
        while data := await source.receive_some(1 << 16):
            for message in decoder.feed(data):
                if isinstance(message, Request):
                    # Begun here and now, since orders about a session take effect in the order in which they come.
                    nursery.start_soon(answer, message.msgid, room.obey(message.method, message.params[0]))
        nursery.cancel_scope.cancel()
    room.close()


async def _send(outbox: Outbox, sink: trio.lowlevel.FdStream) -> None:
    """Send until the service is gone; the other end of the pipe tells the reader so too."""
    try:
        await outbox.send_all(sink)
    except trio.BrokenResourceError:
        return


def _own_streams() -> tuple[trio.lowlevel.FdStream, trio.lowlevel.FdStream]:
    """Return what standard input and output were; a policy that prints must not speak into the protocol."""
    source, sink = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.dup2(2, 1)
    return trio.lowlevel.FdStream(source), trio.lowlevel.FdStream(sink)


def _give_way() -> None:
    """Compute when nobody else wants to: by nice, and where Linux weighs whole groups of processes, as a group."""
    os.nice(NICE)
    with suppress(OSError):
        AUTOGROUP.write_text(str(NICE), encoding="ascii")


def main() -> None:
    """Run a worker: ``python -m kactors.service.worker.process MARK_FD``."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # A terminal and a supervisor tell all processes at once; the service tells its workers in its own time.
        signal.signal(number, signal.SIG_IGN)
    _give_way()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.freeze()
    trio.run(work, int(sys.argv[1]))


if __name__ == "__main__":
    main()
