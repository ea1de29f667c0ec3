"""The collapse workload, programs of Python functions, and workloads by name."""

from collections import Counter

import pytest

from kactors import Scenario, run
from kactors.engine.errors import UsageError
from kactors.workloads import WORKLOADS, Program, load_workload
from kactors.workloads.litmus import SCENES
from protocols.scenario import Khugepaged
from protocols.tracepoints import PageFaultUser, SyscallDone, WorkersStarted
from tests.accounting import assert_settled
from tests.actors.scenes import BASE, PAGE, Heard, played


def collapse(policy="classic", collapse_ms=0, **options):
    heard = Heard(SyscallDone, PageFaultUser)
    options = {"pmds": 2, "rounds": 2, "compute_ns": 100} | options
    scenario = Scenario(
        workload="collapse",
        options=options,
        machine="small",
        policy=policy,
        khugepaged=Khugepaged(scan_sleep_millisecs=collapse_ms),
    )
    return run(scenario, observers=[heard]), heard


def test_each_thread_passes_over_its_own_share_of_the_area():
    result, heard = collapse()
    assert result.throughput.unit == "passes"
    assert result.throughput.records == 2 * 2, "two threads, two rounds"
    assert len(heard.of(PageFaultUser)) == 2 * 512, "the first round faults, the second finds the pages"
    calls = Counter(call.name for call in heard.of(SyscallDone))
    assert calls == {"mmap": 1, "madvise": 1 + 2}


def test_dontneed_in_every_round_makes_every_round_fault():
    _, heard = collapse(dontneed=1)
    assert len(heard.of(PageFaultUser)) == 2 * 2 * 512


def test_threads_that_have_no_range_of_their_own_still_pass():
    result, _ = collapse(t=3)
    assert result.throughput.records == 3 * 2
    assert load_workload("collapse", {}).workers(7) == 7


@pytest.mark.parametrize("policy", ["classic", "spf-v9", "per-vma"])
def test_khugepaged_collapses_what_is_touched(policy):
    result, _ = collapse(policy, collapse_ms=1, rounds=6, dontneed=3, compute_ns=2_000)
    assert result.stop.kind == "quiescent"
    assert result.collapses["succeeded"] >= 2


@pytest.mark.parametrize("option", ["pmds", "rounds", "dontneed", "t"])
def test_options_out_of_range_are_named(option):
    with pytest.raises(UsageError, match=f"collapse: {option} = 0"):
        load_workload("collapse", {option: 0})


def test_a_program_runs_one_function_a_worker_after_its_set_up():
    order = []

    async def set_up(thread):
        await thread.mmap(PAGE, address=BASE)
        order.append("set up")

    def worker(name):
        async def work(thread):
            order.append((name, thread.number))
            await thread.compute(1)

        return work

    started = Heard(WorkersStarted)
    machine, result = played(worker("a"), worker("b"), set_up=set_up, observers=[started])
    assert order[0] == "set up"
    assert set(order[1:]) == {("a", 1), ("b", 2)}
    assert result.threads == 2
    assert [entry.workers for entry in started.of(WorkersStarted)] == [2]
    assert_settled(machine)


def test_a_program_without_set_up_begins_at_once():
    async def work(thread):
        thread.record_done()

    result = run(Scenario(machine="small"), workload=Program([work]))
    assert (result.workload, result.throughput.records) == ("program", 1)
    assert result.notes == ()


def test_a_program_has_no_textual_form():
    with pytest.raises(UsageError, match="for Python callers"):
        Program.from_options({})


def test_an_unknown_workload_lists_the_known_ones():
    with pytest.raises(UsageError, match="there is no workload ebizy; there are ebizzy, collapse, recording"):
        load_workload("ebizy", {})


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_every_workload_says_its_name(name):
    assert WORKLOADS[name].name == name


@pytest.mark.parametrize("name", ["same-address", "munmap-vs-fault", "collapse-vs-fault", *SCENES])
@pytest.mark.parametrize("policy", ["classic", "spf-v9", "per-vma"])
def test_each_scene_of_a_hazard_ends_by_itself(name, policy):
    khugepaged = Khugepaged(scan_sleep_millisecs=1 if "collapse" in name else 0)
    result = run(Scenario(workload=name, machine="small", policy=policy, khugepaged=khugepaged))
    assert result.stop.kind == "quiescent"
