"""A search outlives its service and its worker: begun anew, it comes to the same; ended, its result is there."""

import os
import signal

import pytest
import trio

from benchmarks.service_process import ServiceProcess, calling
from protocols.service.errors import ErrorCode, ServiceError
from tests.service.talk import serving, talking
from tests.service.test_http import ANYWHERE
from tests.service.test_searches import CLEAN, DEADLOCK, SHORT, ended, here, progressed, scraped, start

BREAKING = """
import os
from kactors.policies.classic import Classic

class Mine(Classic):
    name = "mine"

    async def fault(self, cpu, address, *, write):
        if cpu.cpu_id:
            {act}
        return await super().fault(cpu, address, write=write)
"""


def test_kill_9_in_the_middle_loses_no_search(tmp_path):
    how = {"strategy": "exhaustive"}

    async def begin(socket):
        async with calling(socket) as caller:
            done = await start(caller, DEADLOCK)
            await ended(caller, done)
            result = await caller.ask("check.result", check=done)
            begun = await start(caller, CLEAN, key="k", **how)
            await progressed(caller, begun)
            return done, result, begun

    async def end(socket, done, result, begun):
        async with calling(socket) as caller:
            assert await caller.ask("check.result", check=done) == result
            stats = await ended(caller, begun)
            assert stats["reason"] == "done"
            return (await caller.ask("check.result", check=begun))["searched"]

    process = ServiceProcess(tmp_path, "--workers", "1")
    try:
        process.wait()
        known = trio.run(begin, process.socket)
    finally:
        process.kill()
    process = ServiceProcess(tmp_path, "--workers", "1")
    try:
        process.wait()
        searched = trio.run(end, process.socket, *known)
    finally:
        process.end()
    assert searched == here(CLEAN, **how)


async def test_a_killed_worker_loses_no_search(tmp_path):
    async with serving(tmp_path, metrics=ANYWHERE) as bound, talking(tmp_path / "k.sock") as talk:
        check = await start(talk, CLEAN, strategy="exhaustive")
        await progressed(talk, check)
        lost = (await talk.ask("check.stats", check=check))["numbers"]["steps"]
        (worker,) = (await talk.ask("server.stats"))["workers"]
        os.kill(worker["pid"], signal.SIGKILL)
        stats = await ended(talk, check)
        assert stats["reason"] == "done"
        assert (await talk.ask("check.result", check=check))["searched"] == here(CLEAN, strategy="exhaustive")
        assert (await scraped(bound))["kactors_searched_events_total"] >= lost + stats["numbers"]["steps"]


@pytest.mark.parametrize(
    ("act", "code"), [("os._exit(7)", ErrorCode.WORKER_LOST), ("raise KeyError('mine')", ErrorCode.ACTOR_CRASHED)]
)
async def test_a_policy_that_breaks_its_process_fails_its_search_alone(tmp_path, act, code):
    (tmp_path / "mine.py").write_text(BREAKING.format(act=act))
    async with serving(tmp_path), talking(tmp_path / "k.sock") as talk:
        good = await start(talk, CLEAN, strategy="exhaustive")
        bad = await start(talk, CLEAN | {"policy": f"{tmp_path}/mine.py:Mine"})
        assert (await ended(talk, bad))["state"] == "failed"
        with pytest.raises(ServiceError) as failed:
            await talk.ask("check.result", check=bad)
        assert failed.value.code is code, failed.value
        assert ("mine.py:" in failed.value.data.get("blamed", "")) is (code is ErrorCode.ACTOR_CRASHED)
        assert (await ended(talk, good))["state"] == "ended"


async def test_searches_and_sessions_share_the_names(tmp_path):
    async with serving(tmp_path), talking(tmp_path / "k.sock") as talk:
        await start(talk, name="mine", **SHORT)
        with pytest.raises(ServiceError) as taken:
            await talk.ask("sim.create", scenario={"workload": "ebizzy", "machine": "small"}, name="mine")
        assert taken.value.code is ErrorCode.CONFLICT
