"""The rules of listening: nobody is let in by mistake, and no file of somebody else's is removed."""

import socket
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kactors.engine.errors import UsageError
from kactors.rpc.address import Address, parse_address
from kactors.service.listen import client_ssl_context, plan_listening, server_ssl_context


def make_certificate(folder, name="service", passphrase=None):
    """Make PEM files of a key and of a certificate for localhost and 127.0.0.1 that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.KeyUsage(True, False, False, False, False, True, False, False, False), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret),
    )
    return paths


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("pem"))


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "tokens"
    path.touch(mode=0o600)
    path.write_text("anna a-token-of-anna-s\n")
    return path


@pytest.fixture
def folder(tmp_path_factory):
    """A folder with a short name: a socket's path has little room."""
    return tmp_path_factory.mktemp("s")


def plan(*texts, **options):
    return plan_listening([parse_address(text) for text in texts], **options)


def refused(complaint):
    return pytest.raises(UsageError, match=complaint)


def serve(path):
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    return server


def test_this_machine_needs_nothing(folder):
    listening = plan(f"unix:{folder}/s", "tcp:127.0.0.1:0", "tcp:127.0.0.1:0", "tcp:[::1]:7000", "tcp:localhost:7000")
    assert listening.tls is None
    assert not any(listening.needs_token(address) for address in listening.addresses)


def test_with_a_token_file_tcp_needs_one_and_a_socket_file_does_not(folder, tokens):
    listening = plan(f"unix:{folder}/s", "tcp:127.0.0.1:0", tokens=tokens)
    assert [listening.needs_token(address) for address in listening.addresses] == [False, True]
    assert listening.tokens.principal("a-token-of-anna-s") == "anna"


def test_a_network_needs_tls_and_tokens(pem, tokens):
    for host in ("0.0.0.0", "[::]", "10.1.2.3", "sim.example.org"):
        with refused("in the clear; say tls:"):
            plan(f"tcp:{host}:7000", tokens=tokens)
        with refused("it needs a token file"):
            plan(f"tls:{host}:7000", certificate=pem[0], key=pem[1])
        listening = plan(f"tls:{host}:7000", certificate=pem[0], key=pem[1], tokens=tokens)
        assert listening.tls.verify_mode == ssl.CERT_NONE
        assert listening.needs_token(listening.addresses[0])


def test_tls_and_a_certificate_need_each_other(pem):
    with refused("address tls:127.0.0.1:0: TLS needs a certificate and its key"):
        plan("tls:127.0.0.1:0")
    with refused("no address says tls"):
        plan("tcp:127.0.0.1:0", certificate=pem[0], key=pem[1])
    with refused("given without a certificate"):
        plan("tcp:127.0.0.1:0", key=pem[1])
    assert plan("tls:127.0.0.1:0", certificate=pem[0], key=pem[1]).tls


def test_an_address_is_given_once(folder):
    with refused("there is no address"):
        plan()
    with refused(r"the address tcp:\[::1\]:7000 is given twice"):
        plan("[::1]:7000", "tcp:[0::1]:7000")
    with refused("is given twice"):
        plan(f"{folder}/s", f"unix:{folder}/s")


def test_a_bad_token_file_is_refused(tokens):
    tokens.chmod(0o644)
    with refused("chmod 0600"):
        plan("tcp:127.0.0.1:0", tokens=tokens)


def test_a_path_has_room_for_107_bytes(folder):
    room = 107 - len(f"{folder}/".encode())
    plan(f"unix:{folder}/{'x' * room}")
    serve(f"{folder}/{'x' * room}").close()
    with refused("the path has 108 bytes, and a socket's at most 107"):
        plan(f"unix:{folder}/{'x' * (room - 1)}é")


def test_a_folder_must_be_there(folder):
    with refused(f"there is no folder {folder}/missing"):
        plan(f"unix:{folder}/missing/s")
    (folder / "file").touch()
    with refused("there is no folder"):
        plan(f"unix:{folder}/file/s")


def test_the_default_s_folder_is_made_and_private(folder, monkeypatch):
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("HOME", str(folder))
    made = folder / ".local/state/kactors"
    plan(f"unix:{made}/kactors.sock")
    assert made.stat().st_mode & 0o777 == 0o700
    (folder / "file").touch()
    monkeypatch.setenv("HOME", str(folder / "file"))
    with refused("cannot be made: Not a directory"):
        plan(f"unix:{folder}/file/.local/state/kactors/kactors.sock")


def test_a_socket_that_somebody_serves_is_left_to_him(folder):
    with serve(folder / "s") as server:
        with refused("somebody serves it already"):
            plan(f"unix:{folder}/s")
        # The look was a call like any other.
        server.accept()[0].close()
    assert (folder / "s").exists()


