"""Hostile bytes, strangers and slow readers: that connection gets an error and is closed; nobody else notices."""

import contextlib
import ssl
import stat

import pytest
import trio

from kactors.rpc.address import Address
from kactors.rpc.client import ClientSession
from kactors.rpc.codec import encode_request
from protocols.service.errors import ErrorCode, ServiceError
from tests.service.talk import EBIZZY, ENDLESS, Talk, serving, talking
from tests.service.test_listen import make_certificate

LONG = 1_000_000_000
HOSTILE = {
    "no MessagePack": (b"\xc1", ErrorCode.MALFORMED),
    "text": (b"GET / HTTP/1.1\r\n\r\n", ErrorCode.MALFORMED),
    "no RPC": (b"\x92\x01\x02", ErrorCode.MALFORMED),
    "a msgid that is text": (b"\x94\x00\xa1x\xa5hello\x90", ErrorCode.MALFORMED),
    "a length of 4 GB": (b"\xc6\xff\xff\xff\xff", ErrorCode.TOO_LARGE),
    "an array of 4 G": (b"\xdd\xff\xff\xff\xff", ErrorCode.TOO_LARGE),
    "deep nesting": (b"\x91" * 1000, ErrorCode.TOO_DEEP),
    "an answer to nothing": (b"\x94\x01\x05\xc0\xc0", ErrorCode.MALFORMED),
}


@pytest.fixture
async def service(tmp_path):
    async with serving(tmp_path):
        yield tmp_path / "k.sock"


async def everything(stream):
    """All that comes until the other side closes."""
    heard, session = [], ClientSession()
    session.waiting.update(dict.fromkeys(range(1000), "any"))
    with contextlib.suppress(trio.BrokenResourceError):
        while data := await stream.receive_some(1 << 16):
            heard += session.receive(bytes(data))
    return heard


@pytest.mark.parametrize(("data", "code"), HOSTILE.values(), ids=HOSTILE)
async def test_hostile_bytes_get_an_error_and_the_connection_is_closed(service, data, code):
    async with talking(service) as other:
        session = (await other.ask("sim.create", scenario=EBIZZY))["session"]
        async with await trio.open_unix_socket(str(service)) as stream:
            await stream.send_all(encode_request(1, "sim.stats", [{"session": session}]) + data)
            answer, refusal = await everything(stream)
        assert answer.outcome["session"] == session, "what came whole before is answered"
        assert refusal.payload["code"] == code
        assert (await other.ask("sim.stats", session=session))["session"] == session


async def test_an_endless_half_message_is_not_waited_for(tmp_path):
    async with serving(tmp_path, limits={"half_message_s": 0.2}):
        async with await trio.open_unix_socket(str(tmp_path / "k.sock")) as stream:
            await stream.send_all(encode_request(1, "api.info", [])[:-1])
            (refusal,) = await everything(stream)
        assert refusal.outcome.code is ErrorCode.TOO_SLOW


async def test_a_client_that_reads_nothing_is_not_asked_for_more(tmp_path):
    """It pipelines requests for ever: the service stops reading, and its memory does not grow."""
    request = b"".join(encode_request(number, "api.info", []) for number in range(100))
    async with serving(tmp_path, limits={"output_bytes_max": 1 << 20}):
        async with (
            await trio.open_unix_socket(str(tmp_path / "k.sock")) as stream,
            talking(tmp_path / "k.sock") as talk,
        ):
            before = await talk.ask("server.stats")
            sent = 0
            with trio.move_on_after(1.0):
                while sent < 100_000:
                    await stream.send_all(request)
                    sent += 100
            stats = await talk.ask("server.stats")
        assert sent < 20_000
        assert stats["resident_bytes"] - before["resident_bytes"] < 200 << 20


async def test_a_client_that_goes_away_takes_its_own_step_with_it_and_nothing_else(service):
    async with talking(service) as talk:
        mine = (await talk.ask("sim.create", scenario=ENDLESS))["session"]
        started = (await talk.ask("sim.create", scenario=ENDLESS))["session"]
        async with talking(service) as other:
            await other.ask("sim.start", session=started)
            await other.begin("sim.run_until", session=mine)
            while (await talk.ask("sim.stats", session=mine))["events"] == 0:
                await trio.lowlevel.checkpoint()
        while (await talk.ask("sim.stats", session=mine))["state"] == "running":
            await trio.lowlevel.checkpoint()
        assert (await talk.ask("sim.stats", session=started))["state"] == "running"
        stood = await talk.ask("sim.attach", session=mine)
        assert (await talk.ask("sim.step", session=mine))["position"]["events"] == stood["position"]["events"] + 1


