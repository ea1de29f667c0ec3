"""The real actors, all at once, come to the states that the search has put together from what each did alone."""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from kactors.checker.search import Search, make_strategy
from kactors.checker.space import Move
from kactors.checker.story import tell
from kactors.checker.strategies.strategy import Budget
from kactors.checker.subject import Subject
from kactors.engine.errors import ModelError, UsageError
from kactors.fault_context import FaultContext
from kactors.fault_policy import FaultPath
from kactors.policies import POLICIES
from kactors.policies.broken import BROKEN
from kactors.policies.spf_v9 import SpfV9
from kactors.syscalls import UserThread
from protocols.page_table import ReadPmd, ReadPte
from protocols.scenario import Scenario
from protocols.search import Registers
from protocols.stop import AnyStop
from protocols.vma import DetachRegion, GetVma
from tests.checker.scenes import BASE, OTHERS, SCENES, THREE_CPUS, Scene, store, subject
from tests.checker.searches import name_of

Verdict = tuple[AnyStop, tuple[Move, ...], Registers]

REQUESTS = (ReadPmd, ReadPte, DetachRegion, GetVma)
"""Some that are always answered."""


def schedules(searched: Subject, count: int, strategy: str = "random") -> Iterator[Verdict]:
    return Search(searched, make_strategy(strategy, searched, Budget(schedules=count), 1)).verdicts()


@pytest.mark.parametrize("policy", [*POLICIES, *BROKEN])
def test_real_actors_follow_the_search_under_every_policy(policy: str):
    for scene in ("fault and munmap of all", "collapse"):
        searched = subject(scene, policy)
        for stop, moves, _ in schedules(searched, 6):
            again = searched.rerun(moves)
            assert name_of(again.stop) == name_of(stop)


@pytest.mark.parametrize("scene", [*SCENES, *OTHERS, *THREE_CPUS])
def test_real_actors_follow_the_search_in_every_scene(scene: str):
    searched = subject(scene, cpus=3 if scene in THREE_CPUS else 2)
    for strategy in ("pos", "delay"):
        for stop, moves, _ in schedules(searched, 4, strategy):
            again = searched.rerun(moves)
            assert name_of(again.stop) == name_of(stop)
            if stop.kind == "quiescent":
                assert again.system.account_pages().conserved


class Counting(SpfV9):
    """A policy that keeps state of its own, which no search can follow."""

    def __init__(self) -> None:
        self.faults = 0

    async def fault(self, cpu: FaultContext, address: int, *, write: bool) -> FaultPath:
        self.faults += 1
        return await super().fault(cpu, address, write=write)


class CountingTogether(SpfV9):
    """The same in a variable of the class."""

    seen: ClassVar[dict[int, int]] = {}

    async def fault(self, cpu: FaultContext, address: int, *, write: bool) -> FaultPath:
        self.seen[address] = self.seen.get(address, 0) + 1
        return await super().fault(cpu, address, write=write)


@pytest.mark.parametrize("policy", [Counting, CountingTogether])
def test_a_policy_that_keeps_state_is_refused(policy: type[SpfV9]):
    searched = Subject(Scenario(machine="small"), workload=Scene(store(0), store(1)), policy=policy())
    with pytest.raises(UsageError, match=r"the policy or the workload has changed in cpu\d's step"):
        list(schedules(searched, 1))


def test_a_workload_whose_threads_share_a_variable_is_refused():
    seen: list[int] = []

    async def body(thread: UserThread) -> None:
        await thread.touch(BASE)
        seen.append(thread.number)

    searched = Subject(Scenario(machine="small"), workload=Scene(body, body))
    with pytest.raises(UsageError, match="what they remember must lie in their own variables"):
        list(schedules(searched, 1))


class Moody(SpfV9):
    """A policy that depends on something of which the search sees nothing."""

    mood: ClassVar[int] = 0

    async def fault(self, cpu: FaultContext, address: int, *, write: bool) -> FaultPath:
        if self.mood:
            await cpu.down_read()
            await cpu.up_read()
        return await super().fault(cpu, address, write=write)


def test_an_actor_that_comes_to_another_state_than_in_the_search_is_told(monkeypatch: pytest.MonkeyPatch):
    searched = Subject(Scenario(machine="small"), workload=Scene(store(0), store(1)), policy=Moody())
    _, moves, _ = next(schedules(searched, 1))
    searched.rerun(moves)
    monkeypatch.setattr(Moody, "mood", 1)
    with pytest.raises(ModelError, match=r"cpu[01] is not in the state that it was in"):
        searched.rerun(moves)


def test_a_story_names_whose_doing_each_step_is_and_tells_each_request_once():
    searched = subject("fault and munmap of its page")
    for _, moves, _ in schedules(searched, 10):
        again = searched.rerun(moves)
        story = tell(again.deliveries)
        clients = {"cpu0", "cpu1", "khugepaged"}
        assert {step.on for step in story} <= clients
        for step in story:
            interrupt = step.says.startswith(("FlushIpi", "SyncIpi"))
            woken = step.says.startswith(("Granted", "Retry"))
            assert step.on == (step.receiver if interrupt or woken else step.sender), step
        asked = [each for each in again.deliveries if isinstance(each.message, REQUESTS)]
        told = [step for step in story if step.says.startswith(tuple(kind.__name__ for kind in REQUESTS))]
        assert len(told) == len(asked)
        assert all(step.effect not in ("", "waits") for step in told)


def test_what_was_answered_does_not_wait_when_the_schedule_ends_before_the_answer_is_taken():
    searched = subject("two faults")
    _, moves, _ = next(iter(schedules(searched, 1)))
    last = [tell(searched.rerun(moves[: end + 1]).deliveries)[-1] for end in range(len(moves))]
    tried = [step for step in last if step.says.startswith("TrylockPte")]
    assert tried
    assert all(step.does.endswith(("got it, pte none", "busy")) for step in tried), tried


def test_a_step_shows_the_line_of_the_policy_that_said_it():
    searched = subject("two faults")
    _, moves, _ = next(iter(schedules(searched, 1)))
    story = tell(searched.rerun(moves).deliveries)
    trylock = next(step for step in story if step.says.startswith("TrylockPte"))
    assert trylock.source.startswith("spf_v9.py:")
    assert "take_pte_lock(cpu, self.options.pte_lock, table, address)" in trylock.source
    line = int(trylock.source.split(":")[1])
    assert "take_pte_lock" in linecache.getline(inspect.getsourcefile(SpfV9) or "", line)


def test_a_policy_of_a_users_file_is_one_class_however_often_its_machine_is_built(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from kactors.fault_policy import FaultPath, FaultPolicy\n"
        "from kactors.policies.classic import handle_mm_fault\n"
        "class Mine(FaultPolicy):\n"
        "    name = 'mine'\n"
        "    async def fault(self, cpu, address, *, write):\n"
        "        vma = await cpu.get_vma(address)\n"
        "        if vma is None:\n"
        "            return FaultPath.SIGSEGV\n"
        "        await handle_mm_fault(cpu, vma, address, write=write)\n"
        "        cpu.put_vma(vma)\n"
        "        return FaultPath.SPF\n"
    )
    scenario = Scenario(workload="munmap-page", policy=f"{mine}:Mine", machine="small", cpus=2)
    searched = Subject(scenario)
    finding = Search(searched, make_strategy("exhaustive", searched, Budget(), 1)).run().finding
    assert finding is not None
    again = searched.rerun(finding[1])
    assert again.stop is not None
    assert again.stop.kind == finding[0].kind
