"""What strangers do to a service in a soak, and whether it has grown by it."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import trio

from benchmarks.service_process import ENDLESS, MIB, calling
from kactors.rpc.codec import encode_request

PAUSE_S = 0.3
"""Between two strangers of one kind, in the mean."""
PATIENCE_S = 15.0
"""How long one that sent half a message waits to be thrown out."""
WARM_S = 60.0
"""What grows in the first minute may: caches fill, and subscriptions wait for clients that do not come back."""
SLOPE_SHARE, SLOPE_BYTES = 0.05, 8 * MIB
"""By how much memory may seem to have grown since: a share of it, and what an allocator keeps."""
COUNT_SHARE, COUNT_MORE = 0.1, 20

VICTIM = """
import socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
connection.sendall(sys.stdin.buffer.read())
print("connected", flush=True)
while connection.recv(65536):
    pass
"""
"""A client in a process of its own, to be killed."""


@dataclass(frozen=True)
class Sample:
    """The service's own numbers at one moment."""

    at_s: float
    tasks: int
    open_files: int
    connections: int
    subscriptions: int
    sessions: int
    resident_bytes: int
    workers_bytes: tuple[int, ...]
    restarts: int
    stored_bytes: int
    events_simulated: int


def take_sample(stats: dict[str, Any], at_s: float) -> Sample:
    same = {name: stats[name] for name in Sample.__dataclass_fields__ if name in stats}
    workers = stats["workers"]
    return Sample(
        at_s=at_s,
        workers_bytes=tuple(worker["resident_bytes"] for worker in workers),
        restarts=sum(worker["restarts"] for worker in workers),
        **same,
    )


def sample_line(sample: Sample) -> str:
    workers = " ".join(f"{memory / MIB:.1f}" for memory in sample.workers_bytes)
    return (
        f"{sample.at_s:6.0f} s  {sample.connections} connections, {sample.sessions} sessions, "
        f"{sample.subscriptions} subscriptions, {sample.tasks} tasks, {sample.open_files} files, "
        f"{sample.resident_bytes / MIB:.1f} MiB, workers {workers} MiB, "
        f"store {sample.stored_bytes / MIB:.1f} MiB, {sample.events_simulated:,} events"
    )


def growth(samples: Sequence[Sample]) -> list[str]:
    """What has grown since the first minute."""
    warm = [sample for sample in samples if sample.at_s >= WARM_S]
    if len(warm) < 6:
        return [f"growth cannot be told from {len(warm)} samples after the first minute"]
    found = []
    third = len(warm) // 3
    for what in ("tasks", "open_files"):
        early, late = (median(getattr(sample, what) for sample in part) for part in (warm[:third], warm[-third:]))
        if late > early * (1 + COUNT_SHARE) + COUNT_MORE:
            found.append(f"{what} grew from {early:g} to {late:g}")
    memory = {"the service": [sample.resident_bytes for sample in warm]}
    for number in range(len(warm[0].workers_bytes)):
        memory[f"worker {number}"] = [sample.workers_bytes[number] for sample in warm]
    times = [sample.at_s for sample in warm]
    for what, sizes in memory.items():
        grown = slope(times, sizes) * (times[-1] - times[0])
        if grown > SLOPE_SHARE * mean(sizes) + SLOPE_BYTES:
            found.append(f"the memory of {what} grew by {grown / MIB:.1f} MiB in {times[-1] - times[0]:.0f} s")
    if warm[-1].restarts:
        found.append(f"workers were begun anew {warm[-1].restarts} times")
    return found


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """Of the line that fits best, per second."""
    mean_time, mean_value = mean(times), mean(values)
    spread = sum((time - mean_time) ** 2 for time in times)
    pairs = zip(times, values, strict=True)
    return sum((time - mean_time) * (value - mean_value) for time, value in pairs) / spread


# --- strangers --------------------------------------------------------------------------------------------------------

Stranger = Callable[[Path, random.Random], Awaitable[None]]


async def drain(stream: trio.SocketStream) -> None:
    """Read until the service closes."""
    try:
        while await stream.receive_some(1 << 16):
            pass
    except trio.BrokenResourceError:
        pass


async def garbage(socket: Path, numbers: random.Random) -> None:
    """Says something that is no MessagePack-RPC, and listens until it is thrown out."""
    async with await trio.open_unix_socket(str(socket)) as stream:
        try:
            await stream.send_all(b"\xc1" + numbers.randbytes(numbers.randrange(1, 5000)))
        except trio.BrokenResourceError:
            return
        await drain(stream)


async def half(socket: Path, numbers: random.Random) -> None:
    """Stops within a message; some go, some stay and wait."""
    request = encode_request(7, "sim.create", [{"scenario": ENDLESS}])
    async with await trio.open_unix_socket(str(socket)) as stream:
        await stream.send_all(request[: numbers.randrange(1, len(request))])
        if numbers.random() < 0.1:
            with trio.move_on_after(PATIENCE_S):
                await drain(stream)


async def visit(socket: Path, numbers: random.Random) -> None:
    """Comes, says hello, or nothing, and goes."""
    async with calling(socket) as caller:
        if numbers.random() < 0.5:
            await caller.ask("hello", client="visitor")


async def hang_up(socket: Path, numbers: random.Random) -> None:
    """Goes in the middle of requests: a run without an end, a creation, a subscription; another cleans up."""
    async with calling(socket) as caller:
        session = (await caller.ask("sim.create", scenario=ENDLESS))["session"]
        await caller.ask("sim.subscribe", session=session, topics=["counters", "stories"], credit=1000)
        for _ in range(numbers.randrange(3)):
            await caller.begin("sim.stats", session=session)
            await caller.begin("sim.checkpoint", session=session)
        await caller.begin("sim.run_until", session=session)
        await trio.sleep(numbers.uniform(0, 0.2))
    async with calling(socket) as caller:
        await caller.ask("sim.delete", session=session)


async def killed(socket: Path, numbers: random.Random) -> None:
    """Is a process that asks for much and is killed."""
    async with calling(socket) as caller:
        session = (await caller.ask("sim.create", scenario=ENDLESS))["session"]
        asks = encode_request(1, "sim.subscribe", [{"session": session, "topics": ["stories"], "credit": 100_000}])
        asks += encode_request(2, "sim.run_until", [{"session": session}])
        run_on = [sys.executable, "-S", "-c", VICTIM, str(socket)]
        process = await trio.lowlevel.open_process(run_on, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        async with process.stdin, process.stdout:
            await process.stdin.send_all(asks)
            await process.stdin.aclose()
            await process.stdout.receive_some(64)
            await trio.sleep(numbers.uniform(0, 0.5))
            process.kill()
            await process.wait()
        await caller.ask("sim.delete", session=session)


STRANGERS: dict[str, tuple[Stranger, float]] = {
    "garbage": (garbage, PAUSE_S),
    "half messages": (half, PAUSE_S),
    "visits": (visit, PAUSE_S),
    "hung up": (hang_up, 3 * PAUSE_S),
    "killed": (killed, 10 * PAUSE_S),
}


async def misbehave(socket: Path, counts: Counter[str], seed: int) -> None:
    """Send one stranger after the other, of each kind, until cancelled."""
    async with trio.open_nursery() as nursery:
        for name in STRANGERS:
            nursery.start_soon(_come, name, socket, counts, random.Random(f"{seed} {name}"))


async def _come(name: str, socket: Path, counts: Counter[str], numbers: random.Random) -> None:
    stranger, pause_s = STRANGERS[name]
    while True:
        await stranger(socket, numbers)
        counts[name] += 1
        await trio.sleep(numbers.uniform(0, 2 * pause_s))
