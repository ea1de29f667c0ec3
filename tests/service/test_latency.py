"""Control does not wait for the simulations: they compute in slices, in processes of their own."""

import statistics
import time

import pytest

from tests.service.talk import ENDLESS, serving, talking

TARGET_S = 0.1
GENEROUS = 5
"""Times the target: other tests compute on the same cores."""
SESSIONS, PAUSES = 8, 15


@pytest.fixture
async def busy(tmp_path):
    """A client of a service whose two workers have four endless runs each."""
    async with serving(tmp_path, workers=2), talking(tmp_path / "k.sock") as talk:
        sessions = [
            (await talk.ask("sim.create", scenario=ENDLESS | {"seed": seed}))["session"] for seed in range(SESSIONS)
        ]
        for session in sessions:
            await talk.ask("sim.start", session=session)
        yield talk, sessions


async def took_s(talk, method, **params):
    began_s = time.perf_counter()
    await talk.ask(method, **params)
    return time.perf_counter() - began_s


async def events(talk, sessions):
    return [(await talk.ask("sim.stats", session=session))["events"] for session in sessions]


async def test_a_pause_does_not_wait_for_those_that_run(busy):
    talk, sessions = busy
    pauses = []
    for number in range(PAUSES):
        session = sessions[number % SESSIONS]
        pauses.append(await took_s(talk, "sim.pause", session=session))
        await talk.ask("sim.start", session=session)
    assert statistics.median(pauses) < GENEROUS * TARGET_S, sorted(pauses)


async def test_a_short_step_goes_before_long_runs(busy):
    talk, (session, *_) = busy
    await talk.ask("sim.pause", session=session)
    steps = [await took_s(talk, "sim.step", session=session, events=10) for _ in range(PAUSES)]
    assert statistics.median(steps) < GENEROUS * TARGET_S, sorted(steps)


async def test_steps_without_end_do_not_keep_the_runs_from_going_on(busy):
    talk, (session, *others) = busy
    await talk.ask("sim.pause", session=session)
    before = await events(talk, others)
    while any(now <= then for now, then in zip(await events(talk, others), before, strict=True)):
        await talk.ask("sim.step", session=session, events=10)


async def test_the_numbers_of_a_run_are_told_without_asking_its_worker(busy):
    talk, sessions = busy
    stats = [await took_s(talk, "sim.stats", session=session) for session in sessions for _ in range(10)]
    assert statistics.median(stats) < TARGET_S, sorted(stats)
