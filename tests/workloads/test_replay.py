"""Replay of recordings: what was recorded is done, on fewer or more threads, each repetition in areas of its own."""

from dataclasses import replace
from pathlib import Path

import pytest

from kactors import Machine, Scenario
from kactors.engine.errors import UsageError
from kactors.recordings.areas import RecordedArea
from kactors.recordings.steps import PROT_READ, PROT_WRITE, Brk, Fault, Madvise, Mmap, Mprotect, Munmap
from kactors.recordings.threads import RecordedThread
from kactors.workloads import load_workload
from kactors.workloads.recording import Places, Replay
from protocols.tracepoints import FaultDone, PageFaultUser, SyscallDone, WorkersStarted
from protocols.vma import VmaKind
from tests.accounting import assert_settled
from tests.actors.scenes import PAGE, Heard

RECORDINGS = Path(__file__).parents[2] / "recordings"
EBIZZY = RECORDINGS / "ebizzy-mTRp-t4.perf.txt.xz"
COLLAPSE = RECORDINGS / "khugepaged-collapse.perf.txt.xz"


def scenario(file, **options):
    return Scenario(workload="recording", options={"file": str(file)}, machine="zen4-vm-2", **options)


def recorded(file):
    return load_workload("recording", {"file": str(file)}).recording


def begun(file, events=8_000, **options):
    """Replay the beginning of a recording; return the machine, its result and what was heard."""
    heard = Heard(SyscallDone, PageFaultUser, WorkersStarted)
    machine = Machine(scenario(file, events_max=events, **options), observers=[heard])
    return machine, machine.run(), heard


@pytest.mark.parametrize("file", [EBIZZY, COLLAPSE], ids=["ebizzy", "collapse"])
@pytest.mark.parametrize("policy", ["classic", "spf-v9", "per-vma"])
def test_both_recordings_replay_under_every_policy(file, policy):
    machine, result, _ = begun(file, policy=policy)
    assert result.stop.kind in {"events", "quiescent"}
    assert result.throughput.records > 100
    assert result.throughput.unit == "steps"
    assert result.threads == len([thread for thread in machine.system.workload.recording.threads if thread.steps])
    assert any(str(machine.system.workload.recording.pid) in note for note in result.notes)


def test_each_recorded_thread_runs_once_where_no_number_is_given():
    assert load_workload("recording", {"file": str(EBIZZY)}).workers(80) == 4


def test_eight_threads_from_four_repeat_them_in_areas_of_their_own():
    once, twice = (begun(EBIZZY, threads=threads) for threads in (4, 8))
    before = [next(at_ns for at_ns, _, entry in run[2].all if type(entry) is WorkersStarted) for run in (once, twice)]
    mapped = [
        sum(type(entry) is SyscallDone and entry.name == "mmap" for at_ns, _, entry in run[2].all if at_ns <= until_ns)
        for run, until_ns in zip((once, twice), before, strict=True)
    ]
    areas = len(recorded(EBIZZY).areas)
    assert mapped == [areas, 2 * areas]
    assert twice[1].threads == 8


HEAP, OLD = 0x5500_0000_0000, 0x7000_0000_0000
FIRST, SECOND = 0x7100_0000_0000, 0x7200_0000_0000
RW = PROT_READ | PROT_WRITE


def fault(address, *, write=True):
    return Fault(user_ns=100, address=address, write=write, instruction=False)


def mmap(address, pages, *, prot=RW, fd=-1):
    flags = 0x22 if fd < 0 else 0x02
    return Mmap(user_ns=100, address=address, length=pages * PAGE, prot=prot, flags=flags, fd=fd, requested=0)


def small(*steps, threads=1):
    """A recording of threads that each do these steps; two old areas of two pages existed before."""
    recording = recorded(EBIZZY)
    old = RecordedArea(start=OLD, end=OLD + 2 * PAGE, prot=RW, file=False)
    library = RecordedArea(start=OLD + 8 * PAGE, end=OLD + 10 * PAGE, prot=RW, file=True)
    recorded_threads = [RecordedThread(tid=10 + n, comm="app", steps=steps, start_ns=0) for n in range(threads)]
    return Replay(replace(recording, threads=tuple(recorded_threads), areas=(old, library)))


