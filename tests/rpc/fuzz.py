"""Feeds byte strings to the decoder and to sessions: ``python -m tests.rpc.fuzz SEED STRINGS``.

A process of its own for test_fuzz.py: a million strings under a coverage tracer would take minutes.
"""

import gc
import json
import random
import struct
import sys

from kactors.rpc.codec import encode_request
from kactors.rpc.session import ServerSession
from kactors.rpc.vectors import vectors
from protocols.service.errors import ServiceError
from tests.rpc.frames import LIMITS, decoded

WARM_UP = 5_000
"""So many strings fill the caches."""
CORPUS = [
    bytes.fromhex(vector["hex"])
    for kind, many in vectors().items()
    for vector in many
    if len(vector["hex"]) < 400 and kind != "responses"
]
REQUESTS = [vector["message"] for vector in vectors()["requests"] if vector["message"][3]]
KEYS = sorted({key for *_, params in REQUESTS for key in params[0]})
HEADS = [bytes([first]) for first in (0xC4, 0xC5, 0xC6, 0xC7, 0xC9, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF)]
BEGUN = b"\x94\x00\x07\xa9sim.stats"


def noise(numbers):
    return numbers.randbytes(numbers.randrange(1, 40))


def mutated(numbers):
    data = bytearray(numbers.choice(CORPUS))
    for _ in range(numbers.randrange(1, 4)):
        data[numbers.randrange(len(data))] = numbers.randrange(256)
    return bytes(data)


def truncated(numbers):
    data = numbers.choice(CORPUS)
    return data[: numbers.randrange(len(data))]


def spliced(numbers):
    one, other = numbers.choice(CORPUS), numbers.choice(CORPUS)
    return one[: numbers.randrange(len(one))] + other[numbers.randrange(len(other)) :]


def announced(numbers):
    length = struct.pack(">I", numbers.randrange(2**32))
    return BEGUN + numbers.choice(HEADS) + length[numbers.randrange(4) :] + numbers.randbytes(numbers.randrange(9))


def nested(numbers):
    return BEGUN + numbers.choice([b"\x91", b"\x81\xa1k", b"\x92\xc0"]) * numbers.randrange(400) + noise(numbers)


def mixed(numbers):
    """A method is asked with another value, with more, or with what another one takes."""
    _, _, name, (least, *_) = numbers.choice(REQUESTS)
    params = dict(least)
    params[numbers.choice(list(params) if numbers.randrange(2) else KEYS)] = numbers.choice(
        [None, -1, 2**64 - 1, 0.5, "", "x" * 70, b"x", [], {}, [{"a": [0]}], 1, "s2"]
    )
    return encode_request(1, name if numbers.randrange(4) else "sim.step", [params])


KINDS = [noise, mutated, truncated, spliced, announced, nested, mixed]


def take(data):
    """Feed it to a decoder and to a session, and answer what the session wants done; return how it ended."""
    session, refused = ServerSession(LIMITS, token_needed=False), None
    calls = list(session.receive(data))
    for call in calls:
        session.answer(call, b"\xc0")
    try:
        decoded(data)
    except ServiceError as error:
        refused = error.code
    # A session ends where the decoder gives up, and else only at an answer, which is none of its business.
    assert session.closing or refused is None
    said = session.take_output()
    return refused or (bool(calls), bool(said), session.half, session.closing)


def main(seed, strings):
    """Print how many blocks of memory are kept, and all the ways in which it ended."""
    numbers = random.Random(seed)
    ends = {take(KINDS[number % len(KINDS)](numbers)) for number in range(WARM_UP)}
    gc.collect()
    before = sys.getallocatedblocks()
    for number in range(strings):
        ends.add(take(KINDS[number % len(KINDS)](numbers)))
    gc.collect()
    sys.stdout.write(json.dumps({"kept": sys.getallocatedblocks() - before, "ends": sorted(map(str, ends))}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
