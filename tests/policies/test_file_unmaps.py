"""Unmapping file areas: what is flushed and when, what is freed and what the file keeps."""

import pytest

from protocols.page_cache import Filesystem
from protocols.tlb import FlushTlb
from tests.actors.scenes import BASE, PAGE, PMD
from tests.policies.test_file_faults import FileArea, touching


async def unmap_all(thread):
    await thread.munmap(BASE, 2 * PMD)


@pytest.mark.parametrize(("shared", "flushes"), [(False, 1), (True, 2)])
def test_written_pages_of_a_shared_file_are_flushed_under_each_pte_lock(shared, flushes):
    """force_flush: private copies wait for one flush at the end; two page tables mean two, and one for the tables."""
    area = FileArea(unmap_all, before=touching(0, 600), shared=shared, pages=1024)
    assert area.times(FlushTlb) == flushes + shared
    assert area.mapped == {}
    assert area.page(600).mapcount == 0


def test_pages_of_a_shared_file_that_were_only_read_wait_for_the_flush_at_the_end():
    read = touching(0, 600, write=False)
    area = FileArea(unmap_all, before=read, shared=True, filesystem=Filesystem.EXT4, pages=1024)
    assert area.times(FlushTlb) == 1


@pytest.mark.parametrize("batch", [1, 64])
def test_an_unmap_that_finds_no_entry_flushes_nothing(batch):
    async def unmap(thread):
        await touching(5)(thread)
        await thread.munmap(BASE, PAGE)

    area = FileArea(unmap, cached=True, costs={"mmu_gather_pages": batch, "fault_around_bytes": PAGE})
    assert area.times(FlushTlb) == 0


def test_munmap_frees_copies_and_leaves_the_files_pages():
    area = FileArea(unmap_all, before=touching(0, 600, write=True), pages=1024)
    account = area.machine.system.account_pages()
    assert (account.mapped, account.file_pages) == (0, 2)


def test_dontneed_drops_a_copy_and_the_next_read_finds_the_file():
    async def drop_and_read(thread):
        await thread.madvise_dontneed(BASE, PAGE)
        await touching(0, write=False)(thread)

    area = FileArea(drop_and_read, before=touching(0))
    assert area.entry(0) == (True, False)
