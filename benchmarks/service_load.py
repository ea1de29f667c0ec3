"""200 clients at once: ``python -m benchmarks.service_load [--seconds N] [--clients N] [--subscribers N] [--soak]``.

Each client has a session that runs without an end. A tenth of them subscribed to everything that happens in theirs and
never read what they are told. The others ask for control: numbers, pauses, starts, steps, injections, at moments of
their own, some 150 requests a second in all. One more client does nothing but pause and start.

It prints how long an answer took, by method, seen from the client's side of the socket (the client computes on the same
cores as the service); how much memory the service and its workers had at most; which sessions were lost; and how many
events were dropped, and whether each subscriber was told of all that he missed. ``--soak`` lets strangers misbehave
beside them all the time, makes sessions anew, and looks for growth: see service_chaos. Exit code 1: something was lost,
not told, or has grown; an answer that took long is only printed.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import trio

from benchmarks.service_chaos import Sample, growth, misbehave, sample_line, take_sample
from benchmarks.service_process import ENDLESS, MIB, Caller, ServiceProcess, calling, connect, peak_bytes, rank, service

CONTROL_P99_S, PAUSE_P99_S = 0.25, 0.1
MEMORY_MAX = 600 * MIB
"""Of the service, and of each worker."""
THINK_S = 1.2
"""A client's pause between two requests, in the mean."""
LIFE_EVENTS = 20_000
"""How long a session lives in a soak, at most: a simulation keeps each of its samples, so that it grows by itself."""
LOOK_S = 5.0
"""How often somebody looks whether those of the deaf have lived so long."""
READ_S = 5.0
"""How long a deaf client that reads again waits for an event that tells of drops."""
CREDIT = 1_000_000
TOPICS = ["state", "counters", "ipi_waits", "transient_pages", "stories"]
POLICIES = ("spf-v9", "classic", "per-vma")
INJECTIONS = (
    {"kind": "fault", "cpu": 1, "address": 0x10000},
    {"kind": "munmap", "cpu": 0, "address": 0x10000, "length": 4096},
    {"kind": "collapse", "address": 0},
    {"kind": "memory_pressure", "pages": 100, "duration_ns": 100_000},
    {"kind": "starved_cpu", "cpu": 1, "duration_ns": 100_000},
)


@dataclass(frozen=True)
class Load:
    """How much of everything."""

    seconds: float = 60.0
    clients: int = 200
    subscribers: int = 20
    soak: bool = False
    sample_s: float = 10.0
    seed: int = 1


@dataclass
class Figures:
    """What was seen."""

    latencies: dict[str, list[float]] = field(default_factory=dict)
    pauses: list[float] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    missed: int = 0
    told: int = 0
    heard: int = 0
    untold: list[str] = field(default_factory=list)
    sent: int = 0
    dropped: int = 0
    strangers: Counter[str] = field(default_factory=Counter)

    def faults(self, load: Load) -> list[str]:
        """What does not hold though it must, however slow the machine is."""
        faults = [f"session lost: {what}" for what in self.lost]
        faults += [f"subscriber not told: {what}" for what in self.untold]
        faults += [f"the log says {line}" for line in self.complaints]
        faults += [f"{peak / MIB:.0f} MiB of memory" for peak in self.peaks if peak > MEMORY_MAX]
        if load.soak:
            faults += growth(self.samples)
        return faults

    def slow(self) -> list[str]:
        """What took longer than it may on two cores of its own."""
        slow = [
            f"{name}: p99 {rank(took, 99) * 1000:.0f} ms, target {CONTROL_P99_S * 1000:.0f} ms"
            for name, took in self.latencies.items()
            if rank(took, 99) > CONTROL_P99_S
        ]
        if rank(self.pauses, 99) > PAUSE_P99_S:
            slow.append(f"pauses: p99 {rank(self.pauses, 99) * 1000:.0f} ms, target {PAUSE_P99_S * 1000:.0f} ms")
        return slow


