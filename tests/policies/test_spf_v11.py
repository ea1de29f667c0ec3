"""SPF version 11, where it differs from version 9: the lock that is tried again, the VMA looked up anew, vmstat."""

import pytest

from kactors.policies import find_policy
from protocols.page_table import TrylockPte
from protocols.tracepoints import IrqDisable, SpfAbort
from protocols.vma import VmaKind
from tests.actors.programs import later, one_write, with_history
from tests.actors.scenes import BASE, PAGE, Delivered, Heard, played
from tests.policies.searched import searched
from tests.policies.steps import asked, counted

POLICY = "spf-v11"
SLOW_ZEROING = {"clear_page_ns": 100_000}


async def hold_the_lock(thread):
    table = (await thread.cpu.read_pmd(BASE)).table
    await thread.cpu.pte_lock(table, BASE + PAGE)
    await thread.compute(100_000)
    thread.cpu.pte_unlock(table)


async def with_file_area(thread):
    await thread.mmap(10 * PAGE, address=BASE, kind=VmaKind.FILE)
    await thread.touch(BASE + 9 * PAGE)


def names(requests):
    return [request for _, request in requests]


def test_with_nobody_in_the_way_it_asks_what_version_9_asks():
    assert names(asked(POLICY, with_history)) == names(asked("spf-v9", with_history))


def test_each_success_is_in_vmstat_and_no_fallback_is():
    counts, result = counted(one_write, policy=POLICY, prefix="spec")
    assert counts == {"speculative_pgfault": 1}
    assert result.counters.spf == 1
    counts, _ = counted(one_write, policy=POLICY, set_up=with_file_area, prefix="spec")
    assert counts == {}


def test_version_9_has_no_such_counter():
    counts, _ = counted(one_write, policy="spf-v9", prefix="spec")
    assert counts == {}


def test_a_lock_that_is_held_is_tried_until_it_is_free_with_interrupts_in_between():
    reasons, tries, off = Heard(SpfAbort), Delivered(TrylockPte), Heard(IrqDisable)
    _, result = played(
        one_write,
        later(hold_the_lock),
        policy=POLICY,
        set_up=with_history,
        observers=[reasons, tries, off],
        costs=SLOW_ZEROING,
    )
    assert reasons.all == []
    assert result.counters.spf == 1
    assert result.transient.wasted == 0
    assert len(tries.all) > 10
    commits = [disable for _, who, disable in off.all if who == "cpu0" and disable.path == "pte_map_lock"]
    assert len(commits) == len(tries.all)


def test_a_change_while_it_tries_still_ends_it():
    async def hold_and_change(thread):
        table = (await thread.cpu.read_pmd(BASE)).table
        await thread.cpu.pte_lock(table, BASE + PAGE)
        await thread.compute(80_000)
        vma = await thread.cpu.copy_vma(BASE)
        thread.cpu.vm_write_begin(vma.vma_id)
        await thread.compute(10_000)
        thread.cpu.pte_unlock(table)
        thread.cpu.vm_write_end(vma.vma_id)

    reasons = Heard(SpfAbort)
    _, result = played(
        one_write,
        later(hold_and_change),
        policy=POLICY,
        set_up=with_history,
        observers=[reasons],
        costs=SLOW_ZEROING,
    )
    assert [abort.reason for abort in reasons.of(SpfAbort)] == ["spf_vma_changed"]
    assert result.transient.wasted == 1


def test_after_an_abort_the_classic_path_looks_the_vma_up_anew():
    said = names(asked(POLICY, with_file_area))
    assert said[1:5] == ["GetVma", "PutVma", "DownRead", "FindVma"]
    assert "ReadVma" not in said


def test_the_check_of_a_kept_vma_is_gone():
    checks = {check.name for check in find_policy(POLICY).checks}
    assert {check.name for check in find_policy("spf-v9").checks} - checks == {"can_reuse_spf_vma"}


@pytest.mark.parametrize("scene", ["collapse-fault", "munmap-table", "munmap-page", "mail-deadlock"])
def test_no_interleaving_breaks_it(scene):
    """In mail-deadlock the lock's holder waits for this CPU, which takes the interrupt between two tries."""
    assert searched(scene, POLICY) is None


@pytest.mark.parametrize(
    ("dropped", "scene", "finding"),
    [
        ("last_vma_check", "munmap-page", "pte_in_unmapped_area"),
        ("commit_irqs_off", "munmap-table", "freed_table_touched"),
        ("trylock", "mail-deadlock", "deadlock"),
    ],
)
def test_what_each_check_protects_from(dropped, scene, finding):
    assert searched(scene, f"{POLICY}-without-{dropped}") == finding
