"""The report of one run: every figure in its place."""

import re

import pytest

from kactors import Scenario
from kactors.report import report
from protocols.result import IpiWaits
from protocols.scenario import Bounds
from protocols.stop import EventLimit, PredicateHeld, Quiescent
from tests.report.samples import DEADLOCK, NOBODY, cpu_time, sample


def lines_of(text, start):
    """The block of lines that begins with the one that starts so."""
    block = text[text.index(start) :].split("\n\n")[0]
    return block.splitlines()


def cells(line):
    return re.split(r"\s{2,}", line.strip())


def test_counters_are_in_perf_stats_form():
    text = report(sample())
    assert text.startswith(
        """\
 Performance counter stats for 'ebizzy -mTRp':

            888157      faults
            884773      spf
                92      pagefault:spf_pte_lock
              2379      pagefault:spf_vma_changed
                 1      pagefault:spf_vma_noanon
                80      pagefault:spf_vma_notsup
                 2      pagefault:spf_vma_access
                 3      pagefault:spf_pmd_changed
               827      residual                   # faults - spf - the six reasons: served without a speculation,\
 or under way at the end

       0.020000000 seconds time elapsed (virtual)
"""
    )


@pytest.mark.parametrize(
    ("ns", "line"),
    [(1_004_244_114, "       1.004244114 seconds time elapsed"), (5, "       0.000000005 seconds time elapsed")],
)
def test_the_elapsed_time_is_exact(ns, line):
    assert f"\n{line}" in report(sample(virtual_ns=ns))


@pytest.mark.parametrize(
    ("scenario", "workload", "name"),
    [
        (Scenario(options={"P": True, "p": 0, "n": 3, "t": 8}), "ebizzy", "ebizzy -mTRP -n 3 -t 8"),
        (Scenario(options=dict.fromkeys("mTRp", False)), "ebizzy", "ebizzy"),
        (Scenario(workload="recording", options={"file": "a/b.xz"}), "recording", "replay a/b.xz"),
        (Scenario(workload="collapse", options={"pmds": 2}), "collapse", "collapse pmds=2"),
        (Scenario(), "program", "program"),
    ],
)
def test_the_command_is_named_with_its_flags(scenario, workload, name):
    assert f" for '{name}':" in report(sample(scenario=scenario, workload=workload))


def test_throughput_and_paths():
    text = report(sample())
    assert "306,611 records/s: 6,121 in 20.0 ms; 102,187 faults/s" in text
    assert "classic 250 (25.0 %), spf 750 (75.0 %)" in text
    assert "ebizzy under spf-v9 on x86-vm-16, 16 CPUs, 32 threads; ended at 20.0 ms: virtual time is up" in text


def test_ipi_waits_and_the_worst_story():
    block = lines_of(report(sample()), " IPI waits")
    assert cells(block[0]) == ["IPI waits", "count", "p50", "p90", "p99", "max", "total"]
    assert cells(block[1]) == ["flush", "530", "5.14 us", "10.3 us", "15.4 us", "20.6 us", "46.3 us"]
    assert cells(block[2]) == ["sync", "10", "700 ns", "1.40 us", "2.10 us", "2.80 us", "6.30 us"]
    assert cells(block[3])[:2] == ["all", "540"]
    assert block[4].strip() == (
        "worst: cpu0 waited 40.5 us (flush to 1 CPU, sent at 7.236771 ms); cpu1 was last: irqs off in pte_map_lock,"
        " delayed 35000 ns"
    )


def test_nobody_waited():
    block = lines_of(report(sample(ipi=IpiWaits(all=NOBODY, flush=NOBODY, sync=NOBODY, worst=None))), " IPI waits")
    assert cells(block[3]) == ["all", "0", "-", "-", "-", "-", "-"]
    assert len(block) == 4


def test_mmap_sem_waits_by_read_and_write():
    block = lines_of(report(sample()), " mmap_sem waits")
    assert cells(block[0])[-1] == "slept"
    assert cells(block[1]) == ["read", "21", "100 ns", "200 ns", "300 ns", "400 ns", "900 ns", "6"]
    assert cells(block[2])[:3] == ["write", "4,082", "2.00 us"]
    assert cells(block[2])[-1] == "7"
    assert cells(block[3])[:3] == ["write hold", "4,081", "900 ns"]


