"""Options of policies: what is refused, and what each of spf-v9's changes."""

from typing import ClassVar

import pytest

from kactors import Machine, Scenario, run
from kactors.engine.errors import UsageError
from kactors.options import Options
from kactors.policies import find_policy, load_policy
from kactors.policies.classic import Classic
from kactors.policies.spf_v9 import SpfV9
from protocols.host import StealCpu
from protocols.page_table import ClearPmd, PmdState
from protocols.scenario import Khugepaged
from protocols.tracepoints import FaultDone, PmdChanged, SpfAbort
from tests.accounting import assert_settled
from tests.actors.scenes import BASE, PAGE, PMD, Delivered, Heard, Hypervisor, played, scene, wait_until

POPULATED = "pmd_populated_under_collapse"
SPECULATIVE = {"page_tables": "speculative"}
MARKED = {"page_tables": "speculative", "pmd_marker": "collapsing"}


@pytest.mark.parametrize(
    ("policy", "options", "message"),
    [
        ("spf-v9", {"pmd_mark": "none"}, "spf-v9 has no option pmd_mark; did you mean pmd_marker?"),
        ("spf-v9", {"pmd_marker": "huge"}, "spf-v9: pmd_marker = 'huge': should be 'none' or 'collapsing'"),
        ("spf-v9", {"page_tables": True}, "spf-v9: page_tables = True: should be 'never' or 'speculative'"),
        ("spf-v9", {"pte_lock": "try"}, "spf-v9: pte_lock = 'try': should be 'trylock' or 'spin'"),
        ("classic", {"pte_lock": "spin"}, "classic has no option pte_lock; it has none"),
        ("spf-v9-without-trylock", {"x": 1}, "spf-v9-without-trylock has no option x; it has pmd_marker"),
    ],
)
def test_a_wrong_option_is_named_with_what_would_be_right(policy, options, message):
    with pytest.raises(UsageError) as caught:
        run(Scenario(machine="small", policy=policy, policy_options=options))
    assert str(caught.value).startswith(message)


def test_two_policies_of_one_class_keep_their_own_options():
    spin, plain = load_policy("spf-v9", {"pte_lock": "spin"}), load_policy("spf-v9")
    assert (spin.options.pte_lock, plain.options.pte_lock, SpfV9.options.pte_lock) == ("spin", "trylock", "trylock")


def test_a_policy_of_ones_own_has_options_of_its_own():
    class Mine(Classic):
        class MineOptions(Options):
            tries: int = 3

        name: ClassVar[str] = "mine"
        options_type: ClassVar[type[Options]] = MineOptions

    assert Mine.from_options({"tries": 4}).options.tries == 4
    with pytest.raises(UsageError, match="mine: tries = 'x'"):
        Mine.from_options({"tries": "x"})


# --- pte_lock --------------------------------------------------------------------------------------------------------


def test_a_spin_is_the_deadlock_of_the_broken_policy():
    scenario = {"workload": "munmap-vs-fault", "machine": "small", "costs": {"mmu_gather_pages": 3}}
    runs = (run(Scenario(**scenario, policy="broken-blocking-spin", seed=seed)) for seed in range(100))
    broken = next(result for result in runs if result.stop.kind == "deadlock")
    scenario["seed"] = broken.scenario.seed
    spinning = run(Scenario(**scenario, policy_options={"pte_lock": "spin"}))
    assert spinning.stop.kind == "deadlock"
    assert spinning.fingerprint == broken.fingerprint
    assert run(Scenario(**scenario)).stop.kind == "quiescent"


# --- page_tables -----------------------------------------------------------------------------------------------------


async def second_pmd(thread):
    """An area of two PMD ranges, the second of which has its page table."""
    await thread.mmap(2 * PMD, address=BASE)
    await thread.touch(BASE + PMD)


async def one_write(thread):
    assert await thread.touch(BASE)


@pytest.mark.parametrize(
    ("options", "paths"), [({}, {"classic": 3, "spf": 0}), (SPECULATIVE, {"classic": 1, "spf": 2})]
)
def test_the_first_fault_of_a_pmd_range_can_be_speculative(options, paths):
    async def while_that_zeroes_its_page(thread):
        await thread.compute(1_000)
        await one_write(thread)

    bodies, costs = (one_write, while_that_zeroes_its_page), {"clear_page_ns": 20_000}
    machine, result = played(*bodies, policy="spf-v9", set_up=second_pmd, policy_options=options, costs=costs)
    assert {"spf": 0} | result.fault_paths == paths
    assert len(machine.system.ptls()) == 2, "two speculations at once, but one table"
    assert_settled(machine)


def test_no_table_is_left_behind_by_a_munmap_that_came_first():
    """Whenever the area goes, a table that a speculation installs goes with it or is not installed."""
    for late_ns in range(0, 12_000, 250):

        async def unmap(thread, late_ns=late_ns):
            await thread.compute(late_ns)
            await thread.munmap(BASE, PMD)

        async def fault(thread):
            await thread.touch(BASE)

        options = {"policy": "spf-v9", "set_up": second_pmd, "policy_options": SPECULATIVE}
        machine, result = played(fault, unmap, **options)
        assert result.stop.kind == "quiescent"
        assert [ptl.pmd_address for ptl in machine.system.ptls() if not ptl.freed] == [BASE + PMD], late_ns
        assert_settled(machine)


