"""The table of `kactors compare`."""

import re

from kactors.report import comparison
from kactors.report.comparison import HEADERS, aborts, fast_share
from protocols.result import Throughput
from tests.report.samples import COUNTERS, DEADLOCK, NOBODY, sample


def rate(per_s):
    return Throughput(unit="records", records=1, measured_ns=1, per_s=per_s, faults_per_s=0.0)


def rows(results):
    lines = comparison(results).split("\n\n")[1].splitlines()
    return [re.split(r"\s{2,}", line.strip()) for line in lines]


def test_every_column():
    first, second = rows([sample(policy="classic", throughput=rate(100.0)), sample(throughput=rate(640.0))])[1:]
    header = rows([sample()])[0]
    assert tuple(header) == HEADERS
    # the base has no gain: its cell is empty
    assert first[:3] == ["classic", "100 records/s", "888,157"]
    assert dict(zip(header, second, strict=True)) == {
        "policy": "spf-v9",
        "throughput": "640 records/s",
        "gain": "+540.0 %",
        "faults": "888,157",
        "fast path": "75.0 %",
        "aborts": "2,557",
        "IPI wait p50": "5.14 us",
        "IPI p99": "15.4 us",
        "IPI max": "20.6 us",
        "mmap_sem write p99": "6.00 us",
        "transient peak": "12",
        "wasted": "511",
        "finding": "none",
    }


def test_a_finding_is_named():
    assert rows([sample(), sample(stop=DEADLOCK)])[2][-1] == "DEADLOCK"


def test_nobody_waited_is_not_zero():
    calm = sample().ipi.model_copy(update={"all": NOBODY})
    assert rows([sample(), sample(ipi=calm)])[2][6:9] == ["-", "-", "-"]


def test_the_heading_names_what_all_share():
    assert comparison([sample()]).startswith("ebizzy on x86-vm-16, 16 CPUs, 32 threads, seed 77 for all:\n\n")


def test_a_policy_that_never_tries_has_no_fast_path():
    none = dict.fromkeys(set(COUNTERS.model_dump()) - {"faults", "residual"}, 0)
    counters = COUNTERS.model_copy(update=none | {"residual": COUNTERS.faults})
    assert fast_share(sample(fault_paths={"classic": 9}, counters=counters)) == "-"
    # one that tries and never gets through has
    assert fast_share(sample(fault_paths={"classic": 9})) == "0.0 %"


def test_attempts_of_per_vma_locks_count_too():
    counters = COUNTERS.model_copy(update={"faults": 10, "spf": 0, "residual": 10})
    vmstat = {"vma_lock_success": 100, "vma_lock_abort": 1, "vma_lock_retry": 2, "vma_lock_miss": 4}
    assert aborts(sample(counters=counters, vmstat=vmstat)) == 7
    assert fast_share(sample(fault_paths={"classic": 1, "vma_lock": 3}, counters=counters)) == "75.0 %"
