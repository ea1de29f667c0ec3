"""Replay of recordings: what was recorded is done, on fewer or more threads, each repetition in areas of its own."""

from dataclasses import replace
from pathlib import Path

import pytest

from kactors import Machine, Scenario
from kactors.engine.errors import UsageError
from kactors.machines import load_machine
from kactors.recordings.areas import RecordedArea
from kactors.recordings.steps import PROT_READ, PROT_WRITE, Brk, Fault, Madvise, Mmap, Mprotect, Munmap
from kactors.recordings.threads import Moment, RecordedThread
from kactors.workloads import load_workload
from kactors.workloads.recording import Replay
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
    assert recorded(EBIZZY).measured.joins
    assert mapped == [areas + 1, 2 * (areas + 1)], "and the one with pages that new areas join"
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
    one_after_the_other = [[10_000_000 * n + 1000 * step for step in range(len(steps))] for n in range(threads)]
    recorded_threads = tuple(thread(*steps, tid=10 + n, at=at) for n, at in enumerate(one_after_the_other))
    measured = replace(recording.measured, joins=False)
    return Replay(replace(recording, threads=recorded_threads, areas=(old, library), measured=measured))


def thread(*steps, tid=10, at=(), away=()):
    """A thread whose steps took place at ``at``, by default one after the other; before ``away`` it was off its CPU."""
    moments = [at[n] if n < len(at) else 1000 * n for n in range(len(steps))]
    return RecordedThread(
        tid=tid,
        comm="app",
        steps=steps,
        start_ns=0,
        moments=tuple(Moment(ns, ns, n in away) for n, ns in enumerate(moments)),
    )


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
    # Half of the way into each of the two calls, and half of that out of the first, is the kernel's share of it.
    assert 77_000 - 260 <= worker <= 77_100 + 2_000


def test_a_recording_without_a_step_is_refused():
    recording = replace(
        recorded(EBIZZY), threads=(RecordedThread(tid=1, comm="app", steps=(), start_ns=0, moments=()),)
    )
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
    with pytest.raises(UsageError, match="recording needs the option file"):
        load_workload("recording", {})


def test_a_whole_replay_ends_in_order():
    machine = Machine(scenario(COLLAPSE, policy="per-vma"), properties=False)
    result = machine.run()
    assert result.stop.kind == "quiescent"
    assert machine.system.workload.skipped_steps <= 2, "only what the recording itself does not explain"
    assert_settled(machine)


# --- what depends on other threads ------------------------------------------------------------------------------------


def together(*threads, joins=False, policy="classic", cpus=None):
    """Replay recorded threads to their end; return the workload and what was heard, as (at_ns, who, tracepoint)."""
    recording = recorded(EBIZZY)
    heard = Heard(SyscallDone, PageFaultUser, WorkersStarted, FaultDone)
    measured = replace(recording.measured, joins=joins)
    workload = Replay(replace(recording, threads=threads, areas=(), measured=measured))
    machine = Machine(Scenario(machine="zen4-vm-2", policy=policy, cpus=cpus), workload=workload, observers=[heard])
    assert machine.run().stop.kind == "quiescent"
    assert_settled(machine)
    return workload, heard.all


def late(step, user_ns):
    return replace(step, user_ns=user_ns)


def test_a_fault_waits_for_the_thread_that_maps_its_memory():
    mapper = thread(late(mmap(FIRST, 1), 500_000), tid=10, at=[100])
    user = thread(fault(FIRST), tid=11, at=[200])
    workload, heard = together(mapper, user)
    assert workload.skipped_steps == 0
    order = [entry for _, _, entry in heard if type(entry) in (SyscallDone, PageFaultUser)]
    assert [type(entry) for entry in order] == [SyscallDone, PageFaultUser]


def test_memory_is_not_unmapped_under_a_thread_that_has_yet_to_use_it():
    owner = thread(mmap(FIRST, 1), Munmap(user_ns=0, address=FIRST, length=PAGE), tid=10, at=[100, 900])
    user = thread(late(fault(FIRST), 700_000), tid=11, at=[500])
    workload, heard = together(owner, user)
    assert workload.skipped_steps == 0
    order = [type(entry) for _, _, entry in heard if type(entry) in (SyscallDone, FaultDone)]
    assert order == [SyscallDone, FaultDone, SyscallDone]


