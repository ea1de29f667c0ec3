"""How the service ends, and what a store that cannot be written does to it."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time

import pytest
import trio

from kactors.rpc.address import Address
from kactors.service.store import Store
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.sessions import State
from tests.service.talk import EBIZZY, ENDLESS, serving, talking

TARGET_S = 2
GENEROUS = 5
"""Times the target: other tests compute on the same cores."""


@pytest.fixture
def process(tmp_path):
    """The real program, which does not outlive the test."""
    command = [sys.executable, "-m", "kactors", "serve", "--listen", f"unix:{tmp_path}/k.sock"]
    command += ["--store", str(tmp_path / "k.sqlite"), "--log", "json", "--workers", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            process.stderr.readline()  # it is serving
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_end_is_soon_and_is_told_and_loses_nothing(tmp_path, process, number):
    async with talking(tmp_path / "k.sock") as talk:
        sessions = [(await talk.ask("sim.create", scenario=ENDLESS))["session"] for _ in range(6)]
        for session in sessions[:5]:
            await talk.ask("sim.start", session=session)
        await talk.begin("sim.run_until", session=sessions[5])
        while (await talk.ask("sim.stats", session=sessions[5]))["events"] == 0:
            await trio.lowlevel.checkpoint()
        pids = [worker["pid"] for worker in (await talk.ask("server.stats"))["workers"]]
        began_s = time.monotonic()
        process.send_signal(number)
        told = await talk.hear(lambda name, _: name == "server.event")
        assert await trio.to_thread.run_sync(process.wait) == 0
        assert time.monotonic() - began_s < GENEROUS * TARGET_S
        assert told == {"kind": "shutdown", "reason": number.name}
    assert not (tmp_path / "k.sock").exists()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    store = Store.open(tmp_path / "k.sqlite")
    records = {record.session: record for record in store.load_all()}
    store.close()
    assert [records[session].state for session in sessions] == [State.RUNNING] * 5 + [State.PAUSED]
    assert all(record.position.events > 0 for record in records.values()), "running sessions are checkpointed"
    async with serving(tmp_path), talking(tmp_path / "k.sock") as talk:
        for session in sessions:
            before = records[session].position.events
            if records[session].state is State.RUNNING:
                while (await talk.ask("sim.stats", session=session))["events"] <= before:
                    await trio.lowlevel.checkpoint()
            else:
                stepped = await talk.ask("sim.step", session=session)
                assert stepped["position"]["events"] == before + 1


async def test_server_shutdown_ends_it_too(tmp_path, process):
    async with talking(tmp_path / "k.sock") as talk:
        assert await talk.ask("server.shutdown", reason="enough") == {"ending": True}
        assert (await talk.hear(lambda name, _: name == "server.event"))["reason"] == "enough"
    assert await trio.to_thread.run_sync(process.wait) == 0


async def test_a_second_service_on_the_same_store_or_socket_is_refused_in_one_line(tmp_path, process):
    def start(path, store):
        command = [sys.executable, "-m", "kactors", "serve", "--listen", f"unix:{tmp_path / path}"]
        return subprocess.run([*command, "--store", tmp_path / store], capture_output=True, text=True, check=False)

    for path, store in (("k.sock", "other.sqlite"), ("other.sock", "k.sqlite")):
        done = await trio.to_thread.run_sync(start, path, store)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    async with talking(tmp_path / "k.sock") as talk:
        assert (await talk.ask("hello"))["service"] == "kactors"


@pytest.fixture
def taken():
    """A port that somebody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        yield somebody.getsockname()[1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--listen", "tcp:127.0.0.1:{taken}"], "address tcp:127.0.0.1:{taken}: cannot listen there: Address already"),
        (["--metrics", "127.0.0.1:{taken}"], "metrics address tcp:127.0.0.1:{taken}: cannot listen there: Address"),
        (["--metrics", "0.0.0.0:0"], "metrics address tcp:0.0.0.0:0: other machines could read it"),
    ],
)
def test_where_it_cannot_listen_it_says_so_in_one_line_and_leaves_nothing_open(tmp_path, taken, words, says):
    command = [sys.executable, "-m", "kactors", "serve", "--listen", f"unix:{tmp_path}/k.sock"]
    command += ["--store", str(tmp_path / "k.sqlite"), *(word.format(taken=taken) for word in words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert says.format(taken=taken) in done.stderr
    assert not (tmp_path / "k.sock").exists()


async def refused(talk, method, **params):
    with pytest.raises(ServiceError) as error:
        await talk.ask(method, **params)
    return error.value


async def test_a_locked_store_refuses_and_nothing_is_half_done(tmp_path):
    async with serving(tmp_path), talking(tmp_path / "k.sock") as talk:
        session = (await talk.ask("sim.create", scenario=EBIZZY))["session"]
        before = await talk.ask("sim.step", session=session, events=100)
        with sqlite3.connect(tmp_path / "k.sqlite", isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            injection = {"kind": "starved_cpu", "cpu": 0, "duration_ns": 50_000}
            for method, params in (
                ("sim.step", {"events": 10}),
                ("sim.inject", {"injection": injection}),
                ("sim.start", {}),
                ("sim.checkpoint", {}),
                ("sim.delete", {}),
            ):
                error = await refused(talk, method, session=session, **params)
                assert error.code is ErrorCode.STORE
                assert "locked" in error.message
            assert (await refused(talk, "sim.create", scenario=EBIZZY)).code is ErrorCode.STORE
            stood = await talk.ask("sim.attach", session=session)
            assert (stood["position"], stood["sequence"]) == (before["position"], before["sequence"])
            other.execute("ROLLBACK")
        other.close()
        end = await talk.ask("sim.run_until", session=session)
        fresh = (await talk.ask("sim.create", scenario=EBIZZY))["session"]
        assert (await talk.ask("sim.run_until", session=fresh))["position"] == end["position"]
        assert len((await talk.ask("sim.list"))["sessions"]) == 2


async def test_a_full_store_takes_no_more_but_lets_delete(tmp_path):
    async with serving(tmp_path, limits={"stored_bytes_max": 1}), talking(tmp_path / "k.sock") as talk:
        error = await refused(talk, "sim.create", scenario=EBIZZY)
        assert (error.code, error.data["limit"]) == (ErrorCode.QUOTA, "stored_bytes_max")


async def get(port, path):
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n".encode())
        return b"".join([bytes(data) async for data in stream]).decode()


async def test_metrics_and_health_tell_of_sessions_and_of_worker_restarts(tmp_path):
    address = Address("tcp", "", "127.0.0.1", 0)
    async with serving(tmp_path, metrics=address) as bound, talking(tmp_path / "k.sock") as talk:
        session = (await talk.ask("sim.create", scenario=EBIZZY))["session"]
        end = await talk.ask("sim.run_until", session=session)
        text = await get(bound.metrics.port, "/metrics")
        assert 'kactors_sessions{state="ended"} 1.0' in text
        assert f"kactors_simulated_events_total {float(end['position']['events'])}" in text
        assert 'kactors_requests_total{code="0",method="sim.run_until"} 1.0' in text
        assert '"status":"ok"' in await get(bound.metrics.port, "/healthz")
        (worker,) = (await talk.ask("server.stats"))["workers"]
        os.kill(worker["pid"], signal.SIGKILL)
        while (await talk.ask("server.stats"))["workers"][0]["restarts"] == 0:
            await trio.lowlevel.checkpoint()
        assert "kactors_worker_restarts_total 1.0" in await get(bound.metrics.port, "/metrics")
