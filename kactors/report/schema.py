"""JSON schemas of what goes in and comes out, generated from the models; kept under protocols/schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from protocols.measurement import Estimate, Measurement
from protocols.result import Result
from protocols.scaling import Scaling
from protocols.scenario import Scenario
from protocols.search import Searched

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def result_schema() -> dict[str, Any]:
    """Return the schema of one object that --json prints."""
    schema = Result.model_json_schema(mode="serialization")
    return _sorted(schema | {"$schema": DIALECT})


def scenario_schema() -> dict[str, Any]:
    """Return the schema of a scenario file, as TOML reads it."""
    return _sorted(Scenario.model_json_schema() | {"$schema": DIALECT})


def search_schema() -> dict[str, Any]:
    """Return the schema of what a search prints as JSON."""
    return _sorted(Searched.model_json_schema(mode="serialization") | {"$schema": DIALECT})


def measurement_schema() -> dict[str, Any]:
    """Return the schema of what `run --precision` prints as JSON."""
    return _sorted(Measurement.model_json_schema(mode="serialization") | {"$schema": DIALECT})


def estimate_schema() -> dict[str, Any]:
    """Return the schema of one object that `compare --precision` and --replications print as JSON."""
    return _sorted(Estimate.model_json_schema(mode="serialization") | {"$schema": DIALECT})


def scaling_schema() -> dict[str, Any]:
    """Return the schema of one object that `scale` prints as JSON, a policy each."""
    return _sorted(Scaling.model_json_schema(mode="serialization") | {"$schema": DIALECT})


SCHEMAS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "estimate": estimate_schema,
    "measurement": measurement_schema,
    "result": result_schema,
    "scaling": scaling_schema,
    "scenario": scenario_schema,
    "search": search_schema,
}


def _sorted(schema: dict[str, Any]) -> dict[str, Any]:
    return schema | {"$defs": dict(sorted(schema["$defs"].items()))}
