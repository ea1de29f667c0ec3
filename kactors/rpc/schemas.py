"""The API as data: what ``api.info`` answers, and the JSON Schema of everything that is said."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from kactors.rpc.docstrings import attribute_docs
from kactors.rpc.session import SERVER_ERROR
from protocols.service.errors import ErrorCode
from protocols.service.methods import METHODS, NOTIFICATIONS
from protocols.service.server import API_LEVEL, ApiInfo, MethodInfo

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ERROR_SCHEMA: Mapping[str, Any] = {
    "description": "A failure: code, one line of text, and more for programs.",
    "type": "array",
    "prefixItems": [{"type": "integer"}, {"type": "string"}, {"type": "object"}],
    "items": False,
    "minItems": 3,
}


@functools.cache
def api_info() -> ApiInfo:
    """Return what ``api.info`` answers."""
    methods = tuple(
        MethodInfo(
            name=method.name,
            since=method.since,
            summary=method.summary,
            params=method.params.model_json_schema(),
            result=method.result.model_json_schema(mode="serialization"),
        )
        for method in METHODS.values()
    )
    notifications: dict[str, dict[str, Any]] = {
        name: model.model_json_schema(mode="serialization") for name, model in NOTIFICATIONS.items()
    }
    return ApiInfo(
        api_level=API_LEVEL,
        methods=methods,
        errors={code.name: int(code) for code in ErrorCode},
        notifications=notifications | {SERVER_ERROR: dict(ERROR_SCHEMA)},
    )


def service_schema() -> dict[str, Any]:
    """Return one JSON Schema document: ``$defs`` has every model, ``methods`` and ``notifications`` point into it."""
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = []
    for method in METHODS.values():
        models += [(method.params, "validation"), (method.result, "serialization")]
    models += [(model, "serialization") for model in NOTIFICATIONS.values()]
    references, schema = models_json_schema(list(dict.fromkeys(models)))
    methods = {
        name: {
            "since": method.since,
            "summary": method.summary,
            "params": references[method.params, "validation"],
            "result": references[method.result, "serialization"],
        }
        for name, method in METHODS.items()
    }
    notifications = {name: references[model, "serialization"] for name, model in NOTIFICATIONS.items()}
    meanings = attribute_docs(ErrorCode)
    return {
        "$schema": DIALECT,
        "title": "The kactors service",
        "api_level": API_LEVEL,
        "methods": dict(sorted(methods.items())),
        "notifications": dict(sorted((notifications | {SERVER_ERROR: {"$ref": "#/$defs/Error"}}).items())),
        "errors": {
            code.name: {"code": int(code), "class": code.error_class, "meaning": meanings[code.name]}
            for code in ErrorCode
        },
        "$defs": dict(sorted((schema["$defs"] | {"Error": ERROR_SCHEMA}).items())),
    }