def test_transient_pages_beside_their_bounds():
    block = lines_of(report(sample()), " transient pages")
    assert [cells(line) for line in block[:4]] == [
        ["transient pages", "peak", "threads - 1", "CPUs - 1"],
        ["one address", "11", "31", "15"],
        ["one mm", "12", "31", "15"],
        ["machine", "13", "31", "15"],
    ]
    assert block[4].strip() == (
        "2,044 allocated, 511 wasted (25.0 %): 61.5 us of zeroing, 2.00 MiB; highest at 0.452860 ms; 4 now"
    )


def test_few_cpus_have_a_row_each():
    block = lines_of(report(sample(cpu_time=(cpu_time(0, 250, 750), cpu_time(1, 1000, 0)))), " CPU time, %")
    assert cells(block[0])[1:6] == ["user", "fault", "syscall", "lock spin", "lock sleep"]
    assert cells(block[0])[6:] == ["IPI wait", "IPI service", "zeroing wasted", "switch", "idle"]
    assert (cells(block[1])[:2], cells(block[1])[-1]) == (["cpu0", "25.0"], "75.0")
    assert (cells(block[2])[:2], cells(block[2])[-1]) == (["cpu1", "100.0"], "0.0")


def test_many_cpus_are_summed_up():
    times = tuple(cpu_time(cpu, 100 * cpu, 900 - 100 * cpu) for cpu in range(9))
    block = lines_of(report(sample(cpu_time=times)), " CPU time, %")
    assert [cells(line)[:2] for line in block[1:]] == [["mean", "44.4"], ["least", "0.0"], ["most", "88.9"]]


def test_a_cpu_without_time_is_no_error():
    assert "cpu0" in report(sample(virtual_ns=0, cpu_time=(cpu_time(0, 0, 0),)))


def test_memory_collapses_notes():
    text = report(sample())
    assert "15,051 of 16,384 pages free at the end; watermarks crossed: low 3, min 2; OOM kills: 0" in text
    assert " collapses      succeeded 5\n" in text
    assert " vmstat         pgalloc_normal 1,333\n" in text
    assert " note           5 of 60000 lines are unreadable and were skipped\n" in text
    assert "collapses" not in report(sample(collapses={}))


def test_seed_and_fingerprint_come_last():
    *_, fingerprint, seed = report(sample()).splitlines()
    assert fingerprint.split() == [
        *("fingerprint", "71ecd20cc4553ea6a3eaa575a37b6f6a,", "114,003", "deliveries,", "kactors", "0.1.0")
    ]
    assert seed.split() == ["seed", "77"]


@pytest.mark.parametrize(
    ("stop", "words"),
    [
        (Quiescent(), "every thread has finished"),
        (EventLimit(events=1000), "1,000 deliveries, the most it was allowed"),
        (PredicateHeld(), "the caller's condition became true"),
        (DEADLOCK, "DEADLOCK"),
    ],
)
def test_why_it_ended(stop, words):
    assert f"ended at 20.0 ms: {words}\n" in report(sample(stop=stop))


def test_only_a_finding_tells_how_to_repeat_it():
    scenario = Scenario(seed=5, bounds=Bounds(transient_pages_max=3), until_ns=7_000_000)
    again = (
        "kactors run ebizzy --machine x86-vm-16 --policy spf-v9 --seed 5 --until 7ms --set bounds.transient_pages_max=3"
    )
    assert f" again          {again}\n" in report(sample(stop=DEADLOCK, scenario=scenario))
    assert "again" not in report(sample(scenario=scenario))
    assert "again" not in report(sample(stop=DEADLOCK, scenario=scenario, workload="program"))


def test_plain_text_only():
    text = report(sample(stop=DEADLOCK))
    assert text.isascii()
    assert "\x1b" not in text
    assert all(line == line.rstrip() for line in text.splitlines())
