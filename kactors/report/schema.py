"""JSON schemas of what goes in and comes out, generated from the models; kept under protocols/schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from protocols.result import Result
from protocols.scenario import Scenario
from protocols.stop import BoundExceeded, Deadlock, EventLimit, PredicateHeld, Quiescent, TimeReached, Violation

AnyStop = Annotated[
    TimeReached | EventLimit | PredicateHeld | Quiescent | Deadlock | Violation | BoundExceeded,
    Field(discriminator="kind"),
]
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def result_schema() -> dict[str, Any]:
    """Return the schema of one object that --json prints."""
    schema = Result.model_json_schema(mode="serialization")
    # The model declares the base of all reasons to stop; what is printed is one of its subclasses, by ``kind``.
    stop: dict[str, Any] = TypeAdapter[Any](AnyStop).json_schema(mode="serialization")
    definitions = schema["$defs"] | stop.pop("$defs")
    definitions.pop("Stop", None)
    schema["properties"]["stop"] = stop
    return _sorted(schema | {"$schema": DIALECT, "$defs": definitions})


def scenario_schema() -> dict[str, Any]:
    """Return the schema of a scenario file, as TOML reads it."""
    return _sorted(Scenario.model_json_schema() | {"$schema": DIALECT})


SCHEMAS: Mapping[str, Callable[[], dict[str, Any]]] = {"result": result_schema, "scenario": scenario_schema}


def _sorted(schema: dict[str, Any]) -> dict[str, Any]:
    return schema | {"$defs": dict(sorted(schema["$defs"].items()))}
