"""The two recordings in `recordings/`, with the counts that other tools find in them."""

import lzma
import re
from collections import Counter
from pathlib import Path

import pytest

from kactors.recordings import (
    Brk,
    CallCounts,
    Distribution,
    Fault,
    Madvise,
    Mmap,
    Munmap,
    ReadReport,
    RecordedArea,
    RecordingError,
    read_recording,
)

FOLDER = Path(__file__).parents[2] / "recordings"
EBIZZY = FOLDER / "ebizzy-mTRp-t4.perf.txt.xz"
KHUGEPAGED = FOLDER / "khugepaged-collapse.perf.txt.xz"


@pytest.fixture(scope="module")
def ebizzy():
    return read_recording(EBIZZY)


@pytest.fixture(scope="module")
def khugepaged():
    return read_recording(KHUGEPAGED)


def kinds(recording):
    return Counter(type(step) for thread in recording.threads for step in thread.steps)


def test_ebizzy_as_a_whole(ebizzy):
    assert (ebizzy.pid, ebizzy.comm, ebizzy.cpus) == (16786, "ebizzy", (0, 1))
    assert ebizzy.report == ReadReport(60_000, 60_000, 0, None)
    assert (ebizzy.span_ns, ebizzy.tracing_ns, ebizzy.failed_calls) == (126_547_798, 1_051, 0)
    assert [(each.pid, each.faults) for each in ebizzy.candidates] == [(16786, 3167)]


def test_ebizzys_threads_do_mmap_fault_munmap_over_and_over(ebizzy):
    # Two munmaps are cut by the end of the window; the mmap that it cuts is no step.
    assert kinds(ebizzy) == {Fault: 3167, Mmap: 3166, Munmap: 3167}
    assert [(thread.tid, len(thread.steps)) for thread in ebizzy.threads] == [
        (16787, 2100),
        (16788, 1953),
        (16789, 3515),
        (16790, 1932),
    ]
    following = {Mmap: Fault, Fault: Munmap, Munmap: Mmap}
    for thread in ebizzy.threads:
        assert all(
            type(after) is following[type(step)] for step, after in zip(thread.steps, thread.steps[1:], strict=False)
        )
        assert all(not step.file and step.length == 8 for step in thread.steps if isinstance(step, Mmap))
        assert all(step.write for step in thread.steps if isinstance(step, Fault))
        copies = [step.address for step in thread.steps if isinstance(step, Mmap)]
        assert [step.address for step in thread.steps if isinstance(step, Fault)][-len(copies) + 1 :] == copies[
            -len(copies) + 1 :
        ]


def test_ebizzy_touches_only_what_it_maps_in_the_window(ebizzy):
    assert ebizzy.areas == ()


def test_ebizzys_facts(ebizzy):
    facts = ebizzy.facts
    assert facts == ebizzy.machine_facts
    assert facts.faults == 3167
    assert facts.calls == CallCounts(mmap=3166, munmap=3165, mprotect=0, madvise=0, brk=0)
    assert facts.write_wait == Distribution(6331, 1_191, 1_322, 2_141_905, 8_038_456)
    assert facts.read_wait == Distribution(10, 1_322, 3_422_183, 5_755_171, 5_755_171)
    assert facts.remote_flushes == 3050
    assert facts.flush_ipi == Distribution(118, 29_499, 40_074, 46_695, 55_952)
    assert (facts.sync_ipi.count, facts.collapses) == (0, 0)


