"""The blocking client against the real service, in a process of its own."""

import socket
import threading

import pytest
import trio

from kactors import run
from kactors.client import Job, ServiceLostError, connect, embedded
from kactors.client.dial import service_address
from kactors.client.embedded import embedded_service
from kactors.engine.errors import UsageError
from protocols.service.commands import InjectFault
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.sessions import State
from tests.client.relay import relaying
from tests.client.test_trio_client import ENDLESS, SCENARIO


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with embedded_service(tmp_path_factory.mktemp("k")) as running:
        yield running


@pytest.fixture
def client(service):
    with service.open("test") as opened:
        yield opened
        for info in opened.list():
            opened.session(info.session).delete()


def test_a_session_from_its_making_to_its_end(client):
    session = client.create(SCENARIO, name="mine")
    assert session.step(events=10).position.events == 10
    session.checkpoint("c")
    session.inject(InjectFault(cpu=0, address=1 << 20))
    assert session.fork(policy="classic").run().policy == "classic"
    session.restore("c")
    assert session.run().fingerprint == run(SCENARIO).fingerprint
    assert session.stats().state is State.ENDED
    assert client.service.service == "kactors"
    with pytest.raises(ServiceError) as refused:
        session.step()
    assert refused.value.code is ErrorCode.WRONG_STATE
    assert session.delete().session == "mine"


def test_events_come_in_order_and_credit_is_given_back(client):
    session = client.create(ENDLESS)
    with session.subscribe(["counters"], interval_ns=10_000, window=2) as events:
        session.start()
        last = next(events)
        while last.at_ns < 250_000:
            event = next(events)
            assert event.number == last.number + 1 + event.dropped
            last = event
        session.pause()
    while client.server_stats().subscriptions:
        session.look()  # it ends in a moment


def test_jobs_run_together(client):
    done = []
    jobs = [Job(SCENARIO.model_copy(update={"seed": seed})) for seed in range(4)]
    results = client.run_together(jobs, lambda place, _result: done.append(place))
    assert [result.scenario.seed for result in results] == [0, 1, 2, 3]
    assert sorted(done) == [0, 1, 2, 3]


@pytest.mark.parametrize("what", ["request", "answer"])
async def test_what_is_lost_is_asked_again(tmp_path, service, what):
    async with relaying(service.address.path, tmp_path / "r.sock") as relay:
        await trio.to_thread.run_sync(lose_now_and_then, f"unix:{tmp_path}/r.sock", relay, what)
        assert relay.connections == 4


def lose_now_and_then(address, relay, what):
    with connect(address) as client:
        session = client.create(ENDLESS)
        with session.subscribe(["counters"], interval_ns=10_000, window=30) as events:
            session.run_until(100_000)
            relay.lose(what)
            assert session.run_until(200_000).position.now_ns == 200_000
            assert [next(events).number for _ in range(20)] == list(range(1, 21))
        relay.lose(what)
        assert session.inject(InjectFault(cpu=0, address=4096)).state is State.PAUSED
        before = session.look()
        relay.lose(what)
        assert session.step(events=7).position.events == before.position.events + 7
        session.delete()


def test_without_a_service_it_says_so(tmp_path):
    with pytest.raises(
        ServiceLostError, match="does not answer: No such file or directory; `kactors serve` starts one"
    ):
        connect(f"unix:{tmp_path}/none")


def test_a_silent_end_is_told(tmp_path):
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]

    def hang_up():
        listening.accept()[0].close()

    threading.Thread(target=hang_up, daemon=True).start()
    with pytest.raises(ServiceLostError, match=f"the service at tcp:127.0.0.1:{port} does not answer"):
        connect(f"127.0.0.1:{port}")
    listening.close()


def test_the_address_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("KACTORS_CONNECT", "tcp:localhost:7000")
    assert str(service_address()) == "tcp:localhost:7000"
    assert str(service_address("unix:/x")) == "unix:/x"
    monkeypatch.setenv("KACTORS_CONNECT", "nonsense")
    with pytest.raises(UsageError, match="nonsense"):
        service_address()


def test_a_certificate_that_is_none(tmp_path):
    (tmp_path / "ca.pem").write_text("no certificate")
    for name in ("ca.pem", "none.pem"):
        with pytest.raises(UsageError, match=f"certificate {tmp_path}/{name}"):
            connect("tls:127.0.0.1:1", tls=tmp_path / name)


# --- a service of one's own -------------------------------------------------------------------------------------------


def test_a_service_of_ones_own_leaves_its_store_and_nothing_else(tmp_path):
    with embedded_service(tmp_path) as running, running.open("me") as client:
        client.create(SCENARIO, name="kept")
        with embedded_service(tmp_path) as other:
            assert other.process is None
            with other.open("me") as second:
                assert [info.session for info in second.list()] == ["kept"]
    assert running.process.returncode == 0
    assert not (tmp_path / "kactors.sock").exists()


def test_a_dead_socket_is_no_hindrance(tmp_path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "kactors.sock"))
    with embedded_service(tmp_path) as running, running.open("me") as client:
        assert client.list() == ()


def test_an_orphan_is_ended_first(tmp_path):
    with embedded_service(tmp_path / "a") as running:
        (tmp_path / "a" / "owner.lock").unlink()  # as if who started it had been killed
        with embedded_service(tmp_path / "a") as other:
            assert running.process.wait(20) == 0
            assert other.process.poll() is None


def test_an_orphan_that_does_not_listen_yet_is_ended_too(tmp_path):
    address = embedded._address(tmp_path / "kactors.sock")
    with (tmp_path / "service.lock").open("ab") as place:
        assert embedded._take(place)
        orphan = embedded._start(tmp_path, address, place)
    with embedded_service(tmp_path) as running:
        assert orphan.wait(20) == 0
        assert running.process.poll() is None


def test_a_service_that_does_not_start_says_why(tmp_path):
    (tmp_path / "kactors.sqlite").write_text("no database, but long enough to be looked at closely" * 100)
    with pytest.raises(UsageError, match=r"does not start: .*kactors\.sqlite"), embedded_service(tmp_path):
        pass
