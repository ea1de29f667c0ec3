"""Messages a second in a ring of actors, beside SimPy doing the same: ``python -m benchmarks.ring [--quick]``.

N stations in a ring, N tokens on their way. A station that receives a token sends the next one on at once; it travels
for its link's own latency (500 to 1500 ns, drawn once from a seed), and the sender goes on. Nothing else happens, so
what is measured is the price of a message: building, posting, ordering, delivering.

The contestants run in turn, in one process, with the same garbage collector settings:

- kactors inline, kactors Trio: the two runtimes. A token is a validated pydantic message, built anew for every hop. The
  fingerprint, the story and the check of what an actor may say are on, as in every run.
- SimPy, cable: SimPy's own idiom for delayed messages, the "Event Latency" example of its documentation: a process per
  message that yields a timeout and then puts the value into the receiver's store. A token is a NamedTuple: the same
  message, built anew for every hop as well, not validated. (A bare int instead would make SimPy about 5 % faster.)
- SimPy, callback: the leanest way that we found: no process, a timeout whose callback puts its value into the store.

Time is CPU time of this process, so that another program on the machine is not in the figures; nor is the start of
Trio's tasks. In each of five rounds the contestants take turns, ten short runs each; a round's figure is the median of
the ten. A rate is the median of the rounds, a ratio that of the rounds' ratios.
"""

from __future__ import annotations

import gc
import itertools
import random
import sys
import time
from collections.abc import Callable, Generator
from functools import partial
from statistics import median
from typing import Any, ClassVar, NamedTuple

import simpy
import trio

from kactors.engine.actor import Actor
from kactors.engine.choices import FirstChoice
from kactors.engine.engine import Engine, Limits
from kactors.engine.event import Event
from kactors.engine.inline_runtime import run_inline
from kactors.engine.trio_runtime import run_trio
from protocols.base import Count, Message

SIZES = (16, 80, 1000)
ROUNDS = 5
RUNS = 10
MESSAGES = 10_000

TARGETS = {"kactors inline": 4.0, "kactors Trio": 1.2}
"""Messages a second over SimPy's (cable), at 80 actors."""
TARGET_COST = 1.5
"""Cost of a message among 1000 actors over the cost among 16, inline."""


def latencies(stations: int) -> list[int]:
    """The ns that a token takes on each link."""
    numbers = random.Random(f"ring of {stations}")
    return [numbers.randrange(500, 1500) for _ in range(stations)]


def horizon_ns(stations: int) -> int:
    """How long a ring runs to pass about MESSAGES tokens on."""
    return MESSAGES * sum(latencies(stations)) // stations**2


def arrivals(stations: int, until_ns: int) -> int:
    """How many tokens arrive until then: what no contestant needs to count while it is measured."""
    links = latencies(stations)
    count = 0
    for first in range(stations):
        lap = itertools.cycle(links[first:] + links[:first])
        at_ns = next(lap)
        while at_ns <= until_ns:
            count += 1
            at_ns += next(lap)
    return count


def cpu_s(run: Callable[[], object]) -> float:
    began_s = time.process_time()
    run()
    return time.process_time() - began_s


# --- kactors ----------------------------------------------------------------------------------------------------------


class Token(Message, sender=("station",), receiver=("station",)):
    """How often it has been passed on."""

    hops: Count


class Station(Actor):
    """Passes tokens on."""

    role = "station"
    hears: ClassVar[frozenset[type[Message]]] = frozenset({Token})
    says: ClassVar[frozenset[type[Message]]] = frozenset({Token})

    def __init__(self, engine: Engine, name: str, latency_ns: int) -> None:
        super().__init__(engine, name)
        self.latency_ns = latency_ns
        self.neighbour: Any = None

    def receive(self, event: Event) -> None:
        token: Any = event[4]
        self.engine.post(event[0] + self.latency_ns, self.neighbour, self, Token(hops=token.hops + 1))


def kactors_ring(stations: int, until_ns: int) -> Engine:
    engine = Engine(FirstChoice(), Limits(until_ns=until_ns))
    ring = [Station(engine, f"station{number}", link_ns) for number, link_ns in enumerate(latencies(stations))]
    for station, neighbour in zip(ring, ring[1:] + ring[:1], strict=True):
        station.neighbour = neighbour
        engine.post(station.latency_ns, neighbour, station, Token(hops=0))
    return engine


def inline_s(stations: int, until_ns: int) -> float:
    engine = kactors_ring(stations, until_ns)
    return cpu_s(lambda: run_inline(engine))


def trio_s(stations: int, until_ns: int) -> float:
    # Two runs: one that ends before the first token arrives tells what it costs to start a task an actor.
    start, engine = kactors_ring(stations, 0), kactors_ring(stations, until_ns)
    start_s = cpu_s(lambda: trio.run(run_trio, start))
    return cpu_s(lambda: trio.run(run_trio, engine)) - start_s


# --- SimPy ------------------------------------------------------------------------------------------------------------