class Client:
    """Somebody with one session, who never forgets what was acknowledged."""

    def __init__(self, caller: Caller, figures: Figures, seed: str) -> None:
        self.caller = caller
        self.figures = figures
        self.numbers = random.Random(seed)
        self.session = ""
        self.events = 0
        self.sequence = 0
        self.gone: list[str] = []
        self._running = False
        self._dies = 0

    async def ask(self, method: str, **params: Any) -> Any:
        """Ask about one's session, and note how long it took."""
        began_s = time.perf_counter()
        answer = await self.caller.ask(method, session=self.session, **params)
        self.figures.latencies.setdefault(method, []).append(time.perf_counter() - began_s)
        return answer

    async def begin(self) -> None:
        """Make the session, and let it run."""
        scenario = ENDLESS | {"policy": self.numbers.choice(POLICIES), "seed": self.numbers.randrange(1 << 30)}
        self.session = (await self.caller.ask("sim.create", scenario=scenario))["session"]
        self._note(await self.caller.ask("sim.start", session=self.session))
        self._running = True
        self._dies = self.numbers.randrange(LIFE_EVENTS // 4, LIFE_EVENTS)

    async def control(self, *, mortal: bool) -> None:
        """Ask for one thing and another, until cancelled."""
        while True:
            await trio.sleep(self.numbers.uniform(0, 2 * THINK_S))
            with trio.CancelScope(shield=True):  # an answer is waited for: what it says must be there at the end
                if mortal and self.events > self._dies:
                    await self._begin_anew()
                else:
                    await self._something()

    async def _begin_anew(self) -> None:
        await self.ask("sim.delete")
        self.gone.append(self.session)
        await self.begin()

    async def _something(self) -> None:
        what = self.numbers.choice(("stats", "inject", "turn", "turn"))
        if what == "stats":
            self.events = max(self.events, (await self.ask("sim.stats"))["events"])
        elif what == "inject":
            self._note(await self.ask("sim.inject", injection=self.numbers.choice(INJECTIONS)))
        elif self._running:
            self._note(await self.ask("sim.pause"))
            self._running = False
        elif self.numbers.random() < 0.5:
            self._note(await self.ask("sim.step", events=self.numbers.randrange(1, 200)))
        else:
            self._note(await self.ask("sim.start"))
            self._running = True

    def _note(self, where: dict[str, Any]) -> None:
        self.events, self.sequence = where["position"]["events"], where["sequence"]

    def lost(self, there: dict[str, dict[str, Any]]) -> list[str]:
        """What was acknowledged and is not there; what was deleted and is."""
        lines = [f"{name} is back" for name in self.gone if name in there]
        line = there.get(self.session)
        if line is None:
            return [*lines, f"{self.session} is gone"]
        state = "running" if self._running else "paused"
        if line["state"] != state or line["sequence"] != self.sequence or line["events"] < self.events:
            lines.append(f"{self.session}: {state}, {self.sequence}, {self.events} events; there is {line}")
        return lines


class Deaf(Client):
    """A client that subscribes and does not read."""

    def __init__(self, caller: Caller, figures: Figures, seed: str) -> None:
        super().__init__(caller, figures, seed)
        caller.told = self.hear
        self._subscription = 0
        self._last = 0
        self._told = 0
        self.news = trio.Event()

    async def subscribe(self) -> None:
        """Ask for everything; then read no more."""
        subscribed = await self.caller.ask("sim.subscribe", session=self.session, topics=TOPICS, credit=CREDIT)
        self._subscription = subscribed["subscription"]
        self.caller.reads = trio.Event()

    async def go_back(self, other: Caller) -> None:
        """Let somebody else take the session back to its beginning, over and over."""
        while True:
            await trio.sleep(self.numbers.uniform(0, 2 * LOOK_S))
            with trio.CancelScope(shield=True):
                if (await other.ask("sim.stats", session=self.session))["events"] > self._dies:
                    events = (await other.ask("sim.pause", session=self.session))["position"]["events"]
                    await other.ask("sim.step_back", session=self.session, events=events)
                    self._note(await other.ask("sim.start", session=self.session))

    def hear(self, event: dict[str, Any]) -> None:
        """Count an event, and what it says was dropped before it."""
        self.figures.heard += 1
        self.figures.told += event["dropped"]
        if event["dropped"]:
            self._told += event["dropped"]
            self.news.set()
        if event["number"] != self._last + 1 + event["dropped"]:
            self.figures.untold.append(f"after {self._last} came {event['number']}, {event['dropped']} dropped")
        self._last = event["number"]

    async def read_at_last(self) -> None:
        """Read what has waited, until an event tells what was dropped before it, and learn how much that was in all."""
        self.caller.reads.set()
        with trio.move_on_after(READ_S):
            await self.news.wait()
        credit = await self.caller.ask("sim.unsubscribe", subscription=self._subscription)
        self.figures.missed += credit["dropped"]
        if not self._told <= credit["dropped"]:
            self.figures.untold.append(f"{self._told} drops were told, of {credit['dropped']}")


async def keep_pausing(socket: Path, figures: Figures, seed: str) -> None:
    """Nothing but pauses of a session that runs among all the others."""
    async with calling(socket) as caller:
        client = Client(caller, Figures(), seed)
        await client.begin()
        while True:
            await trio.sleep(client.numbers.uniform(0.05, 0.3))
            began_s = time.perf_counter()
            await caller.ask("sim.pause", session=client.session)
            figures.pauses.append(time.perf_counter() - began_s)
            await caller.ask("sim.start", session=client.session)


async def watch(load: Load, process: ServiceProcess, figures: Figures) -> None:
    """Print a sample now and then."""
    began_s = time.monotonic()
    async with calling(process.socket) as caller:
        while True:
            figures.samples.append(take_sample(await caller.ask("server.stats"), time.monotonic() - began_s))
            print(sample_line(figures.samples[-1]), flush=True)
            await trio.sleep(load.sample_s)


async def every_session(caller: Caller) -> dict[str, dict[str, Any]]:
    """What sim.list shows, by name."""
    there: dict[str, dict[str, Any]] = {}
    more, after = True, None
    while more:
        page = await caller.ask("sim.list", after=after, limit=100)
        there |= {line["session"]: line for line in page["sessions"]}
        more, after = page["more"], page["sessions"][-1]["session"] if page["sessions"] else None
    return there


async def press(load: Load, process: ServiceProcess) -> Figures:
    """Put the load on a service for its seconds."""
    figures = Figures()
    async with trio.open_nursery() as connections:
        clients: list[Client] = []
        for number in range(load.clients):
            kind = Deaf if number < load.subscribers else Client
            clients.append(kind(await connect(process.socket, connections), figures, f"{load.seed} {number}"))
            await clients[-1].begin()
        deaf = [client for client in clients if isinstance(client, Deaf)]
        for client in deaf:
            await client.subscribe()
        monitor = await connect(process.socket, connections)
        await _for_a_while(load, process, clients, monitor, figures)
        there = await every_session(monitor)
        figures.lost = [line for client in clients for line in client.lost(there)]
        stats = await monitor.ask("server.stats")
        figures.peaks = [peak_bytes(pid) for pid in (process.pid, *(worker["pid"] for worker in stats["workers"]))]
        figures.sent, figures.dropped = stats["events_sent"], stats["events_dropped"]
        async with trio.open_nursery() as readers:
            for client in deaf:
                readers.start_soon(client.read_at_last)
        connections.cancel_scope.cancel()
    return figures


async def _for_a_while(
    load: Load, process: ServiceProcess, clients: list[Client], other: Caller, figures: Figures
) -> None:
    # `other` and the clients have their readers outside: who is asking when the time is over waits for the answer.
    with trio.move_on_after(load.seconds):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, load, process, figures)
            nursery.start_soon(keep_pausing, process.socket, figures, f"{load.seed} pauses")
            if load.soak:
                nursery.start_soon(misbehave, process.socket, figures.strangers, load.seed)
            for client in clients:
                if not isinstance(client, Deaf):
                    nursery.start_soon(partial(client.control, mortal=load.soak))
                elif load.soak:
                    nursery.start_soon(client.go_back, other)


