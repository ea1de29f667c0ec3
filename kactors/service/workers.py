"""Supervised worker processes: one that ends or hangs is replaced, and what it was doing is blamed."""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from subprocess import PIPE
from typing import Any

import structlog
import trio

from kactors.rpc.codec import Decoder, Notification, Request, Response, encode_request
from kactors.service.metrics import Metrics
from kactors.service.outbox import Outbox
from kactors.service.worker.process import DEPTH_MAX, FRAME_BYTES_MAX, MARK_BYTES
from protocols.service.errors import ErrorCode, ServiceError

PING_S = 1.0
RESTART_PAUSE_S = 0.1
"""A worker that cannot start at all must not be started without a pause."""
GRACE_S = 0.5
"""How long a worker may take to end by itself."""

log = structlog.get_logger(__name__)

Told = Callable[[str, dict[str, Any]], None]


class WorkerLostError(Exception):
    """The process ended before it answered.

    Attributes:
        blamed: the session whose turn it was, if any.
    """

    def __init__(self, number: int, blamed: str) -> None:
        super().__init__(f"worker {number} ended" + (f" while it simulated {blamed}" if blamed else ""))
        self.blamed = blamed


@dataclass
class Answer:
    """An answer to come."""

    arrived: trio.Event = field(default_factory=trio.Event)
    value: Any = None
    error: Exception | None = None


