"""The conversation through pynvim's MessagePack-RPC: blocking calls, greenlets where one waits beside another."""

import json
import sys

from pynvim.msgpack_rpc.async_session import AsyncSession
from pynvim.msgpack_rpc.event_loop import EventLoop
from pynvim.msgpack_rpc.msgpack_stream import MsgpackStream
from pynvim.msgpack_rpc.session import Session


class RefusedError(Exception):
    """What the service answered instead of a result; the argument is the whole error."""


def connect(address):
    kind, _, place = address.partition(":")
    if kind == "unix":
        loop = EventLoop("socket", place)
    else:
        host, _, port = place.rpartition(":")
        loop = EventLoop("tcp", host, int(port))
    calls = AsyncSession(MsgpackStream(loop))
    session = Session(calls)
    session.error_wrapper = RefusedError
    return session, calls


def refused(rpc, method, params):
    try:
        rpc.request(method, params)
    except RefusedError as error:
        return error.args[0]
    return None


def events(rpc):
    """Yield every sim.event, the ones that came during a call as well."""
    while message := rpc.next_message():
        if message.name == "sim.event":
            yield message.args[0]


def main(address, scenario):
    rpc, calls = connect(address)
    told = {"hello": rpc.request("hello", {"client": "pynvim"})}
    session = rpc.request("sim.create", {"scenario": scenario})["session"]
    rpc.request("sim.subscribe", {"session": session, "topics": ["state"]})
    told["ended"] = rpc.request("sim.run_until", {"session": session})
    told["event"] = next(event for event in events(rpc) if event["data"]["state"] == "ended")
    told["result"] = rpc.request("sim.result", {"session": session})["result"]

    told["unknown_session"] = refused(rpc, "sim.stats", {"session": "nobody"})
    told["unknown_key"] = refused(rpc, "sim.stats", {"sesion": session})

    endless = rpc.request("sim.create", {"scenario": scenario | {"until_ns": None}})["session"]

    def run_answered(error, result):
        told["run"] = error or result
        if "paused" in told:
            rpc.stop()  # otherwise the loop runs for the answer to sim.pause

    calls.request("sim.run_until", [{"session": endless}], run_answered)
    while not told.get("running", {}).get("events"):
        told["running"] = rpc.request("sim.stats", {"session": endless})
    told["paused"] = rpc.request("sim.pause", {"session": endless})
    if "run" not in told:
        rpc.run(None, None)
    rpc.close()
    json.dump(told, sys.stdout)


main(sys.argv[1], json.loads(sys.argv[2]))
