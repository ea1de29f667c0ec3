"""Tests of a test: pytest on a file of its own, in this process."""

import pytest

# Loaded here and not by the first inner run, which would take them along when it ends.
from kactors.pytest_plugin import driven, exploring, golden_traces, marks, scenes, stories, strategies, telling

LOADED = (driven, exploring, golden_traces, marks, scenes, stories, strategies, telling)

SCENE = """
import pytest
from kactors.pytest_plugin import Call, PageProgram, SearchFailure, assert_story, outcome

AREA = 0x7E00_0000_0000


async def area(t):
    await t.mmap(2 * t.page_size, address=AREA)
    await t.touch(AREA + t.page_size)


async def fault(t):
    t.note("r0", await t.touch(AREA))


async def unmap(t):
    await t.munmap(AREA, t.page_size)


MAIL = dict(workload="munmap-vs-fault", costs={"mmu_gather_pages": 3})
"""


@pytest.fixture
def inner(pytester, monkeypatch):
    """Run pytest on the source of tests, which may use the names of SCENE; return what pytester returns."""
    monkeypatch.delenv("CI", raising=False)
    pytester.makeini("[pytest]\ntrio_mode = true\n")

    def run(source, *options):
        pytester.makepyfile(test_inner=SCENE + source)
        return pytester.runpytest_inprocess("-p", "kactors.pytest_plugin", "-p", "no:cacheprovider", *options)

    return run


def text(result):
    return "\n".join(result.outlines + result.errlines)
