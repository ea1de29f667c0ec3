"""store_to_private_file: a copy that was not made, or not used."""

import pytest

from kactors.observers.properties.store_to_private_file import StoreToPrivateFile
from kactors.policies import file_faults
from protocols.page_cache import Filesystem
from protocols.set_up import FilePagesFound
from protocols.tracepoints import MmFilemapAddToPageCache, RangeMapped, UserStore
from protocols.vma import MappedFile
from tests.actors.scenes import BASE, PAGE
from tests.observers.properties.stories import findings, fires, stopped

NAME = "store_to_private_file"

STORE = UserStore(vpn=5, pfn=7, cpu=0)
ADDED = MmFilemapAddToPageCache(pfn=7, file=0, index=3)


def mapped(first, last, *, shared):
    return RangeMapped(first=first, last=last, shared=shared)


@pytest.mark.parametrize(
    ("story", "found"),
    [
        ([STORE], 0),
        ([mapped(0, 10, shared=False), STORE], 0),
        ([ADDED, mapped(0, 10, shared=False), STORE], 1),
        ([FilePagesFound(file=0, pfns=(6, 7)), mapped(0, 10, shared=False), STORE], 1),
        ([FilePagesFound(file=0, pfns=(6, 8)), mapped(0, 10, shared=False), STORE], 0),
        ([ADDED, mapped(0, 10, shared=True), STORE], 0),
        ([ADDED, mapped(0, 5, shared=True), STORE], 1),
        ([ADDED, mapped(6, 10, shared=True), STORE], 1),
        ([ADDED, mapped(0, 10, shared=True), mapped(5, 6, shared=False), STORE], 1),
        ([ADDED, mapped(0, 10, shared=True), mapped(6, 9, shared=False), STORE], 0),
        ([ADDED, mapped(0, 10, shared=True), mapped(2, 5, shared=False), STORE], 0),
        ([ADDED, mapped(0, 10, shared=False), mapped(5, 6, shared=True), STORE], 0),
    ],
)
def test_a_store_counts_where_nothing_is_shared(story, found):
    assert len(findings(StoreToPrivateFile(), *story)) == found


def area(*, shared):
    async def set_up(thread):
        file = await thread.open_file(Filesystem.TMPFS, cached=True)
        await thread.mmap(4 * PAGE, address=BASE, file=MappedFile(file=file, offset=0, shared=shared))

    return set_up


async def read_and_write(thread):
    await thread.touch(BASE, write=False)
    await thread.touch(BASE)
    await thread.touch(BASE + PAGE)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("policy", ["classic", "spf-v9", "per-vma"])
def test_copies_are_made_and_shared_pages_are_used(policy, shared):
    ran = stopped(NAME, read_and_write, read_and_write, set_up=area(shared=shared), policy=policy)
    assert ran.kind == "quiescent"


def test_a_read_that_maps_with_the_right_to_write_lets_the_store_through(monkeypatch):
    monkeypatch.setattr(file_faults.FileFault, "_read_maps_writable", lambda _fault, *, mkwrite: not mkwrite)
    assert f"page {BASE // PAGE:#x}" in fires(NAME, read_and_write, set_up=area(shared=False))


def test_a_private_write_that_takes_the_shared_way_reaches_the_file(monkeypatch):
    monkeypatch.setattr(file_faults.FileFault, "do_cow_fault", file_faults.FileFault.do_shared_fault)
    fires(NAME, read_and_write, set_up=area(shared=False), costs={"fault_around_bytes": PAGE})