async def test_the_socket_file_is_its_owners(service):
    assert stat.S_IMODE(service.stat().st_mode) == 0o600


# --- TCP, tokens, TLS -------------------------------------------------------------------------------------------------

TOKEN = "a-token-of-24-characters"


@pytest.fixture
def token_file(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"ann {TOKEN}\n")
    file.chmod(0o600)
    return file


@contextlib.asynccontextmanager
async def over_tcp(bound, context=None):
    (address,) = [address for address in bound.addresses if address.kind != "unix"]
    stream = await trio.open_tcp_stream("127.0.0.1", address.port)
    if context is not None:
        stream = trio.SSLStream(stream, context, server_hostname="localhost")
    async with stream, trio.open_nursery() as nursery:
        talk = Talk(stream)
        nursery.start_soon(talk.read)
        yield talk
        nursery.cancel_scope.cancel()


TCP = Address("tcp", "", "127.0.0.1", 0)


async def test_over_tcp_nothing_goes_without_the_token(tmp_path, token_file):
    given = {"addresses": (TCP,), "token_file": token_file}
    async with serving(tmp_path, **given) as bound, over_tcp(bound) as talk:
        for params in ({}, {"token": "a-token-of-24-charakters"}):
            with pytest.raises(ServiceError) as refused:
                await talk.ask("hello", **params)
            assert refused.value.code is ErrorCode.BAD_TOKEN
        with pytest.raises(ServiceError) as refused:
            await talk.ask("sim.list")
        assert refused.value.code is ErrorCode.HELLO_FIRST
        hello = await talk.ask("hello", token=TOKEN, client="laptop")
        assert hello["client"] == "ann/laptop"
        assert not (await talk.ask("sim.list"))["sessions"]


async def test_over_tcp_a_scenario_names_no_files_but_those_below_the_root(tmp_path):
    root = tmp_path / "files"
    root.mkdir()
    (root / "mine.py").write_text(
        "from kactors.policies.classic import Classic\nclass Mine(Classic):\n    name = 'mine'\n"
    )
    inside, outside = f"{root}/mine.py:Mine", f"{root}/../mine.py:Mine"
    async with serving(tmp_path, addresses=(TCP,), files_root=root) as bound, over_tcp(bound) as talk:
        await talk.ask("sim.create", scenario=EBIZZY | {"policy": inside})
        for scenario in (
            {"policy": outside},
            {"workload": "recording", "options": {"file": "/etc/passwd"}},
            {"machine": "/etc/machine.toml"},
        ):
            with pytest.raises(ServiceError) as refused:
                await talk.ask("sim.create", scenario=EBIZZY | scenario)
            assert refused.value.code is ErrorCode.FORBIDDEN


async def test_over_tcp_without_a_token_nobody_ends_the_service(tmp_path):
    async with serving(tmp_path, addresses=(TCP,)) as bound, over_tcp(bound) as talk:
        with pytest.raises(ServiceError) as refused:
            await talk.ask("server.shutdown")
        assert refused.value.code is ErrorCode.FORBIDDEN


async def test_tls_is_spoken_and_plain_bytes_are_not(tmp_path, token_file):
    certificate, key = make_certificate(tmp_path)
    tls = Address("tls", "", "127.0.0.1", 0)
    given = {"certificate": certificate, "key": key, "token_file": token_file}
    context = ssl.create_default_context(cafile=str(certificate))
    limits = {"half_message_s": 0.5}
    async with serving(tmp_path, addresses=(tls,), limits=limits, **given) as bound, over_tcp(bound, context) as talk:
        assert (await talk.ask("hello", token=TOKEN))["service"] == "kactors"
        async with over_tcp(bound) as plain:
            await plain.stream.send_all(encode_request(1, "hello", []))
            while not plain.closed:
                await trio.lowlevel.checkpoint()
        await talk.ask("sim.list")
