"""Whatever threads do to one address space at once, it ends in order: no deadlock, no violation, no page lost."""

import pytest
from hypothesis import given, settings, strategies as st

from kactors.engine.engine import Limits
from kactors.kernel.pte import ZERO_PFN, pte_pfn
from kactors.machines import load_machine
from tests.accounting import assert_settled, assert_time_adds_up, pages_mapped
from tests.actors.random_programs import BASE, OTHERS, POLICIES, Step, body, do, knobs, machine_with, programs

X86_PMD, POWER_PMD = load_machine("small").pmd_pages, load_machine("p8-80").pmd_pages


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=60)
@given(program=programs(X86_PMD, threads=(1, 4)), knobs=knobs())
def test_any_program_ends_and_leaves_everything_in_order(policy, program, knobs):
    machine = machine_with([body(steps) for steps in program], policy, knobs)
    machine.run()
    assert_settled(machine)


@pytest.mark.parametrize("policy", OTHERS)
@settings(max_examples=25)
@given(program=programs(X86_PMD, threads=(2, 4)), knobs=knobs())
def test_so_it_does_under_the_other_policies(policy, program, knobs):
    settings_of = {**knobs, "policy_options": OTHERS[policy]}
    machine = machine_with([body(steps) for steps in program], policy, settings_of)
    machine.run()
    assert_settled(machine)


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=15)
@given(program=programs(POWER_PMD, threads=(2, 3)), knobs=knobs())
def test_any_program_ends_in_order_on_power(policy, program, knobs):
    machine = machine_with([body(steps) for steps in program], policy, knobs | {"machine": "p8-80"})
    result = machine.run()
    assert_settled(machine)
    assert result.ipi.flush.count == 0


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=40)
@given(program=programs(X86_PMD, threads=(1, 4)), knobs=knobs(), data=st.data())
def test_time_adds_up_wherever_the_run_is_stopped(policy, program, knobs, data):
    until_ns = st.integers(1, 3_000) | st.integers(1, 100_000) | st.integers(1, 3_000_000)
    by_time = until_ns.map(lambda ns: Limits(until_ns=ns))
    limits = data.draw(by_time | st.integers(1, 600).map(lambda events: Limits(events=events)))
    machine = machine_with([body(steps) for steps in program], policy, knobs, limits=limits)
    result = machine.run()
    assert result.stop.kind in {"time", "events", "quiescent"}
    assert_time_adds_up(machine.system)
    machine.result()
    assert_time_adds_up(machine.system)


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=10)
@given(program=programs(X86_PMD, threads=(2, 3)), knobs=knobs())
def test_the_same_seed_gives_the_same_run(policy, program, knobs):
    first, second = (machine_with([body(steps) for steps in program], policy, knobs).run() for _ in range(2))
    assert first == second


class OwnPages:
    """What a sequential run would do to the pages that one thread has for itself: areas, protection, content."""

    def __init__(self, pages):
        self.writable = dict.fromkeys(pages, True)
        self.written = set()

    def expect(self, step):
        """Apply a step; return what the call must return."""
        page, wanted = step.first, None
        match step.call:
            case "touch":
                wanted = self.writable.get(page, False) if step.flag else page in self.writable
                if wanted and step.flag:
                    self.written.add(page)
            case "munmap":
                self.writable.pop(page, None)
                self.written.discard(page)
            case "mmap" | "mmap_private":
                wanted = -1 if page in self.writable else BASE + page * 4096
                self.writable.setdefault(page, True)
            case "mprotect":
                if page in self.writable:
                    self.writable[page] = step.flag
            case "dontneed":
                self.written.discard(page)
        return wanted


@st.composite
def own_steps(draw, pages):
    calls = st.sampled_from(
        ["touch", "touch", "touch", "munmap", "mmap", "mmap_private", "mprotect", "dontneed", "compute"]
    )
    page = draw(st.sampled_from(pages))
    pause_ns = draw(st.sampled_from([0, 1_000, 30_000, 300_000]))
    return Step(draw(calls), page, page + 1, draw(st.booleans()), pause_ns)


@st.composite
def own_programs(draw):
    """Threads on pages that alternate, so that they split, merge, lock and fault in the same areas and tables."""
    threads = draw(st.integers(1, 3))
    around_the_border = range(X86_PMD - 5, X86_PMD + 5)
    shares = [[page for page in around_the_border if page % threads == number] for number in range(threads)]
    return [(share, draw(st.lists(own_steps(share), min_size=1, max_size=15))) for share in shares]


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=50)
@given(program=own_programs(), knobs=knobs())
def test_threads_on_their_own_pages_see_what_a_sequential_run_would(policy, program, knobs):
    models = [OwnPages(share) for share, _ in program]

    def worker(model, steps):
        async def work(thread):
            for step in steps:
                assert await do(thread, step) == model.expect(step), step

        return work

    bodies = [worker(model, steps) for model, (_, steps) in zip(models, program, strict=True)]
    machine = machine_with(bodies, policy, knobs)
    machine.run()
    assert_settled(machine)
    tree, mapped, first = machine.system.mm.tree, pages_mapped(machine.system), BASE // 4096
    for model, (share, _) in zip(models, program, strict=True):
        for page in share:
            vma = tree.find((first + page) * 4096)
            assert (vma and vma.writable) == model.writable.get(page)
            if page in model.written:
                pfn = pte_pfn(mapped[first + page])
                assert pfn != ZERO_PFN
                assert machine.system.page_cache._pages.of_frame(pfn) is None
