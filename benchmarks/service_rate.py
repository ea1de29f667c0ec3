"""Round trips a second over a Unix socket: ``python -m benchmarks.service_rate [--quick]``.

Clients in a process of their own ask sim.stats of one session that stands, 32 questions at a time, and wait for all the
answers before they ask again. The service has one core (as has Redis) and the clients another, where there are two.
Redis answers PING to the same clients, if redis-server is installed: the least that a server in C does. A figure is the
median of the rounds, in which the two take turns; the time is wall-clock time.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import trio

from benchmarks.service_process import ENDLESS, calling, on_cores, service
from kactors.rpc.codec import encode_request

TARGET = 8_000
DEPTH = 32
CLIENTS = 4
ROUNDS, ROUND_S = 5, 2.0
RECEIVE_BYTES = 1 << 16
READY = "eady to accept connections"


@dataclass(frozen=True)
class Target:
    """What is asked of whom: ``batch`` is ``DEPTH`` questions, and the answers to them have ``answer_bytes``."""

    name: str
    path: str
    batch: bytes
    answer_bytes: int


def receive(connection: socket.socket, count: int) -> int:
    """Take at least so many bytes; return how many came."""
    taken = 0
    while taken < count:
        data = connection.recv(RECEIVE_BYTES)
        if not data:
            raise ConnectionError("the server closed the connection")
        taken += len(data)
    return taken


def ask_for(target: Target, seconds: float) -> int:
    """Ask over CLIENTS connections in turn; return how many questions were answered."""
    with ExitStack() as stack:
        connections = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(CLIENTS)]
        for connection in connections:
            connection.connect(target.path)
            connection.sendall(target.batch)
        answered = 0
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            for connection in connections:
                receive(connection, target.answer_bytes)
                connection.sendall(target.batch)
                answered += DEPTH
        for connection in connections:
            receive(connection, target.answer_bytes)
        return answered


def measured(target: Target, seconds: float, cores: set[int]) -> float:
    """Questions a second, asked by another process."""
    with multiprocessing.get_context("spawn").Pool(1, on_cores, (cores,)) as pool:
        return pool.apply(rate, (target, seconds))


def rate(target: Target, seconds: float) -> float:
    began_s = time.monotonic()
    return ask_for(target, seconds) / (time.monotonic() - began_s)


def answer_bytes(path: str, batch: bytes) -> int:
    """How long the answers to a batch are: what comes, until nothing comes for a while."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(batch)
        connection.settimeout(0.5)
        count = 0
        try:
            while data := connection.recv(RECEIVE_BYTES):
                count += len(data)
            raise ConnectionError("the server closed the connection")
        except TimeoutError:
            return count


async def new_session(path: Path) -> str:
    async with calling(path) as caller:
        session: str = (await caller.ask("sim.create", scenario=ENDLESS))["session"]
        await caller.ask("sim.step", session=session, events=100)
        return session


@contextmanager
def redis(folder: Path) -> Iterator[Target | None]:
    """Run Redis for as long as inside; None: it is not installed."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    path = str(folder / "r.sock")
    options = ["--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no", "--daemonize", "no"]
    with subprocess.Popen([program, *options], cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if READY in line:
                    break
            yield Target("redis PING", path, b"*1\r\n$4\r\nPING\r\n" * DEPTH, len(b"+PONG\r\n") * DEPTH)
        finally:
            process.terminate()


@contextmanager
def kactors(folder: Path) -> Iterator[Target]:
    """Run the service for as long as inside."""
    with service(folder, "--workers", "1") as process:
        session = trio.run(new_session, process.socket)
        batch = b"".join(encode_request(number, "sim.stats", [{"session": session}]) for number in range(DEPTH))
        path = str(process.socket)
        yield Target("kactors sim.stats", path, batch, answer_bytes(path, batch))


def measure(rounds: int, seconds: float) -> dict[str, list[float]]:
    """Questions a second, by target, a figure a round."""
    cores = sorted(os.sched_getaffinity(0))
    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        on_cores({cores[0]})  # the servers inherit it
        try:
            servers = [stack.enter_context(kactors(Path(name))), stack.enter_context(redis(Path(name)))]
        finally:
            on_cores(set(cores))
        for _ in range(rounds):
            for target in servers:
                if target is not None:
                    figures.setdefault(target.name, []).append(measured(target, seconds, {cores[-1]}))
    return figures


def report(figures: dict[str, list[float]]) -> list[str]:
    lines = [f"{'server':18} {'answers/s':>10} {'us/answer':>10}"]
    medians = {name: median(rates) for name, rates in figures.items()}
    lines += [f"{name:18} {each:10,.0f} {1e6 / each:10.1f}" for name, each in medians.items()]
    ours, *others = medians.values()
    lines += [f"redis over kactors: {other / ours:.1f}" for other in others] or ["redis-server is not installed"]
    lines.append(f"kactors: {ours:,.0f}/s, target {TARGET:,}/s: {'met' if ours >= TARGET else 'MISSED'}")
    return lines


def main(arguments: list[str]) -> None:
    quick = arguments == ["--quick"]
    if arguments and not quick:
        sys.exit("usage: python -m benchmarks.service_rate [--quick]")
    print("\n".join(report(measure(1, 0.2) if quick else measure(ROUNDS, ROUND_S))))


if __name__ == "__main__":
    main(sys.argv[1:])
