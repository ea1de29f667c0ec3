"""Whom to call, and as whom."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from secrets import token_hex

from kactors.engine.errors import UsageError
from kactors.rpc.address import Address, default_address, parse_address
from protocols.service.server import HelloParams

CONNECT_VARIABLE = "KACTORS_CONNECT"
CONNECT_S = 10.0
"""How long one attempt to connect and be greeted may take."""
RECONNECT_S = 10.0
READ_BYTES = 1 << 16


def service_address(address: Address | str | None = None) -> Address:
    """Return the address of the service: the given one, or $KACTORS_CONNECT, or where it listens by default.

    Raises:
        UsageError: it is no address.
    """
    if isinstance(address, Address):
        return address
    text = address or os.environ.get(CONNECT_VARIABLE)
    return parse_address(text) if text else default_address()


def greeting(client: str | None, token: str | None) -> HelloParams:
    """Return what hello says. A client without a name gets one: keys belong to it, and outlive a connection."""
    name = client or f"client-{token_hex(8)}"
    return HelloParams(client=name) if token is None else HelloParams(client=name, token=token)


def tls_context(address: Address, tls: ssl.SSLContext | Path | None) -> ssl.SSLContext | None:
    """Return what to speak TLS with; None: the address wants none.

    Args:
        address: whom.
        tls: a context, or a PEM file of the certificates to trust; None: those that the system trusts.

    Raises:
        UsageError: the file cannot be read, or holds no certificate.
    """
    if address.kind != "tls":
        return None
    if isinstance(tls, ssl.SSLContext):
        return tls
    try:
        context = ssl.create_default_context(cadata=None if tls is None else tls.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError, bytes that are no text are a ValueError
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "no PEM file of certificates"
        raise UsageError(f"certificate {tls}: {str(reason).replace('_', ' ').lower()}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
