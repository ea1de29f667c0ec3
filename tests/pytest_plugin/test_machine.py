"""The fixture machine: the run of ``kactors.run``, in steps, to states, with things done to it on the way."""

import pytest
import trio

from kactors import run
from kactors.engine.errors import UsageError
from kactors.policies import POLICIES
from kactors.pytest_plugin import Failure, FindingFailure
from kactors.pytest_plugin.driven import SLICE
from kactors.pytest_plugin.scenes import Scene
from protocols.scenario import Scenario
from protocols.service.commands import SetPolicy
from protocols.tracepoints import CollapseDone, FaultDone
from tests.actors.scenes import Heard

AREA = 0x7E00_0000_0000
PMD = 1 << 21
DEADLOCK = {"workload": "munmap-vs-fault", "policy": "broken-blocking-spin", "costs": {"mmu_gather_pages": 3}}


async def area(t):
    await t.mmap(PMD, address=AREA)
    await t.madvise_hugepage(AREA, PMD)
    await t.touch(AREA + PMD - t.page_size)


async def fault(t):
    await t.touch(AREA)


async def unmap(t):
    await t.munmap(AREA, t.page_size)


async def test_stepped_it_makes_the_run_of_kactors_run(machine):
    m = machine(program=[fault, unmap], set_up=area)
    await m.step()
    assert m.stats().events == 1
    await m.step(9)
    assert m.stats().events == 10
    await m.run_for(500)
    stepped = await m.run()
    scenario = Scenario(machine="small", cpus=2)
    assert stepped.fingerprint == run(scenario, workload=Scene([fault, unmap], area)).fingerprint


async def test_it_stops_where_a_condition_first_holds(machine):
    m = machine(program=[fault, fault], set_up=area)
    await m.run_until(lambda m: m.stats().faults == 2)
    before = m.stats().events
    again = machine(program=[fault, fault], set_up=area)
    await again.step(before - 1)
    assert again.stats().faults == 1
    await m.run_until(lambda m: m.stats().faults == 2)
    assert m.stats().events == before


async def test_a_condition_on_an_actor(machine):
    m = machine(program=[unmap], set_up=area)
    await m.run_until(lambda m: m.actor("mm")["sem"]["rwsem"]["writer"] is not None)
    assert m.stop is None
    assert {"cpu0", "mm", "engine"} <= set(m.actors())


async def test_a_condition_that_never_holds_fails_the_test(machine):
    m = machine(program=[fault], set_up=area)
    with pytest.raises(Failure, match="before the condition held: every thread has finished"):
        await m.run_until(lambda m: m.stats().faults == 100)


async def test_what_is_injected_happens(machine):
    done = Heard(FaultDone, CollapseDone)
    m = machine(program=[fault], set_up=area, observers=[done])
    await m.run_until(lambda m: m.stats().faults == 2)
    m.inject("starved_cpu", cpu=1, duration_ns=5_000)
    m.inject("memory_pressure", pages=10, duration_ns=5_000)
    m.inject("fault", cpu=1, address=AREA + 4096)
    m.inject("collapse", address=AREA)
    m.inject("munmap", cpu=0, address=AREA + PMD // 2, length=4096)
    m.apply(SetPolicy(policy="classic"))
    await m.run()
    assert AREA + 4096 in [fault.address for fault in done.of(FaultDone)]
    assert done.of(CollapseDone)
    assert m.observers == (done,)
    assert m.counters.faults == m.result().counters.faults == m.stats().faults


@pytest.mark.parametrize(
    ("kind", "what", "says"),
    [
        ("flood", {}, "inject flood: should have as 'kind' one of 'fault'"),
        ("fault", {"cpu": 0}, "inject fault: address: is missing"),
        ("munmap", {"cpu": 0, "address": 0, "length": 0}, "inject munmap: length: should be a whole number from 1 to "),
        ("fault", {"cpu": 9, "address": 0}, "cpu 9: no such CPU; there are 0 to 1"),
    ],
)
def test_what_cannot_be_injected_is_told_in_a_line(machine, kind, what, says):
    m = machine(program=[fault], set_up=area)
    with pytest.raises(UsageError) as caught:
        m.inject(kind, **what)
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)