def test_munmap_takes_tables_out_only_under_pmd_lock():
    heard = Heard(FaultDone)
    cpus = []

    async def hold(thread):
        cpus.append(thread.cpu)
        await thread.cpu.pmd_lock(BASE + PMD)
        await thread.compute(200_000)
        thread.cpu.pmd_unlock(BASE + PMD)

    async def unmap(thread):
        await thread.compute(20_000)
        began_ns = thread.cpu.clock_ns
        await thread.munmap(BASE, 2 * PMD)
        assert thread.cpu.clock_ns - began_ns > 150_000

    machine, _ = played(hold, unmap, policy="spf-v9", set_up=second_pmd, observers=[heard])
    assert all(ptl.freed for ptl in machine.system.ptls())
    assert_settled(machine)


# --- pmd_marker ------------------------------------------------------------------------------------------------------


async def huge_area(thread):
    await thread.mmap(PMD, address=BASE)
    await thread.madvise_hugepage(BASE, PMD)
    await thread.touch(BASE + 9 * PAGE)


def collapse_scene(*bodies, observers=(), **options):
    return scene(*bodies, policy="spf-v9", set_up=huge_area, collapse_ms=1, policy_options=options, observers=observers)


def collapsed(*bodies, **options):
    machine = collapse_scene(*bodies, **options)
    return machine, machine.run()


def cleared_at():
    """When a collapse with nobody in the way clears its PMD."""
    delivered = Delivered(ClearPmd)
    collapsed(lambda thread: wait_until(thread, 3e6), observers=[delivered])
    return delivered.all[0][0]


def verdicts_around_the_clearing(options):
    """Take a fault's CPU away between its look-up and its walk, for longer and longer, until a collapse has cleared."""
    begins_ns = cleared_at() - 1_500

    async def fault(thread):
        await wait_until(thread, begins_ns)
        await thread.touch(BASE + 3 * PAGE)
        await wait_until(thread, 3e6)

    found = set()
    for stolen_ns in range(50, 2_000, 50):
        reasons = Heard(SpfAbort)
        machine = collapse_scene(fault, observers=[reasons], **options)
        steal = StealCpu(duration=stolen_ns)
        Hypervisor(machine.system.engine, 1).say(begins_ns + 300, machine.system.cpus[0], steal)
        result = machine.run()
        if result.stop.kind == "violation":
            found.add(result.stop.property)
        else:
            found |= {abort.reason for abort in reasons.of(SpfAbort)}
            assert_settled(machine)
    return found


def test_a_pmd_under_collapse_is_taken_for_an_empty_one():
    """Why SPF v9 allocates no page tables: with none for both, the mail's wish breaks the collapse."""
    assert POPULATED in verdicts_around_the_clearing(SPECULATIVE)


def test_a_mark_of_its_own_makes_it_safe():
    found = verdicts_around_the_clearing(MARKED)
    assert POPULATED not in found
    assert "spf_pmd_changed" in found


def test_without_page_tables_the_mark_only_names_the_reason():
    found, marked = verdicts_around_the_clearing({}), verdicts_around_the_clearing({"pmd_marker": "collapsing"})
    assert "spf_vma_notsup" in found
    assert "spf_pmd_changed" not in found
    assert "spf_pmd_changed" in marked
    assert "spf_vma_notsup" not in marked


@pytest.mark.parametrize(("marker", "left"), [("none", PmdState.NONE), ("collapsing", PmdState.COLLAPSING)])
def test_a_collapse_leaves_the_mark_until_it_is_done(marker, left):
    heard = Heard(PmdChanged)
    machine, _ = collapsed(lambda thread: wait_until(thread, 3e6), observers=[heard], pmd_marker=marker)
    assert [changed.state for changed in heard.of(PmdChanged)] == ["table", left, "huge"]
    assert_settled(machine)


def test_a_collapse_that_fails_puts_the_table_back_in_the_marks_place():
    """E6: the pages are gone by the time that khugepaged isolates them."""

    async def work(thread, before_ns):
        await wait_until(thread, at_ns - before_ns)
        await thread.madvise_dontneed(BASE, PMD)
        await wait_until(thread, 3e6)

    at_ns, seen = cleared_at(), set()
    for before_ns in range(0, 4_000, 100):
        heard = Heard(PmdChanged)
        machine, _ = played(
            lambda thread, before_ns=before_ns: work(thread, before_ns),
            policy="spf-v9",
            set_up=huge_area,
            policy_options=MARKED,
            khugepaged=Khugepaged(scan_sleep_millisecs=1, max_ptes_none=511),
            observers=[heard],
        )
        seen.add(tuple(changed.state for changed in heard.of(PmdChanged))[:3])
        assert_settled(machine)
    assert ("table", "collapsing", "table") in seen


@pytest.mark.parametrize("name", ["spf-v9", "broken-no-pmd-check", "spf-v9-without-trylock"])
def test_every_spf_can_be_had_with_the_mark(name):
    assert find_policy(name).from_options(MARKED).collapsing_pmd is PmdState.COLLAPSING


def test_no_other_policy_marks():
    assert Machine(Scenario(machine="small", policy="per-vma")).system.policy.collapsing_pmd is PmdState.NONE
