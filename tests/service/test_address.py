"""Addresses: every form is read, what is printed is read back as the same, and nonsense is refused in one line."""

import ipaddress
import string
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from kactors.engine.errors import UsageError
from kactors.rpc.address import Address, default_address, default_store, parse_address

NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]([a-z0-9-]{0,20}[a-z0-9])?){0,3}", fullmatch=True)
HOSTS = NAMES | st.ip_addresses().map(str)
PORTS = st.integers(0, 65535)
PATHS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(lambda p: p[:2] != "//")
ADDRESSES = st.builds(lambda path: Address("unix", path), PATHS) | st.builds(
    lambda kind, host, port: Address(kind, "", host, port), st.sampled_from(["tcp", "tls"]), HOSTS, PORTS
)


def refusal(text):
    try:
        parse_address(text)
    except UsageError as error:
        return str(error)
    return ""


@given(ADDRESSES)
def test_what_is_printed_is_read_back(address):
    assert parse_address(str(address)) == address


@given(st.text(max_size=40) | st.text(string.ascii_lowercase + "0123456789:/[].", max_size=40))
def test_any_text_is_an_address_or_refused_in_one_line(text):
    if complaint := refusal(text):
        assert len(complaint.splitlines()) == 1
    else:
        address = parse_address(text)
        assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("/run/kactors.sock", "unix:/run/kactors.sock"),
        ("unix:/run/kactors.sock", "unix:/run/kactors.sock"),
        ("unix:///run/kactors.sock", "unix:/run/kactors.sock"),
        ("unix:here.sock", "unix:here.sock"),
        ("UNIX:/A:b", "unix:/A:b"),
        ("localhost:7000", "tcp:localhost:7000"),
        ("tcp:localhost:0", "tcp:localhost:0"),
        ("tcp://Sim.Example.ORG:07000", "tcp:sim.example.org:7000"),
        ("tls:10.0.0.1:7000", "tls:10.0.0.1:7000"),
        ("TLS://[::1]:7000", "tls:[::1]:7000"),
        ("[0:0::1]:65535", "tcp:[::1]:65535"),
        ("tcp:[fe80::1%eth0]:7000", "tcp:[fe80::1%eth0]:7000"),
    ],
)
def test_every_form_is_read(text, canonical):
    assert str(parse_address(text)) == canonical


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "the port is missing"),
        ("localhost", "the port is missing"),
        ("tcp:7000", "the port is missing"),
        ("tcp:[::1]", "the port is missing"),
        ("kactors.sock", "say unix:/path, tcp:host:port or tls:host:port"),
        ("unix:", "the path is missing"),
        ("unix://host/path", "a socket file has no host; say .unix:/host/path"),
        ("unix:/a\0b", "NUL"),
        ("localhost:", "the port is ''"),
        ("localhost:65536", "from 0 to 65535"),
        ("localhost:-1", "the port is '-1'"),
        ("localhost:+1", "the port is"),
        ("localhost:٣", "the port is"),
        ("localhost:" + "9" * 5000, "the port is"),
        ("localhost:http", "the port is 'http'"),
        (":7000", "0.0.0.0 all its networks"),
        ("::1:7000", r"stands in brackets, such as \[::1\]:7000"),
        ("[127.0.0.1]:7000", "no IPv6 address"),
        ("[localhost]:7000", "no IPv6 address"),
        ("999.1.1.1:7000", "no IPv4 address"),
        ("127.1:7000", "no IPv4 address"),
        ("0x7f000001:7000", "no IPv4 address"),
        ("a..b:7000", "neither a host's name nor an IP address"),
        ("a b:7000", "neither"),
        ("*:7000", "neither"),
        ("a" * 64 + ":7000", "neither"),
        ("a." * 127 + "a:7000", "neither"),
    ],
)
def test_nonsense_is_refused(text, complaint):
    with pytest.raises(UsageError, match=complaint):
        parse_address(text)


@pytest.mark.parametrize("text", ["unix:/x", "localhost:1", "127.0.0.1:1", "tls:127.255.3.4:1", "[::1]:1"])
def test_loopback(text):
    assert parse_address(text).is_loopback


@pytest.mark.parametrize(
    "text", ["0.0.0.0:1", "[::]:1", "128.0.0.1:1", "localhost.example.org:1", "[::ffff:127.0.0.1]:1", "[fe80::1]:1"]
)
def test_no_loopback(text):
    assert not parse_address(text).is_loopback


@given(st.ip_addresses(v=4))
def test_a_network_is_loopback_as_the_standard_library_says(ip):
    assert Address("tcp", "", str(ip), 1).is_loopback == ipaddress.ip_address(ip).is_loopback


def test_defaults_follow_the_environment(monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert str(default_address()) == "unix:/run/user/7/kactors.sock"
    assert default_store() == Path("/state/kactors/kactors.sqlite")


@pytest.mark.parametrize("value", [None, "", "relative/folder"])
def test_defaults_without_an_environment_are_in_the_state_folder(monkeypatch, value):
    monkeypatch.setenv("HOME", "/users/me")
    for variable in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
        if value is None:
            monkeypatch.delenv(variable, raising=False)
        else:
            monkeypatch.setenv(variable, value)
    assert str(default_address()) == "unix:/users/me/.local/state/kactors/kactors.sock"
    assert default_store() == Path("/users/me/.local/state/kactors/kactors.sqlite")