def replayed(*steps, threads=1, workers=None, policy="classic"):
    """Replay a small recording to its end; return workload, machine, result, and what was heard after the set-up."""
    heard = Heard(SyscallDone, PageFaultUser, WorkersStarted, FaultDone)
    workload = small(*steps, threads=threads)
    machine = Machine(
        Scenario(machine="zen4-vm-2", policy=policy, threads=workers), workload=workload, observers=[heard]
    )
    result = machine.run()
    assert_settled(machine)
    entries = [entry for _, _, entry in heard.all]
    return workload, machine, result, entries[[type(entry) for entry in entries].index(WorkersStarted) :]


def calls(entries):
    return [entry.name for entry in entries if type(entry) is SyscallDone]


def faults(entries):
    return [entry.path for entry in entries if type(entry) is FaultDone]


def test_a_mapping_is_made_used_changed_and_unmapped_as_recorded():
    steps = (
        mmap(FIRST, 4),
        fault(FIRST),
        fault(FIRST + 3 * PAGE + 17, write=False),
        Mprotect(user_ns=0, address=FIRST, length=PAGE, prot=PROT_READ),
        Madvise(user_ns=0, address=FIRST, length=2 * PAGE, advice=4),
        Madvise(user_ns=0, address=FIRST, length=4 * PAGE, advice=14),
        Madvise(user_ns=0, address=FIRST, length=4 * PAGE, advice=99),
        Munmap(user_ns=0, address=FIRST, length=4 * PAGE),
    )
    workload, machine, result, entries = replayed(*steps)
    assert calls(entries) == ["mmap", "mprotect", "madvise", "madvise", "munmap"]
    assert faults(entries) == ["classic", "classic"]
    assert result.throughput.records == len(steps)
    assert workload.skipped_steps == 0
    assert len(machine.system.mm.tree) == 2, "the areas from before"


def test_a_mapping_of_a_file_is_one_of_a_file():
    _, machine, _, _ = replayed(mmap(FIRST, 1, fd=3), mmap(SECOND, 1, prot=PROT_READ))
    kinds = [(vma.kind, vma.writable) for vma in machine.system.mm.tree]
    assert kinds.count((VmaKind.FILE, True)) == 2
    assert (VmaKind.ANON, False) in kinds


def test_areas_from_before_are_there_with_their_history():
    _, machine, _, entries = replayed(fault(OLD), fault(OLD + PAGE), fault(OLD + 8 * PAGE))
    assert faults(entries) == ["classic"] * 3
    assert all(vma.anon_vma for vma in machine.system.mm.tree)


def test_the_heap_grows_and_shrinks_from_where_the_first_brk_says():
    steps = (
        Brk(user_ns=0, address=HEAP),
        Brk(user_ns=0, address=HEAP),
        Brk(user_ns=0, address=HEAP + 4 * PAGE),
        fault(HEAP + 3 * PAGE),
        Brk(user_ns=0, address=HEAP + PAGE),
        fault(HEAP + 3 * PAGE),
    )
    workload, _, _, entries = replayed(*steps)
    assert calls(entries) == ["mmap", "munmap"]
    assert faults(entries) == ["classic"]
    assert workload.skipped_steps == 1


def test_steps_on_memory_that_nobody_mapped_are_skipped_and_told():
    steps = (
        fault(0x1000),
        Munmap(user_ns=0, address=0x1000, length=PAGE),
        Mprotect(user_ns=0, address=0x1000, length=PAGE, prot=RW),
        Madvise(user_ns=0, address=0x1000, length=PAGE, advice=4),
        mmap(FIRST, 1),
    )
    workload, _, result, entries = replayed(*steps)
    assert calls(entries) == ["mmap"]
    assert result.throughput.records == 1
    assert workload.skipped_steps == 4
    assert any(note.startswith("4 of 5 steps (80.0 %) found their memory not mapped") for note in result.notes)