def test_ebizzy_computes_about_a_microsecond_between_steps(ebizzy):
    for thread in ebizzy.threads:
        times = sorted(step.user_ns for step in thread.steps)
        assert 500 < times[len(times) // 2] < 1_500
        # All threads share two CPUs with the kernel's part of the work.
        assert sum(times) < ebizzy.span_ns // 10


def test_ebizzy_in_perfs_default_layout(ebizzy, tmp_path):
    with lzma.open(EBIZZY, "rt") as text:
        lines = [re.sub(r"(\d+)/(\d+)( +\[\d+\] +\d+\.\d{6})\d{3}:", r"\2\3:", line, count=1) for line in text]
    path = tmp_path / "default.txt"
    path.write_text("".join(lines))
    default = read_recording(path)
    assert default.pid == 16787
    assert [thread.tid for thread in default.threads] == [thread.tid for thread in ebizzy.threads]
    assert kinds(default) == kinds(ebizzy)
    assert (default.areas, default.facts.calls) == (ebizzy.areas, ebizzy.facts.calls)
    assert default.facts.write_wait.p50_ns == 1_000
    assert default.report == ebizzy.report


def test_khugepaged_as_a_whole(khugepaged):
    assert (khugepaged.pid, khugepaged.comm) == (16105, "thp")
    assert khugepaged.report == ReadReport(52_513, 52_513, 0, None)
    assert khugepaged.span_ns == 804_713_658
    assert [(each.pid, each.comm, each.faults) for each in khugepaged.candidates] == [
        (16105, "thp", 16_486),
        (16104, "perf", 3),
    ]
    assert [(thread.tid, len(thread.steps)) for thread in khugepaged.threads] == [
        (16105, 16_459),
        (16107, 47),
        (16108, 40),
    ]


def test_khugepageds_facts_of_all_tasks(khugepaged):
    facts = khugepaged.machine_facts
    assert facts.faults == 16_489
    assert facts.collapses == 58
    assert facts.calls == CallCounts(mmap=11, munmap=1, mprotect=5, madvise=40, brk=3)
    assert facts.flush_ipi == Distribution(54, 34_277, 61_406, 72_473, 72_473)
    assert facts.sync_ipi == Distribution(43, 28_873, 51_427, 54_886, 54_886)


def test_khugepageds_facts_of_the_program(khugepaged):
    facts = khugepaged.facts
    assert facts.faults == 16_486 == kinds(khugepaged)[Fault]
    # What khugepaged does to the program's mm is the program's.
    assert (facts.collapses, facts.sync_ipi.count, facts.flush_ipi.count) == (58, 43, 54)
    assert facts.write_wait.count == 38


def test_khugepageds_calls(khugepaged):
    assert kinds(khugepaged)[Madvise] == 40
    huge = [step for step in khugepaged.threads[0].steps if isinstance(step, Madvise)]
    assert [(step.address, step.length, step.advice) for step in huge[:1]] == [(0x7F9677800000, 64 << 20, 14)]
    assert [step.address for step in khugepaged.threads[0].steps if isinstance(step, Brk)] == [
        0x55B373697000,
        0x55B373697000,
        0x55B3736B8000,
    ]
    files = [step for step in khugepaged.threads[0].steps if isinstance(step, Mmap) and step.file]
    assert len(files) == 5


def test_khugepageds_areas_are_what_exec_mapped(khugepaged):
    assert khugepaged.areas == (
        RecordedArea(0x55B356F1A000, 0x55B356F1C000, 5, file=True),
        RecordedArea(0x55B356F1D000, 0x55B356F1F000, 3, file=False),
        RecordedArea(0x7F8FE1244000, 0x7F8FE1374000, 5, file=True),
        RecordedArea(0x7F967BC72000, 0x7F967BC9E000, 5, file=True),
        RecordedArea(0x7F967BCA5000, 0x7F967BCA9000, 3, file=False),
        RecordedArea(0x7FFF9F176000, 0x7FFF9F178000, 3, file=False),
    )


def test_another_process_of_the_same_file():
    perf = read_recording(KHUGEPAGED, pid=16104)
    assert (perf.comm, kinds(perf), perf.facts.collapses) == ("perf", {Fault: 3}, 0)
    with pytest.raises(
        RecordingError, match=r"no process 38 .*; there are 16105 \(thp, 16486 faults\), 16104 \(perf, 3 faults\)"
    ):
        read_recording(KHUGEPAGED, pid=38)


def test_a_recording_is_the_same_every_time_it_is_read(ebizzy):
    assert read_recording(EBIZZY) == ebizzy
