"""What is published under protocols/ is what the code does, and the vectors are what it says and understands."""

import json

import jsonschema
import pytest

from kactors.rpc import reference
from kactors.rpc.codec import Decoder, Notification, Request, Response, pack
from kactors.rpc.params import validate
from kactors.rpc.schemas import api_info, service_schema
from kactors.rpc.vectors import vectors
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.methods import METHODS, NOTIFICATIONS
from protocols.service.server import ApiInfo

FOLDER = reference.FOLDER
FILES = reference.files()
SCHEMA = service_schema()
LIMITS = json.loads((FOLDER / "vectors" / "limits.json").read_text())["refused_with"]
STORED = {name: json.loads((FOLDER / "vectors" / f"{name}.json").read_text()) for name in vectors()}
SAID = [(kind, vector) for kind, many in STORED.items() for vector in many if kind != "refused"]
TYPES = {Request: 0, Response: 1, Notification: 2}


def decoder():
    return Decoder(**LIMITS)


@pytest.mark.parametrize("name", FILES)
def test_the_stored_file_is_what_is_written_now(name):
    stored = FOLDER / name
    assert stored.is_file(), f"it is missing: {reference.COMMAND}"
    assert stored.read_text(encoding="utf-8") == FILES[name], f"it has changed: {reference.COMMAND}"


def test_writing_it_writes_all_of_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reference, "FOLDER", tmp_path)
    reference.main()
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert written == set(FILES)
    assert len(capsys.readouterr().out.splitlines()) == len(written)


@pytest.mark.parametrize(("kind", "vector"), SAID, ids=[f"{kind}: {vector['name']}" for kind, vector in SAID])
def test_a_vector_is_its_message(kind, vector):
    data = bytes.fromhex(vector["hex"])
    (message,) = decoder().feed(data)
    assert [TYPES[type(message)], *message] == vector["message"]
    assert pack(vector["message"]) == data


def at(reference_to):
    return jsonschema.Draft202012Validator(SCHEMA | reference_to)


@pytest.mark.parametrize("vector", STORED["requests"], ids=lambda vector: vector["name"])
def test_a_request_is_understood_and_obeys_the_schema(vector):
    _, _, name, params = vector["message"]
    model = validate(METHODS[name], params)
    at(SCHEMA["methods"][name]["params"]).validate(params[0] if params else {})
    assert model.model_dump(mode="json", exclude_unset=True) == (params[0] if params else {})


@pytest.mark.parametrize("vector", STORED["responses"], ids=lambda vector: vector["name"])
def test_a_result_obeys_the_schema(vector):
    at(SCHEMA["methods"][vector["name"]]["result"]).validate(vector["message"][3])


@pytest.mark.parametrize("vector", STORED["notifications"], ids=lambda vector: vector["name"])
def test_a_notification_obeys_the_schema(vector):
    _, name, (told,) = vector["message"]
    if name not in METHODS:
        at(SCHEMA["notifications"][name]).validate(told)


@pytest.mark.parametrize("vector", STORED["refused"], ids=lambda vector: vector["name"])
def test_what_is_to_be_refused_is(vector):
    with pytest.raises(ServiceError) as caught:
        list(decoder().feed(bytes.fromhex(vector["hex"])))
    assert caught.value.code == vector["code"]


def test_nothing_is_left_out():
    assert {vector["message"][2] for vector in STORED["requests"]} == set(METHODS)
    assert {vector["name"] for vector in STORED["responses"]} == set(METHODS)
    assert {vector["name"] for vector in STORED["errors"]} == {code.name for code in ErrorCode}
    told = {*NOTIFICATIONS, "server.error"}
    assert told <= {vector["name"] for vector in STORED["notifications"]}
    text = reference.readme()
    for name in (*METHODS, *told, *(code.name for code in ErrorCode)):
        assert name in text
    assert all(entry["meaning"] for entry in SCHEMA["errors"].values())


def test_links_in_the_reference_lead_somewhere():
    lines = reference.readme().splitlines()
    headings = {line.lstrip("# ").replace(".", "").lower() for line in lines if line.startswith("#")}
    links = {part.split(")")[0] for line in lines for part in line.split("](#")[1:]}
    assert links <= headings
    assert len(links) > 40


def test_it_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_api_info_tells_all():
    info = api_info()
    assert [method.name for method in info.methods] == list(METHODS)
    assert info.errors == {code.name: int(code) for code in ErrorCode}
    assert set(info.notifications) == {*NOTIFICATIONS, "server.error"}
    for method in info.methods:
        jsonschema.Draft202012Validator.check_schema(method.params)
        jsonschema.Draft202012Validator.check_schema(method.result)
    assert ApiInfo.model_validate(info.model_dump(mode="json")) == info
