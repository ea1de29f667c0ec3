"""What a sim.stats request costs the service, without sockets: ``python -m benchmarks.rpc [--quick]``.

A request is decoded, its params are checked, and it is answered with a result that was packed before, as a session that
runs keeps its numbers packed. The stages are measured by themselves and together, as a connection does it; the client's
side and a result that has to be packed first stand beside them.

Time is CPU time of this process. A figure is the median of nine rounds in which the stages take turns.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from statistics import median

from kactors.rpc import codec
from kactors.rpc.client import ClientSession
from kactors.rpc.codec import Decoder
from kactors.rpc.framing import Frame
from kactors.rpc.params import validate
from kactors.rpc.samples import sample
from kactors.rpc.session import ServerSession
from protocols.service.methods import METHODS
from protocols.service.server import Limits
from protocols.service.sessions import SessionParams, Stats

ROUNDS = 9
CALLS = 5_000
TARGET_NS = 20_000
"""A request from its bytes to the bytes of its answer, on the machine that this was written on."""

METHOD = METHODS["sim.stats"]
PARAMS = SessionParams(session="s-0123456789")
REQUEST = codec.encode_request(1, METHOD.name, [PARAMS.model_dump()])
STATS = Stats.model_validate(sample(Stats))
PACKED = codec.pack(STATS.model_dump(mode="json"))
LIMITS = Limits.model_validate(sample(Limits) | {"message_bytes_max": 2**20, "depth_max": 32})


def stages() -> dict[str, Callable[[], object]]:
    decoder, session, client = Decoder(2**20, 32), ServerSession(LIMITS, token_needed=False), ClientSession()
    ((_, _, params),) = decoder.feed(REQUEST)

    def serve() -> bytes:
        (call,) = list(session.receive(REQUEST))
        session.answer(call, PACKED)
        return session.take_output()

    def converse() -> object:
        _, asked = client.request(METHOD.name, PARAMS)
        (call,) = list(session.receive(asked))
        session.answer(call, PACKED)
        return client.receive(session.take_output())

    return {
        "walk its headers": lambda: Frame(2**20, 32).walk(REQUEST, 0),
        "decode": lambda: list(decoder.feed(REQUEST)),
        "check params": lambda: validate(METHOD, params),
        "encode, packed before": lambda: codec.encode_packed_response(1, PACKED),
        "encode, to be packed": lambda: codec.encode_response(1, STATS.model_dump(mode="json")),
        "serve": serve,
        "serve, and the client": converse,
    }


def measure(rounds: int, calls: int) -> dict[str, float]:
    """The ns that a stage takes, by its name."""
    figures: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, stage in stages().items():
            gc.collect()
            began_ns = time.process_time_ns()
            for _ in range(calls):
                stage()
            figures.setdefault(name, []).append((time.process_time_ns() - began_ns) / calls)
    return {name: median(many) for name, many in figures.items()}


def report(figures: dict[str, float]) -> list[str]:
    lines = [f"{name:24} {ns:8,.0f} ns" for name, ns in figures.items()]
    parts_ns = sum(figures[name] for name in ("decode", "check params", "encode, packed before"))
    lines.append(f"{'decode + check + encode':24} {parts_ns:8,.0f} ns")
    met = "met" if figures["serve"] <= TARGET_NS else "MISSED"
    lines.append(f"serve: {figures['serve'] / 1000:.1f} us, target {TARGET_NS / 1000:.0f} us: {met}")
    return lines


def main(arguments: list[str]) -> None:
    quick = arguments == ["--quick"]
    if arguments and not quick:
        sys.exit("usage: python -m benchmarks.rpc [--quick]")
    print("\n".join(report(measure(1, 100) if quick else measure(ROUNDS, CALLS))))


if __name__ == "__main__":
    main(sys.argv[1:])
