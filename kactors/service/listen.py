"""The rules of listening: who may be let in where, over what, and whether a socket file is in somebody's use."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kactors.engine.errors import UsageError
from kactors.rpc.address import Address, default_address
from kactors.service.tokens import TokenFile

UNIX_PATH_BYTES_MAX = 107
"""What the kernel's sockaddr_un holds, less the NUL at its end."""


@dataclass(frozen=True)
class Listening:
    """Where the service listens, checked: nothing of it is open yet.

    Attributes:
        addresses: at least one, all different.
        tokens: who may call over TCP; None: anybody on this machine.
        tls: for the ``tls:`` addresses; None when there are none.
    """

    addresses: tuple[Address, ...]
    tokens: TokenFile | None = None
    tls: ssl.SSLContext | None = None

    def needs_token(self, address: Address) -> bool:
        """Whether who calls there must say hello with a token; a socket file's mode tells who may call it."""
        return address.kind != "unix" and self.tokens is not None


def plan_listening(
    addresses: Sequence[Address],
    *,
    tokens: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
) -> Listening:
    """Check where the service is to listen, and clear away socket files that nobody serves any more.

    Args:
        addresses: where; the default address's folder is made when it is missing, no other is.
        tokens: the token file.
        certificate: PEM file of the certificate and its chain.
        key: PEM file of its private key, unless the certificate's file holds it.

    Raises:
        UsageError: nothing to listen at, an address twice, a network without TLS and tokens, TLS without a certificate
            or the reverse, a bad token file, certificate or key, or a socket file that cannot be made.
    """
    if not addresses:
        raise UsageError("there is no address to listen at; say unix:/path, tcp:host:port or tls:host:port")
    for position, address in enumerate(addresses):
        if address in addresses[:position] and (address.kind == "unix" or address.port):
            raise UsageError(f"the address {address} is given twice")
        _check_network(address, has_tokens=tokens is not None)
    tls = _tls(addresses, certificate, key)
    token_file = None if tokens is None else TokenFile(tokens)
    paths = [address.path for address in addresses if address.kind == "unix"]
    # All are looked at before any is removed, so that a refusal leaves everything as it was.
    stale = [path for path in paths if _is_stale(path)]
    for path in stale:
        Path(path).unlink(missing_ok=True)
    return Listening(tuple(addresses), token_file, tls)


def _check_network(address: Address, *, has_tokens: bool) -> None:
    if address.is_loopback:
        return
    if address.kind != "tls":
        raise UsageError(
            f"address {address}: other machines could call it, and would send tokens in the clear; "
            f"say tls:{str(address).partition(':')[2]} with a certificate and a token file, or listen on 127.0.0.1"
        )
    if not has_tokens:
        raise UsageError(f"address {address}: other machines could call it, so it needs a token file")


def _tls(addresses: Sequence[Address], certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    encrypted = [address for address in addresses if address.kind == "tls"]
    if encrypted and certificate is None:
        raise UsageError(f"address {encrypted[0]}: TLS needs a certificate and its key")
    if certificate is None:
        if key is not None:
            raise UsageError(f"the key {key} is given without a certificate")
        return None
    if not encrypted:
        raise UsageError(f"the certificate {certificate} is given, but no address says tls:host:port")
    return server_ssl_context(certificate, key)


def _is_stale(path: str) -> bool:
    length = len(os.fsencode(path))
    if length > UNIX_PATH_BYTES_MAX:
        raise UsageError(f"socket {path}: the path has {length} bytes, and a socket's at most {UNIX_PATH_BYTES_MAX}")
    _check_folder(path)
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UsageError(f"socket {path}: {error.strerror}") from error
    if not stat.S_ISSOCK(status.st_mode):
        raise UsageError(f"socket {path}: something that is no socket is there; remove it or choose another path")
    if _is_served(path):
        raise UsageError(f"socket {path}: somebody serves it already; stop that service or choose another path")
    return True


def _check_folder(path: str) -> None:
    folder = Path(path).parent
    if path == default_address().path and not folder.exists():
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"socket {path}: the folder {folder} cannot be made: {error.strerror}") from error
    if not folder.is_dir():
        raise UsageError(f"socket {path}: there is no folder {folder}; make it or choose another path")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"socket {path}: nothing can be made in the folder {folder}; its mode forbids us")


def _is_served(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        # A server whose backlog is full is still one; without this the call would wait for it.
        caller.setblocking(False)
        # Only a refusal says that nobody is there; that we may not call, for one, does not.
        return caller.connect_ex(path) not in {errno.ECONNREFUSED, errno.ENOENT}


def server_ssl_context(certificate: Path, key: Path | None = None) -> ssl.SSLContext:
    """Return what the service speaks TLS with: 1.2 or newer, without compression.

    Args:
        certificate: PEM file of the certificate and its chain.
        key: PEM file of its private key; None: it is in the certificate's file.

    Raises:
        UsageError: a file cannot be read, is no PEM, has a pass phrase, or the key is another certificate's.
    """

    def passphrase() -> str:
        raise UsageError(f"the key {key or certificate} has a pass phrase; a service has nobody to ask")

    context = _modern(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    for path in (certificate, key or certificate):
        _check_readable("certificate" if path == certificate else "key", path)
    try:
        context.load_cert_chain(certificate, key, password=passphrase)
    except (ssl.SSLError, OSError) as error:
        what = f"certificate {certificate}" + (f" and key {key}" if key else "")
        raise UsageError(f"{what}: no PEM files of a certificate and of its own key: {_reason(error)}") from error
    return context


def client_ssl_context(cafile: Path | None = None) -> ssl.SSLContext:
    """Return what a client speaks TLS with: it checks the service's certificate and name.

    Args:
        cafile: PEM file of the certificates to trust, instead of those that the system trusts.

    Raises:
        UsageError: the file cannot be read or holds no certificate.
    """
    if cafile is None:
        return _modern(ssl.create_default_context())
    _check_readable("certificate", cafile)
    try:
        return _modern(ssl.create_default_context(cafile=str(cafile)))
    except (ssl.SSLError, OSError) as error:
        raise UsageError(f"certificate {cafile}: no PEM file of certificates: {_reason(error)}") from error


def _modern(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION
    return context


def _check_readable(what: str, path: Path) -> None:
    # ssl raises the same FileNotFoundError, without a name, for whichever of its files is missing.
    try:
        path.read_bytes()
    except OSError as error:
        raise UsageError(f"{what} {path}: cannot be read: {error.strerror}") from error


def _reason(error: OSError) -> str:
    return (getattr(error, "reason", None) or str(error)).replace("_", " ").lower()
