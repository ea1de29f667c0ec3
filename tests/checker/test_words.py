"""Every message that an actor with threads says or hears has words for a story, and they name what it is about."""

import pytest

from kactors.checker.words import ANSWERS, REQUESTS, answer, request
from protocols import allocation, mmap_sem, page_table, rcu, tlb, vma
from protocols.page_table import Pmd, PmdState
from protocols.roles import heard_by, messages, said_by

CLIENTS = ("cpu", "khugepaged")


@pytest.mark.parametrize("kind", sorted(said_by("cpu") | said_by("khugepaged"), key=lambda kind: kind.__name__))
def test_what_clients_say_has_words(kind):
    assert kind in REQUESTS


def test_what_clients_are_answered_has_words():
    answers = {name for kind in said_by("cpu") | said_by("khugepaged") for name in kind.replies}
    named = {kind for kind in messages() if kind.__name__ in answers}
    assert named <= ANSWERS.keys()
    assert {kind for role in CLIENTS for kind in heard_by(role)} - ANSWERS.keys() - REQUESTS.keys() == {
        tlb.Tlbie,  # the hardware's own doing
        allocation.DrainPages,  # told with what it brings: PagesDrained
        rcu.ReportQuiescent,  # likewise: Quiescent
        rcu.RcuCallback,  # the frames that come back, freed by what follows
    }


def test_no_words_are_for_nobody():
    assert set(REQUESTS) | set(ANSWERS) <= set(messages())


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (mmap_sem.DownWrite(), "down_write(mmap_sem)"),
        (page_table.TrylockPte(index=3), "spin_trylock(ptl) for pte[3]"),
        (vma.GetVma(address=0x7F0000001000), "get_vma(0x7f0000001000)"),
        (
            vma.SetVmaFlags(vma_id=2, readable=True, writable=False, hugepage=False),
            "vm_flags of vma 2 = r-",
        ),
        (page_table.ProtectPtes(first=0, last=2, writable=False), "change_pte_range(pte[0..2), read-only)"),
    ],
)
def test_a_request_reads_as_the_call_that_makes_it(message, words):
    assert request(message) == words


def test_a_lock_has_its_table_where_there_are_several():
    assert request(page_table.UnlockPte(), lock="ptl@7e") == "spin_unlock(ptl@7e)"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (page_table.PteLockBusy(), "busy"),
        (vma.VmaSequence(sequence=4, attached=False), "4, detached"),
        (Pmd(state=PmdState.TABLE, table=5, pfn=-1), "table 5"),
        (Pmd(state=PmdState.HUGE, table=-1, pfn=512), "huge pfn 512"),
        (Pmd(state=PmdState.NONE, table=-1, pfn=-1), "none"),
        (vma.VmaFound(vma=None), "no vma"),
        (page_table.PtesZapped(pfns=(1, 2, 3, 4), written=()), "pfns 1..4"),
        (page_table.PtesZapped(pfns=(1, 3, 5, 9), written=()), "pfns 1, 3, 5 and 1 more"),
        (mmap_sem.MmapSemReleased(woken=0, ipis=0), ""),
    ],
)
def test_an_answer_reads_as_what_came_of_it(message, words):
    assert answer(message) == words
