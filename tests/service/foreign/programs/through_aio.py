"""The conversation through aio-msgpack-rpc: calls side by side on asyncio; it drops notifications."""

import asyncio
import json
import sys

from aio_msgpack_rpc import Client
from aio_msgpack_rpc.error import RPCResponseError


async def connect(address):
    kind, _, place = address.partition(":")
    if kind == "unix":
        return Client(*await asyncio.open_unix_connection(place))
    host, _, port = place.rpartition(":")
    return Client(*await asyncio.open_connection(host, int(port)))


async def refused(client, method, params):
    try:
        await client.call(method, params)
    except RPCResponseError as error:
        return error.args[0]
    return None


async def main(address, scenario):
    client = await connect(address)
    told = {"hello": await client.call("hello", {"client": "aio"})}
    session = (await client.call("sim.create", {"scenario": scenario}))["session"]
    told["ended"] = await client.call("sim.run_until", {"session": session})
    told["result"] = (await client.call("sim.result", {"session": session}))["result"]

    told["unknown_session"] = await refused(client, "sim.stats", {"session": "nobody"})
    told["unknown_key"] = await refused(client, "sim.stats", {"sesion": session})

    endless = (await client.call("sim.create", {"scenario": scenario | {"until_ns": None}}))["session"]
    run = asyncio.create_task(client.call("sim.run_until", {"session": endless}))
    while not told.get("running", {}).get("events"):
        told["running"] = await client.call("sim.stats", {"session": endless})
    told["paused"] = await client.call("sim.pause", {"session": endless})
    told["run"] = await run
    client.close()
    json.dump(told, sys.stdout)


asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
