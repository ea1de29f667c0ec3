"""One fault of each policy and one collapse, step by step and to the nanosecond, with nobody in the way.

What is said to whom, in this order, is the protocol (the letters are its steps); when it is said is what they cost.
"""

import pytest

from protocols.tracepoints import CollapseDone, IrqDisable
from protocols.vma import VmaKind
from tests.actors.programs import with_history
from tests.actors.scenes import BASE, PAGE, PMD, Heard, played, wait_until
from tests.policies.steps import START_NS, Requests, asked, late_write, with_zero_page

MS = 1_000_000


CLASSIC = [
    (0, "ReadPte"),  # the walk
    (250, "DownRead"),  # A2
    (256, "FindVma"),  # A3
    (298, "ReadPmd"),  # A6
    (299, "ReadPte"),  # A7
    (640, "LockPte"),  # A9, after A8: allocate and clear a page
    (726, "SetPte"),  # A11, after A10
    (726, "UnlockPte"),
    (726, "UpRead"),  # A12
    (832, "ReadPte"),  # the access once more
]
SPF = [
    (0, "ReadPte"),
    (250, "GetVma"),  # C1
    (412, "ReadPmd"),  # C8, with irqs off
    (413, "ReadPte"),
    (417, "ReadSequence"),  # C9
    (761, "ReadSequence"),  # C12.i, after C11: allocate
    (762, "ReadPmd"),  # C12.ii
    (763, "TrylockPte"),  # C12.iii
    (769, "ReadSequence"),  # C12.iv
    (853, "SetPte"),  # C14, after C13
    (853, "UnlockPte"),
    (859, "PutVma"),  # C15
    (959, "ReadPte"),
]
PER_VMA = [
    (0, "ReadPte"),
    (250, "WalkVmas"),  # H1
    (293, "VmaStartRead"),
    (301, "ReadPmd"),  # H3: the ordinary fault code
    (302, "ReadPte"),
    (643, "LockPte"),
    (729, "SetPte"),
    (729, "UnlockPte"),
    (735, "VmaEndRead"),
    (835, "ReadPte"),
]


@pytest.mark.parametrize(("policy", "steps"), [("classic", CLASSIC), ("spf-v9", SPF), ("per-vma", PER_VMA)])
def test_a_first_write(policy, steps):
    assert asked(policy, with_history) == steps


@pytest.mark.parametrize(
    ("policy", "locks"), [("classic", "LockPte"), ("spf-v9", "TrylockPte"), ("per-vma", "LockPte")]
)
def test_a_write_to_the_zero_page_clears_the_entry_flushes_and_sets_it_anew_under_the_lock(policy, locks):
    said = [request for _, request in asked(policy, with_zero_page)]
    begin = said.index(locks) + (2 if policy == "spf-v9" else 1)
    assert said[begin : begin + 4] == ["SetPte", "FlushTlb", "SetPte", "UnlockPte"]


async def with_page_made_read_only_and_back(thread):
    await with_history(thread)
    await thread.touch(BASE)
    for writable in (False, True):
        await thread.mprotect(BASE, 10 * PAGE, writable=writable)


@pytest.mark.parametrize("policy", ["classic", "spf-v9", "per-vma"])
def test_a_write_to_a_page_of_ones_own_only_gives_the_right_back(policy):
    """Nobody can have a translation that would be wrong: none is flushed, and no page is brought."""
    said = [request for _, request in asked(policy, with_page_made_read_only_and_back)]
    assert said.count("SetPte") == 1
    assert "FlushTlb" not in said


async def with_file_area(thread):
    await thread.mmap(10 * PAGE, address=BASE, kind=VmaKind.FILE)
    await thread.touch(BASE + 9 * PAGE)


def test_after_an_abort_the_classic_path_goes_on_with_the_vma_that_it_has():
    """C15: one look whether it is still there, instead of find_vma."""
    said = [request for _, request in asked("spf-v9", with_file_area)]
    assert said[1:5] == ["GetVma", "DownRead", "ReadVma", "PutVma"]
    assert "FindVma" not in said


def test_a_speculation_walks_and_commits_with_irqs_off():
    heard = Heard(IrqDisable)
    played(late_write, policy="spf-v9", set_up=with_history, observers=[heard])
    paths = [disable.path for at_ns, _, disable in heard.all if at_ns >= START_NS]
    assert paths == ["page table walk", "pte_map_lock"]


# --- a collapse -------------------------------------------------------------------------------------------------------


async def huge_area(thread):
    await thread.mmap(PMD, address=BASE)
    await thread.madvise_hugepage(BASE, PMD)
    await thread.touch(BASE + 9 * PAGE)
    await thread.touch(BASE + 3 * PAGE, write=False)


def collapse(policy):
    """Return what khugepaged asks from its first scan on until it naps again, and what it tells."""
    requests, done = Requests("khugepaged", MS), Heard(CollapseDone)
    played(
        lambda thread: wait_until(thread, 1.5 * MS),
        policy=policy,
        set_up=huge_area,
        collapse_ms=1,
        observers=[requests, done],
    )
    return requests.all, done.all


SCAN = [
    (0, "NextScanRange"),
    (40, "DownRead"),  # E0
    (146, "FindVma"),
    (386, "ReadPmd"),
    (486, "ScanPtes"),
    (566, "UpRead"),
    (572, "AllocPages"),  # E1, then 511 tail pages of 5 ns
    (3358, "DownWrite"),  # E2
    (3364, "FindVma"),
    (3406, "ReadPmd"),
]
CLEAR = ["PmdLock", "ClearPmd", "FlushTlb", "FlushIpi"]  # E4
COPY = [
    "PmdUnlock",
    "LockPte",  # E5
    "ScanPtes",
    "UnlockPte",
    "LockPte",  # E7, after the copy
    "ZapPtes",
    "UnlockPte",
    "FreePages",
    "PmdLock",  # E8
    "InstallHuge",
    "PmdUnlock",
]


@pytest.mark.parametrize(
    ("policy", "begin", "synchronize", "end"),
    [
        ("classic", [], [], []),
        ("spf-v9", ["VmWriteBegin"], [], ["VmWriteEnd"]),
        ("per-vma", ["VmaStartWrite"], ["SyncIpi"] * 2, []),
    ],
)
def test_a_collapse(policy, begin, synchronize, end):
    asked_for, _ = collapse(policy)
    counts_ns = 6 if policy == "per-vma" else 0  # mm_lock_seq, as mmap_lock is taken for writing
    scan = [*SCAN[:-2], *((at_ns + counts_ns, request) for at_ns, request in SCAN[-2:])]
    assert asked_for[: len(SCAN)] == scan
    assert [request for _, request in asked_for[len(SCAN) :]] == [
        *begin,
        *CLEAR,
        *synchronize,
        *COPY,
        *end,
        "UpWrite",
    ]


def test_a_collapse_takes_its_time():
    asked_for, ((at_ns, who, done),) = collapse("classic")
    copied_ns = next(ns for ns, request in reversed(asked_for) if request == "LockPte")
    isolated_ns = next(ns for ns, request in asked_for if request == "UnlockPte")
    assert copied_ns - isolated_ns == 90_136
    assert (who, done.address, done.status) == ("khugepaged", BASE, "succeeded")
    assert done.duration == at_ns - MS - 40
    assert done.duration == 97_116
