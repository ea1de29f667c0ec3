"""Writes the API's reference, schema and golden vectors into protocols/: ``python -m kactors.rpc.reference``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import protocols
from kactors.rpc.docstrings import attribute_docs
from kactors.rpc.schemas import service_schema
from kactors.rpc.session import SERVER_ERROR
from kactors.rpc.tables import described, key_table, models_inside
from kactors.rpc.vectors import VECTOR_BYTES_MAX, VECTOR_DEPTH_MAX, vectors
from protocols.service.errors import ErrorCode
from protocols.service.methods import METHODS, NOTIFICATIONS, Method
from protocols.service.server import API_LEVEL

COMMAND = "python -m kactors.rpc.reference"
FOLDER = Path(protocols.__file__).parent

_INTRODUCTION = f"""\
# The service's protocol

API level {API_LEVEL}. Written by `{COMMAND}` from the models in `service/`: what is told here is what is checked.
The same as JSON Schema: [schema/service.json](schema/service.json). Messages and their bytes, for writing a client in
any language: [vectors/](vectors/).

## Bytes

[MessagePack-RPC](https://github.com/msgpack-rpc/msgpack-rpc/blob/master/spec.md) over a stream: messages follow each
other without frames, and may be cut anywhere.

| message | |
|---|---|
| `[0, msgid, method, params]` | a request; msgid: 0 to 2^32 - 1, not one that waits for its answer |
| `[1, msgid, nil, result]` | its answer |
| `[1, msgid, [code, message, data], nil]` | its answer, when it failed |
| `[2, method, params]` | to a client: something told. From a client: a request whose answer it does not want |

- `params` is `[]` or `[{{...}}]`: one map, keys by name. A key that a method does not know is refused; in results,
  ignore keys that you do not know.
- Strings are `str` and UTF-8, also in the old raw form. `bin` is no string. Extension types are not used. Keys of maps
  are strings; of equal keys the last counts.
- Values are checked strictly: `"1"`, `1.0` and `true` are no ints. NaN and infinities are refused.
- Answers may come in another order than their requests.
- Nothing else than `hello` can be asked before it is answered, where a token is needed.
- A message that is no MessagePack-RPC, too long, too deep (arrays and maps inside each other, the message's own array
  counted) or too slow ends the connection. The error answers the request if its msgid could be read and is free;
  otherwise it comes as `[2, "{SERVER_ERROR}", [[code, message, data]]]`. Requests that came before are carried out, but
  not answered any more.

## A conversation

    -> [0, 1, "hello", [{{"client": "probe"}}]]
    <- [1, 1, nil, {{"service": "kactors", "api_level": {API_LEVEL}, "limits": {{...}}, ...}}]
    -> [0, 2, "sim.create", [{{"scenario": {{"workload": "ebizzy"}}, "key": "mine"}}]]
    <- [1, 2, nil, {{"session": "s1", "state": "paused", "sequence": 0, ...}}]
    -> [0, 3, "sim.subscribe", [{{"session": "s1", "topics": ["counters"], "credit": 100}}]]
    <- [1, 3, nil, {{"subscription": 1, ...}}]
    -> [0, 4, "sim.run_until", [{{"session": "s1", "until_ns": 5000000}}]]
    <- [2, "sim.event", [{{"subscription": 1, "number": 1, "topic": "counters", ...}}]]
    <- [1, 4, nil, {{"session": "s1", "reason": "time", ...}}]
    -> [0, 5, "sim.stats", [{{"sesion": "s1"}}]]
    <- [1, 5, [201, "sim.stats: sesion: unknown key; the keys here are session (and 1 more, ...)", {{...}}], nil]
"""


def readme() -> str:
    """Return the reference as Markdown."""
    lines = [_INTRODUCTION, "## Methods", "", "| method | since | |", "|---|---|---|"]
    for name, method in METHODS.items():
        lines.append(f"| [`{name}`](#{_anchor(name)}) | {method.since} | {method.summary} |")
    for method in METHODS.values():
        lines += ["", *_method(method)]
    lines += ["", "## Notifications"]
    for name, told in NOTIFICATIONS.items():
        lines += ["", f"### {name}", "", described(told), "", *key_table(told, asked=False)]
    lines += ["", f"### {SERVER_ERROR}", "", "`[code, message, data]`, the last that is said. See Bytes."]
    lines += [
        "",
        "## Errors",
        "",
        "`[code, message, data]`. Programs go by the code or its class (its hundreds), never by the text.",
    ]
    lines += ["", *_errors(), "", "## Models"]
    for model in _inner_models():
        lines += ["", f"### {model.__name__}", "", described(model), "", *key_table(model)]
    return "\n".join(lines) + "\n"


def _method(method: Method) -> Iterator[str]:
    yield from (f"### {method.name}", "", f"{method.summary} Since api level {method.since}.", "")
    yield from (f"Params: {described(method.params)}", "", *key_table(method.params), "")
    yield from (
        f"Result, {method.result.__name__}: {described(method.result)}",
        "",
        *key_table(method.result, asked=False),
    )


def _errors() -> Iterator[str]:
    meanings = attribute_docs(ErrorCode)
    yield from ("| code | name | class | |", "|---|---|---|---|")
    for code in ErrorCode:
        yield f"| {int(code)} | {code.name} | {code.error_class} | {meanings[code.name]} |"


def _inner_models() -> list[type[BaseModel]]:
    """Return the models that are inside of others, by name."""
    outer: list[type[BaseModel]] = [*NOTIFICATIONS.values()]
    for method in METHODS.values():
        outer += [method.params, method.result]
    found = {inside.__name__: inside for model in outer for inside in models_inside(model)}
    return [found[name] for name in sorted(found)]


def _anchor(heading: str) -> str:
    return heading.replace(".", "")


def files() -> dict[str, str]:
    """Return what is to be in protocols/, by path."""
    told = {f"vectors/{name}.json": _json_lines(many) for name, many in vectors().items()}
    about = {"refused_with": {"message_bytes_max": VECTOR_BYTES_MAX, "depth_max": VECTOR_DEPTH_MAX}}
    return {
        "README.md": readme(),
        "schema/service.json": json.dumps(service_schema(), indent=2) + "\n",
        "vectors/limits.json": json.dumps(about) + "\n",
        **told,
    }


def _json_lines(many: list[dict[str, Any]]) -> str:
    return "[\n" + ",\n".join(json.dumps(one) for one in many) + "\n]\n"


def main() -> None:
    """Write the files."""
    for name, text in files().items():
        path = FOLDER / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
