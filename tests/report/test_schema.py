"""The published schemas are those of the models, and real output obeys them; docs/json.md has every key."""

import json
import re
import tomllib
import types
import typing
from pathlib import Path

import jsonschema
import pytest
from pydantic import BaseModel

from kactors import Scenario, run
from kactors.report.schema import SCHEMAS
from protocols.result import Result
from protocols.stop import (
    AnyStop,
    BoundExceeded,
    EventLimit,
    Livelock,
    PredicateHeld,
    Quiescent,
    Stop,
    TimeReached,
    Violation,
)
from tests.report.samples import DEADLOCK, sample

ROOT = Path(__file__).parents[2]
STOPS = [
    TimeReached(at=1),
    EventLimit(events=1),
    PredicateHeld(),
    Quiescent(),
    DEADLOCK,
    Livelock(text="two states again and again"),
    Violation(property="p", text="t", story=("a", "b")),
    BoundExceeded(bound="b", limit=1, value=2, cause="c"),
]


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_stored_schema_is_the_models(name):
    stored = ROOT / "protocols" / "schema" / f"{name}.json"
    again = f"kactors schema {name} > protocols/schema/{name}.json"
    assert json.loads(stored.read_text()) == SCHEMAS[name](), f"the model has changed: {again}"


@pytest.mark.parametrize("name", SCHEMAS)
def test_it_is_a_schema(name):
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name]())


def valid(value, name="result"):
    return jsonschema.Draft202012Validator(SCHEMAS[name]()).is_valid(value)


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.kind)
def test_every_reason_to_stop_is_in_the_schema(stop):
    value = json.loads(json.dumps(sample(stop=stop).to_json()))
    assert valid(value)
    assert value["stop"] == stop.model_dump(mode="json")
    assert not valid(value | {"stop": value["stop"] | {"kind": "bored"}})
    assert not valid(value | {"stop": value["stop"] | {"what": 1}})


def test_no_reason_is_forgotten():
    in_schema = set(typing.get_args(typing.get_args(AnyStop)[0]))
    assert in_schema == set(Stop.__subclasses__()) == {type(stop) for stop in STOPS}


def test_a_real_run_obeys_the_schema():
    result = run(Scenario(machine="small", options={"n": 1, "s": 4096}, until_ns=100_000))
    value = json.loads(json.dumps(result.to_json()))
    assert valid(value)
    assert not valid({key: part for key, part in value.items() if key != "events"})
    assert not valid(value | {"surprise": 1})


def test_a_scenario_file_obeys_its_schema():
    text = 'workload = "ebizzy"\ncpus = 4\n[options]\nm = true\nt = 3\n[bounds]\non_limit = "classic"\n'
    assert valid(tomllib.loads(text), "scenario")
    assert not valid(tomllib.loads(text.replace("cpus", "cpu")), "scenario")
    assert not valid(tomllib.loads(text.replace("classic", "sleep")), "scenario")


def keys(model, prefix=""):
    """Every path of a model: ``a.b``, ``a[].b``, ``a.*``."""
    for name, field in model.model_fields.items():
        yield from paths(field.annotation, prefix + name)


def paths(annotation, path):
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        yield from paths(parts[0], path)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from keys(annotation, f"{path}.")
    elif origin is dict:
        yield from paths(parts[1], f"{path}.*")
    elif origin is tuple:
        yield from paths(parts[0], f"{path}[]")
    elif origin in (typing.Union, types.UnionType) and types.NoneType in parts:
        inner = next(part for part in parts if part is not types.NoneType)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield path
        yield from paths(inner, path)
    elif origin in (typing.Union, types.UnionType):
        for part in parts:
            yield from paths(part, path)
    else:
        yield path


def documented():
    rows = re.findall(r"^\| `([^`]+)` \| (.+?) \| (.+?) \|$", (ROOT / "docs" / "json.md").read_text(), re.MULTILINE)
    return [key for key, _unit, _meaning in rows]


def test_every_key_is_documented_once():
    assert sorted(documented()) == sorted(set(keys(Result)))


def test_what_a_run_prints_is_documented():
    def seen(value, path):
        if isinstance(value, dict):
            for key, part in value.items():
                named = f"{path}.*" if f"{path}.*" in known else f"{path}.{key}".lstrip(".")
                yield from seen(part, named)
        elif isinstance(value, list):
            for part in value:
                yield from seen(part, f"{path}[]")
        else:
            yield path

    known = set(documented())
    result = run(Scenario(machine="small", workload="collapse", until_ns=3_000_000, threads=2)).to_json()
    found = set(seen(result, ""))
    assert {"ipi.worst.why", "cpu_time[].user_ns", "vmstat.*", "fault_paths.*", "stop.kind"} <= found
    assert found <= known
