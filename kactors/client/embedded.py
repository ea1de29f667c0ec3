"""A service of one's own: started when it is needed, ended with who needed it. What stays is its store."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from kactors.client.blocking import BlockingClient, connect
from kactors.client.errors import ServiceLostError
from kactors.engine.errors import UsageError
from kactors.rpc.address import Address

START_S = 30.0
END_S = 5.0
POLL_S = 0.02
SOCKET_PATH_BYTES_MAX = 107
"""A longer path cannot be called; from the folder that we are in, it is shorter."""


@dataclass(frozen=True)
class Embedded:
    """A service that runs.

    Attributes:
        address: where.
        process: ours; None: somebody else's in the same folder, who ends it.
    """

    address: Address
    process: subprocess.Popen[bytes] | None

    def open(self, client: str) -> BlockingClient:
        """Call it, under a name."""
        return connect(self.address, client=client, connect_s=0.0 if self.process else START_S)


@contextmanager
def embedded_service(folder: Path) -> Iterator[Embedded]:
    """Run a service with its socket, store and log in a folder; or use the one that another process runs there.

    A service that was left alone, because who had started it was killed, is ended first: it may be of an older build.

    Args:
        folder: made when it is missing, for nobody else to look into.

    Raises:
        UsageError: it does not start; its last words are in the text.
        OSError: the folder cannot be used.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    address = _address(folder / "kactors.sock")
    with (folder / "owner.lock").open("ab") as owner:
        if not _take(owner):
            yield Embedded(address, None)
            return
        with (folder / "service.lock").open("ab") as place:
            _end_orphan(folder, address, place)
            process = _start(folder, address, place)
        try:
            _wait_until_it_answers(folder, address, process)
            yield Embedded(address, process)
        finally:
            _end(process)


def _address(path: Path) -> Address:
    whole = str(path.absolute())
    return Address("unix", whole if len(os.fsencode(whole)) <= SOCKET_PATH_BYTES_MAX else str(path))


def _take(lock: IO[bytes]) -> bool:
    """Lock a file; the kernel gives it back when everybody who has it open has ended, however they ended."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _start(folder: Path, address: Address, place: IO[bytes]) -> subprocess.Popen[bytes]:
    words = ["serve", "--listen", str(address), "--store", str(folder / "kactors.sqlite"), "--log", "json"]
    with (folder / "service.log").open("wb") as log:
        # In a session of its own: Ctrl-C is for us, and we end it.
        return subprocess.Popen(
            [sys.executable, "-m", "kactors", *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(place.fileno(),),
        )


def _wait_until_it_answers(folder: Path, address: Address, process: subprocess.Popen[bytes]) -> None:
    give_up_s = time.monotonic() + START_S
    while not _answers(address):
        if process.poll() is not None or time.monotonic() > give_up_s:
            lines = (folder / "service.log").read_text(encoding="utf-8", errors="replace").splitlines()
            last = lines[-1].removeprefix("kactors: ") if lines else "it said nothing"
            raise UsageError(f"the service in {folder} does not start: {last}")
        time.sleep(POLL_S)


def _answers(address: Address) -> bool:
    try:
        connect(address).close()
    except ServiceLostError:
        return False
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(END_S)
    except BaseException as error:
        # It hangs, or Ctrl-C came again: nothing of ours is left behind.
        process.kill()
        process.wait()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise


def _end_orphan(folder: Path, address: Address, place: IO[bytes]) -> None:
    """End the service whose owner has gone, and wait until it is over: we have the owner's lock, and it has its own."""
    give_up_s = time.monotonic() + START_S
    while not _take(place):
        if time.monotonic() > give_up_s:
            raise UsageError(f"a service that was left alone in {folder} does not end; end it")
        # It may still be starting, and listen only later: who calls once and is not heard would wait for ever.
        with suppress(ServiceLostError), connect(address, reconnect_s=0.0) as client:
            client.shutdown("who had started it was killed")
        time.sleep(POLL_S)
