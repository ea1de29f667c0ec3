"""lru_lock: a CPU's pages go on the list 15 at a time, freed ones off it 32 at a time, under the lock of its node."""

from protocols.allocation import MoveOnLru
from tests.actors.scenes import BASE, PAGE, PMD, Delivered, played

COSTS = {"lru_page_ns": 10, "lru_lock_ns": 5}


def moves(pages, *, then=None, **costs):
    """How many pages each section under lru_lock moves, when a thread faults ``pages`` in."""

    async def body(thread):
        for page in range(pages):
            await thread.touch(BASE + page * PAGE)
        if then is not None:
            await then(thread)

    async def set_up(thread):
        await thread.mmap(PMD, address=BASE)

    sections = Delivered(MoveOnLru)
    played(body, set_up=set_up, observers=[sections], costs=COSTS | costs)
    return [message.pages for _, _, message in sections.all]


def test_pages_are_put_on_the_list_fifteen_at_a_time():
    assert moves(14) == []
    assert moves(15) == [15]
    assert moves(31) == [15, 15]


def test_a_page_that_somebody_else_has_mapped_meanwhile_is_not_put_there():
    async def again(thread):
        await thread.touch(BASE)

    assert moves(14, then=again) == []


def test_munmap_puts_the_rest_there_first_and_takes_pages_off_by_clusters():
    async def unmap(thread):
        await thread.munmap(BASE, PMD)

    assert moves(40, then=unmap) == [15, 15, 10, 32, 8]


def test_where_it_is_nobodys_bottleneck_nobody_takes_it():
    async def unmap(thread):
        await thread.munmap(BASE, PMD)

    assert moves(40, then=unmap, lru_page_ns=0) == []


def faulting(**costs):
    """How long eight threads take for 45 faults each, in page tables of their own."""
    cpus, pages = 8, 45

    async def body(thread):
        first = BASE + (thread.number - 1) * PMD
        for page in range(pages):
            await thread.touch(first + page * PAGE)
        thread.record_done()

    async def set_up(thread):
        await thread.mmap(cpus * PMD, address=BASE)

    free = {"line_cache_ns": 0, "line_core_ns": 0, "line_socket_ns": 0, "zone_page_ns": 0}
    _, result = played(*[body] * cpus, set_up=set_up, cpus=cpus, policy="per-vma", costs=free | costs)
    return result.throughput.measured_ns


def test_all_cpus_of_a_node_together_are_as_fast_as_its_lock_and_two_nodes_have_two():
    page_ns = 1000
    one = faulting(lru_page_ns=page_ns)
    assert 8 * 45 * page_ns < one < 8 * 45 * page_ns * 1.1
    assert faulting(lru_page_ns=page_ns, cores_per_cache=4) < 0.6 * one
    assert faulting(lru_page_ns=0) < 0.3 * one