class PlainToken(NamedTuple):
    """A Token without validation."""

    hops: int


class Cable:
    """SimPy's documentation, "Event Latency": the cable of that example, word for word but for the type hints."""

    def __init__(self, env: simpy.Environment, delay: int) -> None:
        self.env = env
        self.delay = delay
        self.store = simpy.Store(env)

    def latency(self, value: PlainToken) -> Generator[simpy.Event, Any, None]:
        yield self.env.timeout(self.delay)
        self.store.put(value)

    def put(self, value: PlainToken) -> None:
        self.env.process(self.latency(value))

    def get(self) -> simpy.Event:
        return self.store.get()


class CallbackCable(Cable):
    """The same without a process."""

    def put(self, value: PlainToken) -> None:
        self.env.timeout(self.delay, value).callbacks.append(self._arrive)

    def _arrive(self, event: simpy.Event) -> None:
        self.store.put(event.value)


def station(inbox: Cable, outbox: Cable) -> Generator[simpy.Event, PlainToken, None]:
    while True:
        token = yield inbox.get()
        outbox.put(PlainToken(hops=token.hops + 1))


def simpy_ring(stations: int, cable: type[Cable]) -> simpy.Environment:
    env = simpy.Environment()
    cables = [cable(env, delay) for delay in latencies(stations)]
    for inbox, outbox in zip(cables, cables[1:] + cables[:1], strict=True):
        env.process(station(inbox, outbox))
        inbox.put(PlainToken(hops=0))
    return env


def run_simpy(env: simpy.Environment, until_ns: int) -> None:
    env.run(until=until_ns + 1)  # SimPy stops before the instant that it is given


def simpy_s(stations: int, until_ns: int, cable: type[Cable]) -> float:
    env = simpy_ring(stations, cable)
    return cpu_s(lambda: run_simpy(env, until_ns))


# --- measuring and printing -------------------------------------------------------------------------------------------

CONTESTANTS: dict[str, Callable[[int, int], float]] = {
    "kactors inline": inline_s,
    "kactors Trio": trio_s,
    "SimPy, cable": partial(simpy_s, cable=Cable),
    "SimPy, callback": partial(simpy_s, cable=CallbackCable),
}

Rates = dict[tuple[str, int], list[float]]


def measure(rounds: int, runs: int) -> Rates:
    """Messages a second by contestant and size, a figure a round."""
    rates: Rates = {(name, size): [] for size in SIZES for name in CONTESTANTS}
    for _ in range(rounds):
        for size in SIZES:
            until_ns = horizon_ns(size)
            messages = arrivals(size, until_ns)
            # Short runs that take turns: a slow spell of the machine meets all of them.
            figures: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
            for _ in range(runs):
                for name, contestant in CONTESTANTS.items():
                    gc.collect()
                    figures[name].append(messages / contestant(size, until_ns))
            for name, speeds in figures.items():
                rates[name, size].append(median(speeds))
    return rates


def ratio(rates: Rates, above: tuple[str, int], below: tuple[str, int]) -> float:
    return median(one / other for one, other in zip(rates[above], rates[below], strict=True))


def table(rates: Rates) -> list[str]:
    heads = ("messages/s", "us/message", "/ cable", "/ callback")
    lines = [f"{'actors':>6}  {'contestant':16} {heads[0]:>11} {heads[1]:>11} {heads[2]:>8} {heads[3]:>11}"]
    for (name, size), figures in rates.items():
        rate = median(figures)
        cable, callback = (ratio(rates, (name, size), (f"SimPy, {idiom}", size)) for idiom in ("cable", "callback"))
        lines.append(f"{size:6}  {name:16} {rate:11,.0f} {1e6 / rate:11.2f} {cable:8.2f} {callback:11.2f}")
    return lines


def verdicts(rates: Rates) -> list[str]:
    def verdict(text: str, figure: float, target: float, *, met: bool) -> str:
        return f"{text}: {figure:.2f}, target {target}: {'met' if met else 'MISSED'}"

    lines = []
    for name, target in TARGETS.items():
        figure = ratio(rates, (name, 80), ("SimPy, cable", 80))
        lines.append(verdict(f"{name} over SimPy (cable) at 80 actors", figure, target, met=figure >= target))
    for name in CONTESTANTS:
        figure = ratio(rates, (name, 16), (name, 1000))
        text = f"{name}, a message among 1000 actors over one among 16"
        if name == "kactors inline":
            lines.append(verdict(text, figure, TARGET_COST, met=figure <= TARGET_COST))
        else:
            lines.append(f"{text}: {figure:.2f}")
    return lines


def main(arguments: list[str]) -> None:
    quick = arguments == ["--quick"]
    if arguments and not quick:
        sys.exit("usage: python -m benchmarks.ring [--quick]")
    rates = measure(1, 1) if quick else measure(ROUNDS, RUNS)
    print("\n".join([*table(rates), "", *verdicts(rates)]))


if __name__ == "__main__":
    main(sys.argv[1:])