class Worker:
    """One life of one worker process.

    Attributes:
        number: its place among the workers; the one that replaces it has the same.
        sessions: names of those that live in it.
        searches: names of those that compute in it.
        gone: the process has ended: nothing that it held is there any more.
    """

    def __init__(self, number: int, stuck_s: float) -> None:
        self.number = number
        self._stuck_s = stuck_s
        self.sessions: set[str] = set()
        self.searches: set[str] = set()
        self.gone = False
        self.pid = 0
        self._answers: dict[int, Answer] = {}
        self._msgids = itertools.count()
        self._outbox = Outbox()
        self._blamed = ""

    async def order(self, name: str, **params: Any) -> Any:
        """Give an order and wait for its answer.

        Raises:
            WorkerLostError: the process ended meanwhile, or had ended before.
            ServiceError: the order cannot be carried out.
        """
        if self.gone:
            raise WorkerLostError(self.number, self._blamed)
        msgid, answer = next(self._msgids), Answer()
        self._answers[msgid] = answer
        self._outbox.put(encode_request(msgid, name, [params]))
        try:
            await answer.arrived.wait()
        finally:
            self._answers.pop(msgid, None)
        if answer.error is not None:
            raise answer.error
        return answer.value

    def order_soon(self, name: str, **params: Any) -> None:
        """Give an order whose answer nobody wants."""
        if not self.gone:
            self._outbox.put(encode_request(next(self._msgids), name, [params]))

    async def live(self, told: Told, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the process until it ends, or end it when cancelled or stuck."""
        with tempfile.TemporaryFile() as mark:
            process = await trio.lowlevel.open_process(
                [sys.executable, "-m", "kactors.service.worker.process", str(mark.fileno())],
                stdin=PIPE,
                stdout=PIPE,
                pass_fds=(mark.fileno(),),
                start_new_session=True,
            )
            self.pid = process.pid
            try:
                task_status.started()
                await self._talk(process, told)
            finally:
                await _end(process)
                self._blamed = os.pread(mark.fileno(), MARK_BYTES, 0).decode(errors="replace").strip()
                self._lose()

    async def _talk(self, process: trio.Process, told: Told) -> None:
        """Carry orders and answers until the process closes its end."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send, process)
            nursery.start_soon(self._watch, nursery.cancel_scope)
            decoder = Decoder(FRAME_BYTES_MAX, DEPTH_MAX)
            while data := await _receive(process):
                for message in decoder.feed(data):
                    self._hear(message, told)
            nursery.cancel_scope.cancel()

    async def _send(self, process: trio.Process) -> None:
        if process.stdin is not None:
            try:
                await self._outbox.send_all(process.stdin)
            except trio.BrokenResourceError:
                return  # it has ended, as the reader will find out

    async def _watch(self, talk: trio.CancelScope) -> None:
        """Give the process up when it does not answer: a policy may compute for ever."""
        while True:
            await trio.sleep(PING_S)
            with trio.move_on_after(self._stuck_s) as patience:
                await self.order("ping", session="")
            if patience.cancelled_caught:
                log.error("worker hangs", worker=self.number, pid=self.pid)
                talk.cancel()

    def _hear(self, message: Request | Response | Notification, told: Told) -> None:
        if isinstance(message, Notification):
            told(message.method, message.params[0])
        elif isinstance(message, Response) and message.msgid in self._answers:
            answer = self._answers[message.msgid]
            if message.error is None:
                answer.value = message.result
            else:
                code, text, data = message.error
                answer.error = ServiceError(ErrorCode(code), text, data)
            answer.arrived.set()

    def _lose(self) -> None:
        self.gone = True
        for answer in self._answers.values():
            answer.error = WorkerLostError(self.number, self._blamed)
            answer.arrived.set()


class Workers:
    """All of them.

    Args:
        count: how many processes.
        told: hears their notifications: (name, params).
        stuck_s: a worker that has not answered for so long is ended.
        metrics: told of each restart.
    """

    def __init__(self, count: int, told: Told, stuck_s: float, metrics: Metrics) -> None:
        self._told = told
        self._metrics = metrics
        self._stuck_s = stuck_s
        self._workers = [Worker(number, stuck_s) for number in range(count)]
        self.restarts = [0] * count

    def __iter__(self) -> Iterator[Worker]:
        return iter(self._workers)

    def least_loaded(self) -> Worker:
        """Return the worker with the fewest sessions."""
        return min(self._workers, key=lambda worker: (worker.gone, len(worker.sessions)))

    def least_searched(self) -> Worker:
        """Return the worker with the fewest searches, of these the one with the fewest sessions."""
        return min(self._workers, key=lambda worker: (worker.gone, len(worker.searches), len(worker.sessions)))

    async def supervise(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep every worker running until cancelled."""
        async with trio.open_nursery() as nursery:
            for number in range(len(self._workers)):
                await nursery.start(self._keep, number)
            task_status.started()

    async def _keep(self, number: int, *, task_status: trio.TaskStatus[None]) -> None:
        started: Callable[[], None] | None = task_status.started
        while True:
            worker = self._workers[number]
            try:
                async with trio.open_nursery() as nursery:
                    await nursery.start(worker.live, self._told)
                    if started is not None:
                        started()
                        started = None
            except* OSError as errors:
                # No process, file or memory to be had just now; the others' sessions are not to suffer from it.
                log.warning("worker cannot start", worker=number, error=str(errors.exceptions[0]))
                worker.gone = True
            except* ServiceError as errors:
                # A policy got hold of the pipe: what came through it was no answer of ours.
                log.warning("worker talks nonsense", worker=number, error=str(errors.exceptions[0]))
            log.warning("worker ended", worker=number, pid=worker.pid, sessions=len(worker.sessions))
            self.restarts[number] += 1
            self._metrics.worker_restarts += 1
            self._workers[number] = Worker(number, self._stuck_s)
            await trio.sleep(RESTART_PAUSE_S)


async def _receive(process: trio.Process) -> bytes:
    if process.stdout is None:
        return b""
    try:
        return bytes(await process.stdout.receive_some(1 << 15))
    except trio.BrokenResourceError:
        return b""


async def _end(process: trio.Process) -> None:
    """End the process: it leaves when its input closes, and is killed when it does not."""
    with trio.CancelScope(shield=True):
        if process.stdin is not None:
            await process.stdin.aclose()
        with trio.move_on_after(GRACE_S):
            await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()