def table(figures: Figures) -> list[str]:
    lines = [f"{'method':14} {'answers':>8} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}"]
    pauses = {"only pauses": figures.pauses}
    for name, took in (*sorted(figures.latencies.items()), *pauses.items()):
        p50, p99, most = (1000 * rank(took, percent) for percent in (50, 99, 100))
        lines.append(f"{name:14} {len(took):8,} {p50:8.1f} {p99:8.1f} {most:8.1f}")
    peaks = ", ".join(f"{peak / MIB:.0f}" for peak in figures.peaks)
    lines += [
        f"memory at most, service and workers: {peaks} MiB",
        f"sessions lost: {len(figures.lost)}",
        f"events: {figures.sent:,} sent, {figures.dropped:,} dropped",
        f"the deaf read {figures.heard:,} events at last, and were told of {figures.told:,} drops ({figures.missed:,})",
    ]
    if figures.strangers:
        lines.append("strangers: " + ", ".join(f"{count:,} {what}" for what, count in figures.strangers.items()))
    return lines


def run(load: Load, folder: Path) -> Figures:
    """Serve, press, end the service, and print what was seen."""
    with service(folder, "--workers", "2") as process:
        figures = trio.run(press, load, process)
    figures.complaints = process.complaints
    print("\n".join(["", *table(figures), ""]))
    return figures


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.service_load")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--subscribers", type=int, default=20)
    parser.add_argument("--soak", action="store_true")
    told = parser.parse_args(arguments)
    seconds = told.seconds or (600.0 if told.soak else 60.0)
    load = Load(seconds, told.clients, told.subscribers, told.soak)
    with tempfile.TemporaryDirectory() as folder:
        figures = run(load, Path(folder))
    faults = figures.faults(load)
    print("\n".join(f"MISSED {fault}" for fault in faults + figures.slow()) or "all targets met")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
