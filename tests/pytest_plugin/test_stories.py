"""``assert_story``: a subsequence by who and what, and what it says of one that does not occur."""

import pytest

from kactors.engine.errors import UsageError
from kactors.pytest_plugin import Failure, SearchFailure, assert_story

MAIL = {"workload": "munmap-vs-fault", "costs": {"mmu_gather_pages": 3}}


async def unmap(t):
    area = await t.mmap(t.page_size)
    await t.munmap(area, t.page_size)


@pytest.fixture
def deadlock(explored):
    with pytest.raises(SearchFailure) as caught:
        explored(policy="broken-blocking-spin", **MAIL)
    return caught.value


def test_the_mails_deadlock_by_its_steps(deadlock):
    story = [
        ("cpu0", "LockPte"),
        ("cpu1", "AllocPages"),
        ("cpu1", "FlushIpi*-> irqs off in pte_map_lock"),
        ("cpu1", "LockPte(*) -> waits"),
    ]
    assert_story(deadlock, story)
    assert_story(deadlock.found, story)
    with pytest.raises(Failure):
        assert_story(deadlock, story[::-1])


async def test_a_machines_deliveries(machine):
    m = machine(program=[unmap])
    assert_story(m, [])
    with pytest.raises(Failure, match="nobody does DownWrite at any time"):
        assert_story(m, [("cpu*", "DownWrite")])
    await m.run()
    assert_story(m, [("cpu0", "DownWrite"), ("mm", "MmapSemAcquired"), ("cpu*", "DetachRegion(start=0x*)")])


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        (
            [("cpu0", "DownWrite"), ("cpu0", "Nonsense")],
            ["lacks step 2 of 2", "at ", "MISSING  cpu0  Nonsense", "nobody does Nonsense"],
        ),
        ([("cpu0", "DetachRegion"), ("cpu0", "BeginMap*")], ["lacks step 2 of 2"]),
        ([("cpu0", "UpWrite"), ("cpu7", "UpWrite")], ["somebody else does it, at ", "cpu0 -> mm: UpWrite"]),
        (
            [("cpu0", "DetachRegion"), ("cpu0", "UpWrite"), ("cpu0", "DetachRegion")],
            ["it occurs too early, at ", "after step "],
        ),
        ([("cpu9", "*")], ["lacks step 1 of 1", "the story begins:"]),
    ],
)
async def test_a_difference_tells_what_is_missing_and_what_came_instead(machine, steps, says):
    m = machine(program=[unmap])
    await m.run()
    with pytest.raises(Failure) as caught:
        assert_story(m, steps)
    for words in says:
        assert words in str(caught.value)


@pytest.mark.parametrize("step", ["cpu0 DownWrite", ("cpu0",), ("cpu0", 3), ("cpu0", "DownWrite", "done")])
def test_a_pattern_that_is_none(machine, step):
    with pytest.raises(UsageError, match=r"a step of a story is \(who, what\)"):
        assert_story(machine(program=[unmap]), [step])
