"""Worker processes: what crashes or hangs in one is blamed, and nobody else loses anything."""

import os
import signal

import pytest
import trio

from protocols.service.errors import ErrorCode, ServiceError
from tests.service.talk import EBIZZY, ENDLESS, serving, talking

POLICY = """
import os, sys
from kactors.policies.classic import Classic

class Mine(Classic):
    name = "mine"
    served = 0

    async def fault(self, cpu, address, *, write):
        self.served += 1
        if self.served > 20:
            {act}
        return await super().fault(cpu, address, write=write)
"""

NONSENSE = """
            import stat
            for fd in range(3, 64):
                try:
                    if stat.S_ISFIFO(os.fstat(fd).st_mode):
                        os.write(fd, b"\\xc1")
                except OSError:
                    pass
"""
"""Into the pipe to the service, wherever that is."""


def policy(folder, act):
    (folder / "mine.py").write_text(POLICY.format(act=act))
    return EBIZZY | {"policy": f"{folder}/mine.py:Mine"}


async def create(talk, scenario=EBIZZY):
    return (await talk.ask("sim.create", scenario=scenario))["session"]


@pytest.mark.parametrize(
    ("act", "code"),
    [
        ("os._exit(7)", ErrorCode.WORKER_LOST),
        ("while True: pass", ErrorCode.WORKER_LOST),
        ("sys.exit(3)", ErrorCode.ACTOR_CRASHED),
        ("raise KeyError('mine')", ErrorCode.ACTOR_CRASHED),
        ("print('x' * 100_000)", None),
    ],
)
async def test_a_policy_that_breaks_its_process_fails_its_session_alone(tmp_path, act, code):
    async with serving(tmp_path, stuck_s=1.0), talking(tmp_path / "k.sock") as talk:
        bystander = await create(talk, ENDLESS)
        await talk.ask("sim.start", session=bystander)
        stood = await create(talk)
        before = await talk.ask("sim.step", session=stood, events=100)
        bad = await create(talk, policy(tmp_path, act))
        if code is None:
            assert (await talk.ask("sim.run_until", session=bad))["state"] == "ended"
            return
        for _ in range(2):
            with pytest.raises(ServiceError) as failed:
                await talk.ask("sim.run_until", session=bad)
            assert failed.value.code is code
        blamed = failed.value.data.get("blamed", "")
        assert blamed.endswith("in fault: KeyError: 'mine'") is (act == "raise KeyError('mine')")
        assert failed.value.message.endswith(blamed)
        assert (await talk.ask("sim.stats", session=bad))["state"] == "failed"
        events = (await talk.ask("sim.stats", session=bystander))["events"]
        while (await talk.ask("sim.stats", session=bystander))["events"] <= events:
            await trio.lowlevel.checkpoint()
        assert (await talk.ask("sim.stats", session=bystander))["state"] == "running"
        after = await talk.ask("sim.step", session=stood)
        assert after["position"]["events"] == before["position"]["events"] + 1
        stats = await talk.ask("server.stats")
        assert stats["workers"][0]["restarts"] == (2 if code is ErrorCode.WORKER_LOST else 0)


async def test_a_worker_that_talks_nonsense_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr("kactors.service.seat.LOSSES_MAX", 2)
    async with serving(tmp_path), talking(tmp_path / "k.sock") as talk:
        bad = await create(talk, policy(tmp_path, NONSENSE))
        with pytest.raises(ServiceError) as failed:
            await talk.ask("sim.run_until", session=bad)
        assert failed.value.code is ErrorCode.WORKER_LOST
        good = await create(talk)
        assert (await talk.ask("sim.run_until", session=good))["state"] == "ended"


async def test_a_failed_session_can_go_back_to_where_it_was_sound(tmp_path):
    async with serving(tmp_path), talking(tmp_path / "k.sock") as talk:
        bad = await create(talk, policy(tmp_path, "raise KeyError('mine')"))
        await talk.ask("sim.step", session=bad, events=50)
        await talk.ask("sim.checkpoint", session=bad, name="sound")
        with pytest.raises(ServiceError):
            await talk.ask("sim.run_until", session=bad)
        await talk.ask("sim.restore", session=bad, checkpoint="sound")
        assert (await talk.ask("sim.step", session=bad))["position"]["events"] == 51


async def test_a_killed_worker_loses_nothing(tmp_path):
    async with serving(tmp_path), talking(tmp_path / "k.sock") as talk:
        quiet, hit = await create(talk), await create(talk)
        subscription = await talk.ask("sim.subscribe", session=hit, topics=["stories"], credit=100_000)
        await talk.ask("sim.step", session=hit, events=500)
        await talk.ask("sim.inject", session=hit, injection={"kind": "starved_cpu", "cpu": 0, "duration_ns": 50_000})
        await talk.ask("sim.step", session=quiet, events=500)
        injection = {"kind": "starved_cpu", "cpu": 0, "duration_ns": 50_000}
        await talk.ask("sim.inject", session=quiet, injection=injection)
        (worker,) = (await talk.ask("server.stats"))["workers"]
        os.kill(worker["pid"], signal.SIGKILL)
        end = await talk.ask("sim.run_until", session=hit)
        assert end["position"] == (await talk.ask("sim.run_until", session=quiet))["position"]
        await talk.ask("sim.unsubscribe", subscription=subscription["subscription"])
        numbers = [event["number"] for name, event in talk.told if name == "sim.event"]
        assert numbers == list(range(1, end["position"]["events"] + 1))


async def test_more_machines_than_a_worker_holds_are_replayed_when_needed(tmp_path, monkeypatch):
    monkeypatch.setattr("kactors.service.registry.LIVE_MAX", 3)
    async with serving(tmp_path), talking(tmp_path / "k.sock") as talk:
        sessions = [await create(talk) for _ in range(8)]
        ends = set()
        for events in (100, 200, 300):
            for session in sessions:
                ends.add(str((await talk.ask("sim.step", session=session, events=events))["position"]))
            stats = await talk.ask("server.stats")
            assert stats["workers"][0]["sessions"] <= 4
        assert len(ends) == 3, "all of them went the same way"


async def test_quotas_stop_a_run_and_say_which(tmp_path):
    limits = {"events_max": 1000, "sessions_per_client_max": 2, "sessions_running_max": 1}
    async with serving(tmp_path, limits=limits), talking(tmp_path / "k.sock") as talk:
        first, second = await create(talk, ENDLESS), await create(talk, ENDLESS)
        for refused in (
            talk.ask("sim.run_until", session=first),
            talk.ask("sim.create", scenario=EBIZZY),
        ):
            with pytest.raises(ServiceError) as quota:
                await refused
            assert quota.value.code is ErrorCode.QUOTA
        assert (await talk.ask("sim.stats", session=first))["state"] == "paused"
        await talk.ask("sim.step", session=first, events=900)
        with pytest.raises(ServiceError, match="events_max"):
            await talk.ask("sim.step", session=first, events=900)
        await talk.ask("sim.delete", session=second)
        await create(talk)
