"""Golden vectors: messages and their bytes, for whoever writes a client in another language."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from kactors.rpc import codec
from kactors.rpc.samples import sample
from kactors.rpc.session import SERVER_ERROR
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.methods import METHODS, NOTIFICATIONS

Vector = dict[str, Any]
VECTOR_BYTES_MAX = 2**20
VECTOR_DEPTH_MAX = 32
"""The limits that the vectors under ``refused`` are refused with."""


def vectors() -> dict[str, list[Vector]]:
    """Return the vectors by file: name, what it is in words, the message as JSON, its bytes in hex."""
    return {
        "requests": list(_requests()),
        "responses": list(_responses()),
        "errors": list(_errors()),
        "notifications": list(_notifications()),
        "refused": list(_refused()),
    }


def _vector(name: str, words: str, message: list[Any]) -> Vector:
    return {"name": name, "words": words, "message": message, "hex": codec.pack(message).hex()}


def _requests() -> Iterator[Vector]:
    msgids = itertools.count(1)
    for name, method in METHODS.items():
        least, most = (sample(method.params, every_key=every_key) for every_key in (False, True))
        params = [least] if least else []
        yield _vector(name, f"a request with what it needs: {method.summary}", [0, next(msgids), name, params])
        if most != least:
            yield _vector(f"{name}, every key", "the same with every key", [0, next(msgids), name, [most]])
    yield _vector("the greatest msgid", "4 bytes, without a sign", [0, codec.MSGID_MAX, "server.stats", []])


def _responses() -> Iterator[Vector]:
    for msgid, (name, method) in enumerate(METHODS.items(), start=1):
        result = method.result.model_validate(sample(method.result)).model_dump(mode="json")
        yield _vector(name, f"an answer to {name}", [1, msgid, None, result])


def _errors() -> Iterator[Vector]:
    for msgid, code in enumerate(ErrorCode, start=1):
        error = ServiceError(code, f"what is wrong: {code.name}", {"key": "value"}).to_wire()
        yield _vector(code.name, f"an error of class {code.error_class}", [1, msgid, error, None])


def _notifications() -> Iterator[Vector]:
    for name, model in NOTIFICATIONS.items():
        yield _vector(name, "told by the service", [2, name, [sample(model)]])
    error = ServiceError(ErrorCode.TOO_SLOW, "half a message came").to_wire()
    yield _vector(
        SERVER_ERROR, "an error that belongs to no request; the connection is then closed", [2, SERVER_ERROR, [error]]
    )
    yield _vector("sim.pause", "asked by a client that wants no answer", [2, "sim.pause", [{"session": "s1"}]])


def _refused() -> Iterator[Vector]:
    """Yield bytes that no decoder may take, with the code that they are refused with."""
    begun = "940001a168"  # [0, 1, "h", and the params have to follow
    for name, code, text in (
        ("an int", ErrorCode.MALFORMED, "01"),
        ("HTTP", ErrorCode.MALFORMED, b"GET / HTTP/1.1\r\n".hex()),
        ("a byte that begins nothing", ErrorCode.MALFORMED, "c1"),
        ("an extension type", ErrorCode.MALFORMED, "940001a168" + "91d40100"),
        ("a timestamp", ErrorCode.MALFORMED, "940001a168" + "91d6ff00000000"),
        ("no UTF-8", ErrorCode.MALFORMED, "940001a1ff90"),
        ("an int as a key", ErrorCode.MALFORMED, begun + "918101c0"),
        ("no such type of message", ErrorCode.MALFORMED, "940301a16890"),
        ("true instead of 1", ErrorCode.MALFORMED, "94c301c0c0"),
        ("a msgid below 0", ErrorCode.MALFORMED, "9400ffa16890"),
        ("a msgid of 33 bits", ErrorCode.MALFORMED, "9400cf0000000100000000a16890"),
        ("params that are a map", ErrorCode.MALFORMED, begun + "80"),
        ("4 GiB are announced", ErrorCode.TOO_LARGE, begun + "91c6ffffffff"),
        ("2**32 - 1 elements are announced", ErrorCode.TOO_LARGE, begun + "ddffffffff"),
        ("33 arrays inside each other", ErrorCode.TOO_DEEP, begun + "91" * 32),
    ):
        yield {"name": name, "words": f"refused as {code.name}", "code": int(code), "hex": text}