def test_unreadable_lines_are_told():
    workload = small(mmap(FIRST, 1))
    report = replace(workload.recording.report, skipped=3)
    notes = Replay(replace(workload.recording, report=report)).notes()
    assert f"3 of {report.lines} lines are unreadable and were skipped" in notes


def test_every_repetition_works_in_areas_of_its_own():
    steps = (fault(OLD), mmap(FIRST, 2), fault(FIRST), fault(FIRST + PAGE))
    workload, machine, result, entries = replayed(*steps, threads=2, workers=5)
    assert result.threads == 5
    assert calls(entries) == ["mmap"] * 5
    pages = machine.system.account_pages().mapped
    assert pages == 5 * 2 + 3 * (1 + 2), "own mappings; the old area's page and the two of the history, a repetition"
    assert workload.skipped_steps == 0


def test_user_time_between_the_steps_is_spent():
    _, _, result, _ = replayed(mmap(FIRST, 1), Munmap(user_ns=77_000, address=FIRST, length=PAGE))
    worker = result.cpu_time[0].user_ns
    assert 77_100 <= worker <= 77_100 + 2_000


def test_a_recording_without_a_step_is_refused():
    recording = replace(recorded(EBIZZY), threads=(RecordedThread(tid=1, comm="app", steps=(), start_ns=0),))
    with pytest.raises(UsageError, match="does nothing that could be replayed"):
        Replay(recording)


def test_a_file_without_any_thread_to_replay_is_refused(tmp_path):
    path = tmp_path / "empty.txt"
    path.write_text("", encoding="utf-8")
    with pytest.raises(UsageError):
        load_workload("recording", {"file": str(path)})


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(UsageError, match="nowhere"):
        load_workload("recording", {"file": "nowhere.txt"})


def test_a_process_that_is_not_in_it_is_named():
    with pytest.raises(UsageError, match="4711"):
        load_workload("recording", {"file": str(EBIZZY), "pid": 4711})


def test_the_file_is_needed():
    with pytest.raises(UsageError, match="recording: file"):
        load_workload("recording", {})


# --- where recorded addresses lie -------------------------------------------------------------------------------------


def test_an_address_is_found_where_its_range_was_mapped():
    places = Places()
    places.add(0x1000, 0x5000, 0x90000)
    assert places.find(0x1000) == 0x90000
    assert places.find(0x4FFF) == 0x93FFF
    assert places.find(0x5000) is None
    assert places.find(0xFFF) is None


def test_a_later_mapping_replaces_the_part_that_it_covers():
    places = Places()
    places.add(0x1000, 0x5000, 0x90000)
    places.add(0x2000, 0x3000, 0x10000)
    assert [places.find(address) for address in (0x1FFF, 0x2000, 0x3000)] == [0x90FFF, 0x10000, 0x92000]
    assert sorted(places.pieces(0x1800, 0x3800)) == [(0x10000, 0x1000), (0x90800, 0x800), (0x92000, 0x800)]


def test_ones_own_ranges_come_before_the_shared_ones():
    shared = Places()
    shared.add(0x1000, 0x9000, 0x50000)
    own = Places(shared)
    own.add(0x1000, 0x2000, 0x90000)
    assert own.find(0x1000) == 0x90000
    assert own.find(0x2000) == 0x51000
    assert own.pieces(0x1000, 0x3000) == [(0x90000, 0x1000)]
    assert own.pieces(0x3000, 0x4000) == [(0x52000, 0x1000)]


def test_a_range_is_released_where_it_was_found():
    shared = Places()
    shared.add(0x1000, 0x9000, 0x50000)
    own = Places(shared)
    own.add(0x20000, 0x21000, 0x90000)
    own.release(0x20000, 0x21000)
    assert own.find(0x20000) is None
    own.release(0x1000, 0x2000)
    assert shared.find(0x1000) is None
    assert shared.find(0x2000) == 0x51000


def test_a_whole_replay_ends_in_order():
    machine = Machine(scenario(COLLAPSE, policy="per-vma", threads=2))
    result = machine.run()
    assert result.stop.kind == "quiescent"
    assert_settled(machine)
