"""What monitoring asks over HTTP: GET /metrics in Prometheus' text, GET /healthz as JSON."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import trio
from hypercorn.config import Config, Sockets
from hypercorn.logging import Logger
from hypercorn.trio import serve
from hypercorn.typing import Framework, ResponseSummary, WWWScope
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kactors.engine.errors import UsageError
from kactors.rpc.address import Address
from kactors.service.logs import logger
from kactors.service.metrics import CONTENT_TYPE, Metrics

READ_TIMEOUT_S = 10
SEND_TIMEOUT_MS = 1_000
_BACKLOG = 64
_OK, _UNAVAILABLE = 200, 503


@dataclass(frozen=True)
class Health:
    """Whether the service can do its work.

    Attributes:
        reasons: why it cannot, a line each; none: it can.
        details: what else to tell; JSON values.
    """

    reasons: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether there is nothing against it."""
        return not self.reasons


async def serve_http(
    metrics: Metrics,
    health: Callable[[], Health],
    address: Address,
    *,
    allow_remote: bool = False,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer until cancelled; reports the port that it listens on when it does.

    Args:
        metrics: shown at /metrics.
        health: asked at each GET of /healthz, on the Trio thread.
        address: ``tcp:``; port 0: the kernel chooses.
        allow_remote: other machines may ask, although nobody is asked who he is.
        task_status: of ``nursery.start``; the port.

    Raises:
        UsageError: the address is not TCP, is not of this machine, or is taken.
    """
    with _listener(address, allow_remote=allow_remote) as listener:
        port: int = listener.getsockname()[1]
        app = cast("Framework", _app(metrics, health))
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(serve, app, _Config(listener), shutdown_trigger=trio.sleep_forever))
            task_status.started(port)


def _app(metrics: Metrics, health: Callable[[], Health]) -> Starlette:
    async def show_metrics(_request: Request) -> Response:
        return Response(metrics.text(), headers={"content-type": CONTENT_TYPE})

    async def show_health(_request: Request) -> Response:
        now = health()
        if now.ok:
            return JSONResponse({**now.details, "status": "ok"}, _OK)
        return JSONResponse({**now.details, "status": "failing", "reasons": list(now.reasons)}, _UNAVAILABLE)

    return Starlette(routes=[Route("/metrics", show_metrics), Route("/healthz", show_health)])


def _listener(address: Address, *, allow_remote: bool) -> socket.socket:
    if address.kind != "tcp":
        raise UsageError(f"metrics address {address}: metrics are served over plain HTTP; say tcp:127.0.0.1:PORT")
    if not (address.is_loopback or allow_remote):
        raise UsageError(
            f"metrics address {address}: other machines could read it, and metrics ask nobody who he is; "
            f"say tcp:127.0.0.1:{address.port}"
        )
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bound_sending(listener)
        listener.bind((address.host, address.port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise UsageError(f"metrics address {address}: cannot listen there: {error.strerror}") from error
    return listener


def _bound_sending(listener: socket.socket) -> None:
    # Hypercorn shields its sending from cancellation, so a client that reads nothing could hold up our end for ever.
    # Connections inherit this from the listener; where the kernel does not know it, only such a client is slow.
    if option := getattr(socket, "TCP_USER_TIMEOUT", None):
        listener.setsockopt(socket.IPPROTO_TCP, option, SEND_TIMEOUT_MS)


class _ToStructlog(Logger):
    """Hypercorn's log: what went wrong goes into ours, what went well nowhere."""

    async def access(self, request: WWWScope, response: ResponseSummary, request_time: float) -> None:
        """Say nothing: who scrapes every few seconds is no news."""

    async def debug(self, message: str, *args: Any, **_kwargs: Any) -> None:
        """Say nothing."""

    async def info(self, message: str, *args: Any, **_kwargs: Any) -> None:
        """Say nothing: where it listens is told by who started it."""

    async def warning(self, message: str, *args: Any, **_kwargs: Any) -> None:
        """Log a warning."""
        logger("http").warning(message, arguments=args)

    async def error(self, message: str, *args: Any, **_kwargs: Any) -> None:
        """Log an error."""
        logger("http").error(message, arguments=args)

    async def critical(self, message: str, *args: Any, **_kwargs: Any) -> None:
        """Log an error."""
        logger("http").error(message, arguments=args)

    async def exception(self, message: str, *args: Any, **_kwargs: Any) -> None:
        """Log the exception that is being handled."""
        logger("http").exception(message, arguments=args)


class _Config(Config):
    """How Hypercorn serves our socket; the socket stays ours to close.

    Args:
        listener: the socket that listens.
    """

    errorlog = None
    logger_class = _ToStructlog
    graceful_timeout = 0.5
    keep_alive_timeout = READ_TIMEOUT_S
    read_timeout = READ_TIMEOUT_S
    include_server_header = False

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener

    def create_sockets(self) -> Sockets:
        """Return our socket; Hypercorn's own would be inherited by worker processes."""
        return Sockets([], [self._listener], [])