async def test_a_finding_is_raised_once_where_it_happens(machine):
    m = machine(**DEADLOCK, seed=4)
    with pytest.raises(FindingFailure, match="deadlock") as caught:
        await m.run()
    assert caught.value.stop.cycle
    assert dict(caught.value.sections())["kactors finding"].startswith(" *** DEADLOCK")
    await m.step()
    assert m.result().stop.kind == "deadlock"


async def test_it_can_be_cancelled_on_the_way(machine):
    m = machine(workload="ebizzy", threads=2)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(m.run)
            await m.step(4 * SLICE)
            scope.cancel()
    assert scope.cancelled_caught
    assert m.stop is None
    assert 4 * SLICE <= m.stats().events < 12 * SLICE


def test_a_machine_is_closed_after_its_test(inner):
    result = inner("""
closed = []


async def guarded(t):
    try:
        await t.touch(AREA)
    finally:
        closed.append(t.number)


async def test_leaves_it_in_the_middle(machine):
    m = machine(program=[guarded], set_up=area)
    await m.run_until(lambda m: m.stats().faults == 2)
    assert not closed


def test_afterwards():
    assert closed == [1]
""")
    result.assert_outcomes(passed=2)


def test_a_scenario_file_and_what_overrides_it(machine, tmp_path):
    file = tmp_path / "scene.toml"
    file.write_text(
        'workload = "same-address"\nmachine = "small"\ncpus = 3\nseed = 8\n[bounds]\non_limit = "classic"\n'
    )
    m = machine(file, cpus=4)
    assert (m.scenario.workload, m.scenario.cpus, m.scenario.seed) == ("same-address", 4, 8)
    assert m.scenario.bounds.on_limit == "classic"
    assert machine(m.scenario, seed=9).scenario == m.scenario.model_copy(update={"seed": 9})


def test_a_policy_by_name_class_and_instance(machine):
    spf = POLICIES["spf-v9"]
    machines = [machine(program=[fault], set_up=area, policy=policy) for policy in ("spf-v9", spf, spf())]
    assert len({m.scenario.model_dump_json() for m in machines}) == 1


@pytest.mark.parametrize(
    ("given", "fields", "says"),
    [
        ((), {"polcy": "spf-v9"}, "a scenario has no polcy; did you mean policy?"),
        ((), {"cpus": 0}, "cpus = 0: should be a whole number from 1 to 4096"),
        ((), {"policy": "mine"}, "--policy mine: no such policy"),
        ((), {"program": fault}, "program is a list of coroutine functions"),
        ((), {"set_up": area}, "set_up and collapses belong to a program of functions"),
        (("there-is-none.toml",), {}, "there-is-none.toml: No such file"),
    ],
)
def test_a_wrong_description_is_told_in_a_line(machine, given, fields, says):
    with pytest.raises(UsageError) as caught:
        machine(*given, **fields)
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_wrong_is_named(machine, tmp_path):
    file = tmp_path / "scene.toml"
    for content, says in (("cpus = 'two'", "cpus = 'two'"), ("cpus = ", "not TOML")):
        file.write_text(content)
        with pytest.raises(UsageError, match=f"scene.toml: {says}"):
            machine(file)


def test_a_failed_test_tells_of_its_machine(inner):
    result = inner("""
async def test_it(machine):
    m = machine(program=[fault, unmap], set_up=area, seed=77)
    await m.step(20)
    assert m.stats().faults == 100
""")
    result.stdout.re_match_lines(
        [r">\s+assert m.stats\(\).faults == 100", r"-+ kactors machine -+", "policy spf-v9, seed 77, at .* after 20"]
    )
    result.stdout.no_fnmatch_line("*Exception Group*")
