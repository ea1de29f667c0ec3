"""will-it-scale on files: what page_fault2 and page_fault3 do step by step, and to whose pages."""

from collections import Counter

import pytest

from kactors import Machine, Scenario
from kactors.engine.errors import UsageError
from kactors.workloads import load_workload
from protocols.page_cache import AddToPageCache, Filesystem, PageMkwrite
from protocols.tracepoints import PageFaultUser, RecordDone, SyscallDone, WorkersStarted
from tests.accounting import assert_settled
from tests.actors.scenes import Delivered, Heard

PAGE = 4096
POLICIES = ["classic", "spf-v9", "per-vma"]
TESTS = ["page_fault2", "page_fault3"]


class Ran:
    """A test that ran so many rounds and ended; ``steps``: what its workers did, in order."""

    def __init__(self, name, policy="classic", tasks=1, costs=None, **options):
        self.heard = Heard(SyscallDone, PageFaultUser, WorkersStarted, RecordDone)
        self.said = Delivered(AddToPageCache, PageMkwrite)
        options = {"rounds": 2, "t": tasks, "phase": "zero", "memsize": 40 * PAGE} | options
        scenario = Scenario(workload=name, options=options, machine="small", policy=policy, costs=costs or {})
        self.machine = Machine(scenario, observers=[self.heard, self.said])
        self.result = self.machine.run()
        entries = [entry for _, _, entry in self.heard.all]
        started = next(place for place, entry in enumerate(entries) if type(entry) is WorkersStarted)
        words = {PageFaultUser: "fault", RecordDone: "iteration"}
        self.steps = [
            entry.name if type(entry) is SyscallDone else words[type(entry)] for entry in entries[started + 1 :]
        ]
        assert_settled(self.machine)
        self.account = self.machine.system.account_pages()
        self.pages = list(self.machine.system.page_cache._pages)

    def times(self, kind):
        return sum(type(message) is kind for _, _, message in self.said.all)


@pytest.mark.parametrize("name", TESTS)
def test_a_round_is_mmap_a_fault_and_an_iteration_a_page_munmap(name):
    run = Ran(name, memsize=3 * PAGE)
    assert run.steps == ["mmap", *["fault", "iteration"] * 3, "munmap"] * 2
    assert run.result.throughput.unit == "iterations"
    assert run.result.throughput.records == 2 * 3


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", TESTS)
def test_each_task_fills_a_file_of_its_own_once(name, policy):
    run = Ran(name, policy, tasks=3, rounds=3)
    assert Counter(run.steps) == {"mmap": 9, "munmap": 9, "fault": 9 * 40, "iteration": 9 * 40}
    assert run.times(AddToPageCache) == 3 * 40
    assert Counter(page.file.number for page in run.pages) == {0: 40, 1: 40, 2: 40}
    assert (run.account.file_pages, run.account.mapped) == (3 * 40, 0)


@pytest.mark.parametrize("filesystem", Filesystem)
def test_page_fault2_copies_each_page_and_dirties_none(filesystem):
    run = Ran("page_fault2", fs=filesystem)
    assert run.result.transient.allocated == 2 * 40
    assert not any(page.dirty for page in run.pages)
    assert run.times(PageMkwrite) == 0


@pytest.mark.parametrize(("filesystem", "asked"), [(Filesystem.TMPFS, 0), (Filesystem.EXT4, 2 * 40)])
def test_page_fault3_dirties_each_page_and_asks_ext4_at_every_fault(filesystem, asked):
    run = Ran("page_fault3", fs=filesystem)
    assert run.result.transient.allocated == 0
    assert all(page.dirty for page in run.pages)
    assert run.times(PageMkwrite) == asked
    assert run.result.vmstat.get("nr_dirtied", 0) == (40 if asked else 0), "in the first round only"


@pytest.mark.parametrize("name", TESTS)
def test_a_task_that_begins_in_its_round_finds_its_file_filled_and_the_pages_below_there(name):
    run = Ran(name, phase="drawn", rounds=1, tasks=2, memsize=600 * PAGE)
    faults, drawn = run.steps.count("fault"), 2 * 2 * 600
    assert 2 * 600 < faults < drawn, "the round that was begun, and one more"
    assert run.times(AddToPageCache) == 0
    assert (run.account.file_pages, run.account.mapped) == (2 * 600, 0)


def test_without_memory_for_its_file_a_task_begins_with_a_hole_and_an_empty_area_and_says_so():
    options = {"rounds": 1, "t": 2, "memsize": 4 << 20, "fs": "ext4"}
    machine = Machine(Scenario(workload="page_fault3", options=options, machine="small", costs={"memory_mib": 6}))
    result = machine.run()
    assert result.memory.oom_kills == 1, "the hole cannot be filled either"
    assert result.notes == (
        "tasks whose files began as holes for want of memory: 1",
        "tasks that began with an empty area for want of memory: 1",
    )
    assert machine.system.account_pages().conserved


@pytest.mark.parametrize("name", TESTS)
def test_the_program_does_not_name_the_file_system_so_it_is_an_option(name):
    assert load_workload(name, {"fs": "ext4"}).memsize == 128 << 20
    with pytest.raises(UsageError, match=f"{name}: fs = 'ntfs'"):
        load_workload(name, {"fs": "ntfs"})
