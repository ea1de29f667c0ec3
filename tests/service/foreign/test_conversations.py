"""Clients that nobody here wrote have the same conversation with the service, over TCP and through a socket file.

The programs are in programs/; each prints what the service told it, as JSON.
"""

import json
import sys
from pathlib import Path

import pytest

from kactors import Scenario, run
from protocols.service.errors import ErrorCode
from protocols.service.server import API_LEVEL
from tests.service.foreign.served import EBIZZY, NODE_MODULES, go, go_settings, neovim, node, output, ruby

PROGRAMS = Path(__file__).parent / "programs"
SCENARIO = json.dumps(EBIZZY)

over_both = pytest.mark.parametrize("kind", ["tcp", "unix"])


def clients(*programs):
    return pytest.mark.parametrize("program", programs)


@pytest.fixture
def told(served, kind, program, tmp_path_factory):
    """What the program was told in its conversation."""
    path, words = PROGRAMS / program, (served[kind], SCENARIO)
    match path.suffix:
        case ".py":
            printed = output([sys.executable, path, *words])
        case ".js":
            printed = output([node(), path, *words], NODE_PATH=str(NODE_MODULES))
        case ".rb":
            printed = output([ruby(), path, *words])
        case ".go":
            printed = output([go(), "run", path, *words], **go_settings(tmp_path_factory.getbasetemp()))
        case ".lua":
            command = [neovim(), "--headless", "--clean", "-n", "-S", path, "+qa!"]
            printed = output(command, KACTORS_ADDRESS=words[0], KACTORS_SCENARIO=words[1])
    return json.loads(printed)


def check_runs(told):
    hello = told["hello"]
    assert (hello["service"], hello["api_level"]) == ("kactors", API_LEVEL)
    assert (told["ended"]["state"], told["ended"]["reason"]) == ("ended", "ended")
    result = run(Scenario(**EBIZZY)).to_json()
    assert told["result"].keys() == result.keys()
    for key, value in result.items():
        # The only floats; Neovim's JSON writes 14 digits of them.
        assert told["result"][key] == (pytest.approx(value) if key == "throughput" else value)


def check_call_in_progress(told):
    """sim.stats and sim.pause were answered while sim.run_until was not."""
    assert told["running"]["state"] == "running"
    assert told["running"]["events"] > 0
    assert told["paused"]["state"] == "paused"
    assert told["paused"]["position"]["events"] >= told["running"]["events"]


def check_run_answered(told):
    assert (told["run"]["state"], told["run"]["reason"]) == ("paused", "paused")
    assert told["run"]["position"] == told["paused"]["position"]


def check_errors(told):
    code, message, data = told["unknown_session"]
    assert code == ErrorCode.UNKNOWN_SESSION
    assert "nobody" in message
    assert isinstance(data, dict)
    code, message, data = told["unknown_key"]
    assert code == ErrorCode.INVALID_PARAMS
    assert message.startswith("sim.stats: sesion: unknown key")
    assert data["errors"]


def check_event(told):
    event = told["event"]
    assert (event["topic"], event["data"]["state"]) == ("state", "ended")
    assert event["at_ns"] == EBIZZY["until_ns"]


@over_both
@clients("through_pynvim.py", "through_transport.js", "through_messages.js", "through_ruby.rb", "through_go.go")
def test_the_whole_conversation(told):
    check_runs(told)
    check_event(told)
    check_errors(told)
    check_call_in_progress(told)
    check_run_answered(told)


@over_both
@clients("through_aio.py")
def test_all_but_events_which_the_client_drops(told):
    check_runs(told)
    check_errors(told)
    check_call_in_progress(told)
    check_run_answered(told)


@over_both
@clients("through_neovim.lua")
def test_a_client_that_understands_neither_our_errors_nor_our_events(told):
    """Neovim wants an error to be a string or [type, message]; of others it says this much."""
    check_runs(told)
    check_call_in_progress(told)
    for refused in ("unknown_session", "unknown_key"):
        assert "sim.stats" in told[refused]
        assert "unknown error" in told[refused]
