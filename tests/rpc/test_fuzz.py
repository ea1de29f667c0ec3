"""A million byte strings: nothing is raised but ServiceError, and nothing is kept."""

import contextlib
import gc
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from kactors.rpc.client import ClientSession
from kactors.rpc.codec import encode_notification, encode_request
from kactors.rpc.session import ServerSession
from protocols.service.errors import ErrorCode, ServiceError
from tests.rpc.frames import LIMITS, decoder
from tests.rpc.fuzz import CORPUS, mutated

ROOT = Path(__file__).parents[2]
SEEDS = range(10)
STRINGS = 100_000
"""For each seed."""
GROWTH_MAX = 2_000
"""Blocks of memory more after a seed's strings than before: caches fill. A leak of one a string would be 100,000."""
ENDS = {
    "a call": (True, True, False, False),
    "an answer at once": (False, True, False, False),
    "half a message": (False, False, True, False),
}


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_breaks_and_nothing_is_kept(seed):
    # Without what tells a child of a measured process to measure itself.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    command = [sys.executable, "-W", "error", "-m", "tests.rpc.fuzz", str(seed), str(STRINGS)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    sys.stdout.write(f"{STRINGS} strings, {found['kept']} blocks kept\n")
    assert found["kept"] < GROWTH_MAX
    codes = (ErrorCode.MALFORMED, ErrorCode.TOO_LARGE, ErrorCode.TOO_DEEP)
    assert {str(end) for end in (*codes, *ENDS.values())} <= set(found["ends"])


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_one_connection_in_pieces_of_any_length(seed):
    numbers = random.Random(seed)
    for _ in range(500):
        session, taker, client = ServerSession(LIMITS, token_needed=True), decoder(), ClientSession()
        for _ in range(20):
            data = numbers.choice(CORPUS) if numbers.randrange(10) else mutated(numbers)
            for calls in (list(session.receive(data[:5])), list(session.receive(data[5:]))):
                for call in calls:
                    session.answer(call, b"\xc0")
        said = session.take_output()
        assert [len(message) for message in taker.feed(said)]
        with contextlib.suppress(ServiceError):
            client.receive(data)


def test_a_long_life_of_one_connection_keeps_nothing():
    session, asks = ServerSession(LIMITS, token_needed=False), encode_notification("sim.list", [])
    asks += encode_request(1, "sim.list", []) + encode_request(2, "nope", []) + encode_request(3, "sim.stats", [])
    whole = asks * 3_000
    for _ in range(2):
        gc.collect()
        before = sys.getallocatedblocks()
        for begin in range(0, len(whole), 31):
            for call in session.receive(whole[begin : begin + 31]):
                session.answer(call, b"\xc0")
            session.take_output()
    gc.collect()
    assert not session.closing
    assert sys.getallocatedblocks() - before < GROWTH_MAX
