"""A service in a process of its own, and a client that knows no more than the protocol: what benchmarks of it need."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from math import ceil
from pathlib import Path
from typing import Any

import trio

from kactors.rpc.codec import Decoder, Notification, Response, encode_request
from protocols.service.errors import ErrorCode, ServiceError

ENDLESS = {"workload": "ebizzy", "machine": "small", "cpus": 2, "threads": 2}
"""A scenario that goes on for as long as one lets it; 100 events of it take about a millisecond."""

ROOT = Path(__file__).resolve().parents[1]
MESSAGE_BYTES_MAX, DEPTH_MAX = 64 << 20, 64
READY = '"event": "serving"'
LOG_LINES = 1000
END_S = 10
MIB = 1 << 20


class ServiceProcess:
    """One service.

    Args:
        folder: where its socket and its store are.
        options: more of the command line.

    Attributes:
        socket: its address.
        store: its file.
        log: the last lines that it wrote.
        complaints: those of them that are more than information.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.socket, self.store = folder / "k.sock", folder / "k.sqlite"
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        serve = ["-m", "kactors", "serve", "--listen", f"unix:{self.socket}", "--store", str(self.store)]
        self._process = subprocess.Popen(
            [sys.executable, *serve, "--log", "json", *options], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def complaints(self) -> list[str]:
        return [line for line in self.log if '"level": "info"' not in line]

    @property
    def pid(self) -> int:
        """Of the process that answers."""
        return self._process.pid

    def wait(self) -> None:
        """Return when it can be asked.

        Raises:
            RuntimeError: it ended instead.
        """
        self._ready.wait()
        if self._process.poll() is not None:
            raise RuntimeError("\n".join(["the service did not start:", *self.log]))

    def kill(self) -> None:
        """End it as a power failure would, and see its workers end by themselves.

        Raises:
            RuntimeError: one of them did not.
        """
        self._process.kill()
        self._process.wait()
        self._reader.join(END_S)
        if self._reader.is_alive():
            raise RuntimeError(f"a worker has outlived the service by {END_S} s")

    def end(self) -> None:
        """Ask it to end, and see that it does; again is fine."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self._reader.join(END_S)

    def _read(self) -> None:
        # Its workers write there too: the end comes when the last of them has gone.
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                self.log.append(line.rstrip())
                if READY in line:
                    self._ready.set()
        self._process.wait()
        self._ready.set()


@contextmanager
def service(folder: Path, *options: str) -> Iterator[ServiceProcess]:
    """Serve while inside."""
    process = ServiceProcess(folder, *options)
    try:
        process.wait()
        yield process
    finally:
        process.end()


class Caller:
    """One connection, for any number of tasks. ``told`` hears of each notification's payload."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.told: Callable[[dict[str, Any]], object] | None = None
        self.reads = trio.Event()
        self.reads.set()
        self._decoder = Decoder(MESSAGE_BYTES_MAX, DEPTH_MAX)
        self._asked = 0
        self._answers: dict[int, tuple[trio.Event, list[Response]]] = {}
        self._closed = False
        self._sending = trio.Lock()

    async def begin(self, method: str, **params: Any) -> int:
        """Send a question; ``end`` waits for its answer."""
        self._asked += 1
        self._answers[self._asked] = trio.Event(), []
        msgid = self._asked
        await self.send(encode_request(msgid, method, [params]))
        return msgid

    async def send(self, data: bytes) -> None:
        """Send a question's bytes."""
        async with self._sending:
            await self.stream.send_all(data)

    async def end(self, msgid: int) -> Any:
        """Return the answer.

        Raises:
            ServiceError: as answered.
            trio.BrokenResourceError: the connection ended before.
        """
        arrived, answers = self._answers[msgid]
        if not self._closed:
            await arrived.wait()
        del self._answers[msgid]
        if not answers:
            raise trio.BrokenResourceError("the service closed the connection")
        if answers[0].error is not None:
            code, text, data = answers[0].error
            raise ServiceError(ErrorCode(code), text, data)
        return answers[0].result

    async def ask(self, method: str, **params: Any) -> Any:
        """Ask and wait."""
        return await self.end(await self.begin(method, **params))

    async def read(self) -> None:
        """Take what comes until the service closes; while ``reads`` is not set nothing is taken."""
        try:
            async with self.stream:
                while data := await self.stream.receive_some(1 << 16):
                    self._hear(bytes(data))
                    await self.reads.wait()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            # Also when this is cancelled: who waits, shielded perhaps, would wait for ever.
            self._closed = True
            for arrived, _ in self._answers.values():
                arrived.set()

    def _hear(self, data: bytes) -> None:
        for message in self._decoder.feed(data):
            if isinstance(message, Response):
                arrived, answers = self._answers[message.msgid]
                answers.append(message)
                arrived.set()
            elif isinstance(message, Notification) and self.told is not None:
                self.told(message.params[0])


@asynccontextmanager
async def calling(socket: Path) -> AsyncIterator[Caller]:
    """Be connected while inside."""
    async with trio.open_nursery() as nursery:
        caller = await connect(socket, nursery)
        async with caller.stream:
            yield caller
        nursery.cancel_scope.cancel()


async def connect(socket: Path, nursery: trio.Nursery) -> Caller:
    """Begin a connection that lasts as long as the nursery."""
    caller = Caller(await trio.open_unix_socket(str(socket)))
    nursery.start_soon(caller.read)
    return caller


def rank(values: Sequence[float], percent: float) -> float:
    """Return a percentile by nearest rank; 0 where there is nothing."""
    return sorted(values)[max(0, ceil(len(values) * percent / 100) - 1)] if values else 0.0


def peak_bytes(pid: int) -> int:
    """Return the most memory that a process has had, 0 where there is no /proc."""
    try:
        lines = Path("/proc", str(pid), "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:")), 0)


def on_cores(cores: set[int]) -> None:
    """Let this process, and those that it starts from now on, compute on these cores only."""
    os.sched_setaffinity(0, cores)
