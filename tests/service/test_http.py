"""Metrics and health over real HTTP; nothing that a client does holds up the end of the service."""

import json
import socket
from functools import partial

import pytest
import structlog
import trio

from kactors.engine.errors import UsageError
from kactors.rpc.address import parse_address
from kactors.service.http import Health, serve_http
from kactors.service.metrics import Metrics

ANYWHERE = parse_address("tcp:127.0.0.1:0")
SHUTDOWN_S = 2


async def start(nursery, metrics=None, health=Health, address=ANYWHERE, **options):
    return await nursery.start(partial(serve_http, metrics or Metrics(), health, address, **options))


async def ask(port, request="GET /metrics", host="127.0.0.1"):
    """Return (status, headers, body) of one request on a connection of its own."""
    with trio.fail_after(10):
        async with await trio.open_tcp_stream(host, port) as stream:
            await stream.send_all(f"{request} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join([part async for part in stream])
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *headers = head.decode().split("\r\n")
    return int(status.split()[1]), dict(line.lower().split(": ", 1) for line in headers), body


async def test_metrics_are_shown(nursery):
    metrics = Metrics("1.2.3")
    metrics.request("sim.step", 0, 0.002)
    status, headers, body = await ask(await start(nursery, metrics))
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=")
    assert b'kactors_requests_total{code="0",method="sim.step"} 1.0\n' in body
    assert b"kactors_trio_tasks " in body


async def test_health(nursery):
    now = Health(details={"sessions": 3})
    port = await start(nursery, health=lambda: now)
    status, headers, body = await ask(port, "GET /healthz")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body) == {"status": "ok", "sessions": 3}
    now = Health(("the store is full", "no worker"))
    status, _, body = await ask(port, "GET /healthz")
    assert status == 503
    assert json.loads(body) == {"status": "failing", "reasons": ["the store is full", "no worker"]}


@pytest.mark.parametrize(
    ("request_line", "status"),
    [("GET /", 404), ("GET /metrics/x", 404), ("POST /metrics", 405), ("DELETE /healthz", 405), ("HEAD /metrics", 200)],
)
async def test_nothing_else_is_there(nursery, request_line, status):
    assert (await ask(await start(nursery), request_line))[0] == status


async def test_nonsense_is_refused(nursery):
    assert (await ask(await start(nursery), "\x00\x01"))[0] == 400


async def test_a_failing_look_is_logged_and_answered(nursery):
    def health():
        raise RuntimeError("the store is gone")

    with structlog.testing.capture_logs() as logs:
        assert (await ask(await start(nursery, health=health), "GET /healthz"))[0] == 500
    assert [(entry["part"], entry["log_level"], entry["exc_info"]) for entry in logs] == [("http", "error", True)]


async def test_a_good_request_is_no_news(nursery, capfd):
    with structlog.testing.capture_logs() as logs:
        await ask(await start(nursery))
    assert logs == []
    assert capfd.readouterr() == ("", "")


async def test_ipv6(nursery):
    assert (await ask(await start(nursery, address=parse_address("tcp:[::1]:0")), host="::1"))[0] == 200


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("tcp:0.0.0.0:0", "other machines could read it"),
        ("tcp:[::]:9100", "say tcp:127.0.0.1:9100"),
        ("tls:127.0.0.1:0", "plain HTTP"),
        ("unix:/run/x", "plain HTTP"),
    ],
)
async def test_a_wrong_address_is_refused(address, complaint):
    with pytest.raises(UsageError, match=complaint):
        await serve_http(Metrics(), Health, parse_address(address))


async def test_everybody_is_let_in_when_told_so(nursery):
    assert (await ask(await start(nursery, address=parse_address("tcp:0.0.0.0:0"), allow_remote=True)))[0] == 200


async def test_a_taken_port_is_refused(nursery):
    port = await start(nursery)
    with pytest.raises(UsageError, match=f"127.0.0.1:{port}: cannot listen there: Address already in use"):
        await serve_http(Metrics(), Health, parse_address(f"tcp:127.0.0.1:{port}"))


async def idle(stream):
    await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n")
    assert await stream.receive_some()


async def silent(stream):
    pass


async def half_a_request(stream):
    await stream.send_all(b"GET /healthz HTTP/1.1\r\nHo")


async def endless_body(stream):
    await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: here\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 100_000)


async def reads_nothing(stream):
    """Ask until the service is stuck in sending."""
    with trio.move_on_after(0.3):
        while True:
            await stream.send_all(b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n" * 100)


@pytest.mark.parametrize("client", [silent, idle, half_a_request, endless_body, reads_nothing])
async def test_no_client_holds_up_the_end(client):
    metrics = Metrics()
    for code in range(1000):
        metrics.request("sim.step", code, 0.1)
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        async with trio.open_nursery() as nursery:
            port = await start(nursery, metrics)
            raw.setblocking(False)
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(raw))
            await stream.socket.connect(("127.0.0.1", port))
            await client(stream)
            began = trio.current_time()
            nursery.cancel_scope.cancel()
        assert trio.current_time() - began < SHUTDOWN_S
    with pytest.raises(OSError, match="connect"):
        await ask(port)