def test_a_server_that_is_too_busy_to_answer_serves_too(folder):
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as caller:
        server.bind(str(folder / "s"))
        server.listen(0)
        caller.connect(str(folder / "s"))
        with refused("somebody serves it already"):
            plan(f"unix:{folder}/s")


def test_a_stale_socket_is_removed(folder):
    serve(folder / "s").close()
    plan(f"unix:{folder}/s")
    assert not (folder / "s").exists()
    serve(folder / "s").close()


def test_what_is_no_socket_is_never_removed(folder):
    (folder / "file").write_text("precious")
    (folder / "link").symlink_to(folder / "nowhere")
    for name in ("file", "link"):
        with refused("something that is no socket is there"):
            plan(f"unix:{folder}/{name}")
    assert (folder / "file").read_text() == "precious"


def test_a_refusal_removes_nothing(folder):
    serve(folder / "stale").close()
    with serve(folder / "served"), refused("somebody serves"):
        plan(f"unix:{folder}/stale", f"unix:{folder}/served")
    assert (folder / "stale").exists()


def test_a_relative_path_is_from_here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert plan("unix:s").addresses == (Address("unix", "s"),)


def test_contexts_are_modern(pem):
    for context in (server_ssl_context(*pem), client_ssl_context(), client_ssl_context(pem[0])):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert context.options & ssl.OP_NO_COMPRESSION
    assert client_ssl_context().verify_mode == ssl.CERT_REQUIRED
    assert client_ssl_context().check_hostname


def test_one_file_may_hold_both(pem, tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(pem[0].read_bytes() + pem[1].read_bytes())
    assert server_ssl_context(both)


def test_bad_pem_files_are_refused_in_one_line(pem, tmp_path):
    (tmp_path / "empty.pem").touch()
    other = make_certificate(tmp_path, "other")
    locked = make_certificate(tmp_path, "locked", passphrase=b"secret")
    for arguments, complaint in (
        ((tmp_path / "missing.pem", pem[1]), "certificate .*missing.pem: cannot be read: No such file"),
        ((pem[0], tmp_path / "missing.key"), "key .*missing.key: cannot be read: No such file"),
        ((tmp_path / "empty.pem", pem[1]), "no PEM files of a certificate and of its own key"),
        ((pem[0], tmp_path / "empty.pem"), "no PEM files of a certificate and of its own key"),
        ((pem[0], other[1]), "key values mismatch"),
        ((pem[0], None), "no PEM files"),
        (locked, "has a pass phrase"),
    ):
        with refused(complaint) as error:
            server_ssl_context(*arguments)
        assert len(str(error.value).splitlines()) == 1
    with refused("cannot be read"):
        client_ssl_context(tmp_path / "missing.pem")
    with refused("no PEM file of certificates"):
        client_ssl_context(tmp_path / "empty.pem")


async def connect(pem, nursery, client, host="localhost"):
    """Say one word by TLS; return what comes back."""

    async def echo(stream):
        # A client that does not like our certificate goes away.
        with suppress(trio.BrokenResourceError):
            await stream.send_all(await stream.receive_some())

    listeners = await nursery.start(
        partial(trio.serve_ssl_over_tcp, echo, 0, server_ssl_context(*pem), host="127.0.0.1")
    )
    port = listeners[0].transport_listener.socket.getsockname()[1]
    try:
        tcp = await trio.open_tcp_stream("127.0.0.1", port)
        async with trio.SSLStream(tcp, client, server_hostname=host) as stream:
            await stream.send_all(b"word")
            return await stream.receive_some()
    finally:
        nursery.cancel_scope.cancel()


async def test_who_trusts_the_certificate_is_answered(pem, nursery):
    assert await connect(pem, nursery, client_ssl_context(pem[0])) == b"word"


@pytest.mark.parametrize("host", ["example.org", "127.0.0.2"])
async def test_another_name_is_not_trusted(pem, nursery, host):
    with pytest.raises(trio.BrokenResourceError) as broken:
        await connect(pem, nursery, client_ssl_context(pem[0]), host)
    assert isinstance(broken.value.__cause__, ssl.SSLCertVerificationError)


async def test_a_certificate_of_nobody_known_is_not_trusted(pem, nursery):
    with pytest.raises(trio.BrokenResourceError) as broken:
        await connect(pem, nursery, client_ssl_context())
    assert isinstance(broken.value.__cause__, ssl.SSLCertVerificationError)


async def test_an_old_client_is_not_answered(pem, nursery):
    old = client_ssl_context(pem[0])
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(trio.BrokenResourceError):
        await connect(pem, nursery, old)
