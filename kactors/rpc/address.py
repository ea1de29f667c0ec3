"""Where a service listens and a client calls: unix:/path, tcp:host:port, tls:host:port, and where by default."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kactors.engine.errors import UsageError

PORT_MAX = 65_535
HOST_LENGTH_MAX = 253

_FORMS = "say unix:/path, tcp:host:port or tls:host:port"
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_IPV4_LOOPBACK = ipaddress.ip_network("127.0.0.0/8")
_IPV6_LOOPBACK = ipaddress.ip_address("::1")


@dataclass(frozen=True)
class Address:
    """One place to listen or to call; ``str()`` gives the text that ``parse_address`` reads back as the same.

    Attributes:
        kind: a socket file, TCP, or TLS over TCP.
        path: of the socket file; empty for TCP and TLS.
        host: a name in lower case, or an IP address as ``ipaddress`` prints it, without brackets; empty for a file.
        port: 0 lets the kernel choose one, which only a listener can want.
    """

    kind: Literal["unix", "tcp", "tls"]
    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.kind == "unix":
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind}:{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can call it: a socket file, localhost, 127.0.0.0/8 or ::1."""
        if self.kind == "unix" or self.host == "localhost":
            return True
        try:
            ip = ipaddress.ip_address(self.host)
        except ValueError:
            return False
        # Not ip.is_loopback: what that says of IPv4 inside IPv6 depends on the version of Python.
        return ip in _IPV4_LOOPBACK or ip == _IPV6_LOOPBACK


def parse_address(text: str) -> Address:
    """Read ``unix:/path``, ``/path``, ``tcp:host:port``, ``host:port`` or ``tls:host:port``; ``tcp://`` is as good.

    Raises:
        UsageError: it is none of these, or its host or port cannot be.
    """
    if text.startswith("/"):
        return _unix(text, text)
    scheme, colon, rest = text.partition(":")
    match scheme.lower():
        case "unix" if colon:
            return _unix(rest, text)
        case "tcp" if colon:
            return Address("tcp", "", *_host_and_port(rest.removeprefix("//"), text))
        case "tls" if colon:
            return Address("tls", "", *_host_and_port(rest.removeprefix("//"), text))
        case _:
            return Address("tcp", "", *_host_and_port(text, text))


def _unix(path: str, text: str) -> Address:
    if not path:
        raise UsageError(f"address {text!r}: the path is missing; {_FORMS}")
    if "\0" in path:
        raise UsageError(f"address {text!r}: no path holds a NUL character")
    if path.startswith("//"):
        if not path.startswith("///"):
            raise UsageError(f"address {text!r}: a socket file has no host; say {'unix:/' + path.lstrip('/')!r}")
        path = "/" + path.lstrip("/")
    return Address("unix", path)


def _host_and_port(rest: str, text: str) -> tuple[str, int]:
    host, colon, port = rest.rpartition(":")
    if not colon or rest.endswith("]"):
        raise UsageError(f"address {text!r}: the port is missing; {_FORMS}")
    if not (port.isascii() and port.isdigit() and len(port) <= len(str(PORT_MAX)) and int(port) <= PORT_MAX):
        raise UsageError(f"address {text!r}: the port is {port!r}, not a number from 0 to {PORT_MAX}; {_FORMS}")
    return _host(host, text), int(port)


def _host(host: str, text: str) -> str:
    if not host:
        raise UsageError(f"address {text!r}: the host is missing; 127.0.0.1 is this machine, 0.0.0.0 all its networks")
    if host.startswith("[") and host.endswith("]"):
        return _ip(host[1:-1], 6, text)
    if ":" in host:
        raise UsageError(f"address {text!r}: an IPv6 address stands in brackets, such as [::1]:7000")
    labels = host.lower().split(".")
    # The resolver takes 127.1 and 0x7f000001 for IPv4 addresses; only the plain form tells a reader which one it is.
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]):
        return _ip(host, 4, text)
    if len(host) > HOST_LENGTH_MAX or not all(_LABEL.fullmatch(label) for label in labels):
        raise UsageError(f"address {text!r}: {host!r} is neither a host's name nor an IP address")
    return host.lower()


def _ip(host: str, version: int, text: str) -> str:
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        ip = None
    if ip is None or ip.version != version:
        raise UsageError(f"address {text!r}: {host!r} is no IPv{version} address")
    return str(ip)


def default_address() -> Address:
    """Return where the service listens unless told otherwise: $XDG_RUNTIME_DIR, or else the user's state folder."""
    if runtime := _folder("XDG_RUNTIME_DIR"):
        return Address("unix", str(runtime / "kactors.sock"))
    return Address("unix", str(Path.home() / ".local/state/kactors/kactors.sock"))


def default_store() -> Path:
    """Return where sessions are kept unless told otherwise: $XDG_STATE_HOME/kactors, or ~/.local/state/kactors."""
    state = _folder("XDG_STATE_HOME") or Path.home() / ".local/state"
    return state / "kactors" / "kactors.sqlite"


def _folder(variable: str) -> Path | None:
    # The XDG rules: a relative path is to be ignored.
    value = os.environ.get(variable, "")
    return Path(value) if value.startswith("/") else None
