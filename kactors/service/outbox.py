"""Bytes on their way out: put without waiting, sent in big pieces by one task."""

from __future__ import annotations

import trio
from trio.abc import SendStream


class Outbox:
    """What has been said and not sent. Whoever puts in asks ``size`` first, or waits for ``below``."""

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._leaving = 0
        self._changed = trio.Event()

    @property
    def size(self) -> int:
        """Bytes that are not sent yet."""
        return len(self._waiting) + self._leaving

    def put(self, data: bytes) -> None:
        """Queue bytes; nobody waits."""
        self._waiting += data
        self._wake()

    async def below(self, size: int) -> None:
        """Wait until fewer than ``size`` bytes are to be sent."""
        while self.size >= size:
            await self._changed.wait()

    async def send_all(self, stream: SendStream) -> None:
        """Send what comes, for ever.

        Raises:
            trio.BrokenResourceError: nobody reads any more.
        """
        while True:
            while not self._waiting:
                await self._changed.wait()
            data, self._waiting = bytes(self._waiting), bytearray()
            self._leaving = len(data)
            await stream.send_all(data)
            self._leaving = 0
            self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