def test_protection_is_changed_before_those_who_need_it():
    steps = (mmap(FIRST, 1, prot=PROT_READ), late(Mprotect(user_ns=0, address=FIRST, length=PAGE, prot=RW), 400_000))
    workload, heard = together(thread(*steps, at=[100, 200]), thread(fault(FIRST), tid=11, at=[300]))
    assert workload.skipped_steps == 0
    assert [entry.path for _, _, entry in heard if type(entry) is FaultDone] == ["classic"]


def test_threads_that_got_one_place_after_the_other_do_not_wait_for_each_other():
    def round_of(user_ns):
        return late(mmap(FIRST, 1), user_ns), fault(FIRST), Munmap(user_ns=0, address=FIRST, length=PAGE)

    first = thread(*round_of(900_000), tid=10, at=[100, 200, 300])
    second = thread(mmap(SECOND, 1), *round_of(100), tid=11, at=[50, 400, 500, 600])
    _, heard = together(first, second)
    calls_of = [who for _, who, entry in heard if type(entry) is SyscallDone]
    assert calls_of == ["cpu1", "cpu1", "cpu1", "cpu0", "cpu0"]


def test_a_thread_that_was_away_comes_back_when_the_others_are_as_far_as_they_were():
    busy = thread(*(late(mmap(FIRST + 16 * n * PAGE, 1), 50_000) for n in range(4)), at=[100, 200, 300, 400])
    back = thread(mmap(SECOND, 1), late(mmap(SECOND + PAGE, 1), 0), tid=11, at=[50, 350], away=[1])
    _, heard = together(busy, back)
    order = [who for _, who, entry in heard if type(entry) is SyscallDone]
    assert order == ["cpu1", "cpu0", "cpu0", "cpu0", "cpu1", "cpu0"] or order[-3:] == ["cpu0", "cpu0", "cpu1"]
    assert order.index("cpu1", 1) >= 4


def test_a_thread_begins_when_the_others_are_as_far_as_they_were():
    busy = thread(*(late(mmap(FIRST + 16 * n * PAGE, 1), 50_000) for n in range(3)), at=[100, 200, 300])
    child = thread(mmap(SECOND, 1), tid=11, at=[250])
    _, heard = together(busy, child)
    assert [who for _, who, entry in heard if type(entry) is SyscallDone].index("cpu1") >= 2


def test_threads_are_spread_by_what_they_compute():
    loads = (900, 500, 300, 200)
    threads = [thread(late(mmap(FIRST, 1), 1000 * load), tid=10 + n, at=[n + 1]) for n, load in enumerate(loads)]
    workload = Replay(replace(recorded(EBIZZY), threads=tuple(threads)))
    machine = load_machine("zen4-vm-2")
    assert [workload.home(number, machine) for number in (1, 2, 3, 4)] == [0, 1, 1, 1]
    sixteen = load_machine("x86-vm-16")
    assert [workload.home(number, sixteen) for number in (1, 2, 3)] == [sixteen.cpu_of(n) for n in (0, 1, 2)]


def test_what_is_mapped_over_something_replaces_it():
    fixed = replace(mmap(FIRST + PAGE, 1), flags=0x32)
    steps = (mmap(FIRST, 3), fault(FIRST + PAGE), fixed, fault(FIRST + PAGE), Munmap(0, FIRST, 3 * PAGE))
    workload, machine, _, entries = replayed(*steps)
    assert workload.skipped_steps == 0
    assert len(faults(entries)) == 2, "a new page where the old one was"
    assert len(machine.system.mm.tree) == 2, "nothing is left of it but the areas from before"


def test_a_repetition_without_the_thread_that_one_waits_for_goes_on():
    mapper = thread(fault(FIRST), tid=10, at=[200])
    other = thread(mmap(FIRST, 1), tid=11, at=[100])
    recording = recorded(EBIZZY)
    workload = Replay(replace(recording, threads=(mapper, other), areas=()))
    machine = Machine(Scenario(machine="zen4-vm-2", policy="classic", threads=3), workload=workload)
    assert machine.run().stop.kind == "quiescent"
    assert workload.skipped_steps == 1, "the third thread's memory is mapped by nobody"


def test_areas_join_one_with_pages_where_they_did_in_the_recording():
    paths = []
    for joins in (False, True):
        _, heard = together(thread(mmap(FIRST, 1), fault(FIRST)), joins=joins, policy="per-vma")
        begun = [type(entry) for _, _, entry in heard].index(WorkersStarted)
        paths += [entry.path for _, _, entry in heard[begun:] if type(entry) is FaultDone]
    assert paths == ["classic", "vma_lock"]
