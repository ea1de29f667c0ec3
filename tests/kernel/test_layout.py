"""Address spaces of several processes lie apart, and an address says whose it is."""

from hypothesis import given, strategies as st

from kactors.kernel.layout import HEAP_SPAN, LOWEST, MMAP_BASE, START_BRK, Layout


def test_one_process_has_all_addresses():
    space = Layout().space(0)
    assert (space.mmap_base, space.lowest, space.start_brk) == (MMAP_BASE, LOWEST, START_BRK)
    assert Layout().process_of(LOWEST) == Layout().process_of(MMAP_BASE - 1) == 0


@given(processes=st.integers(2, 65537), data=st.data())
def test_the_process_of_an_address_is_the_one_that_may_use_it(processes, data):
    layout = Layout(processes)
    number = data.draw(st.integers(0, processes - 1))
    space = layout.space(number)
    assert space.lowest < space.mmap_base
    for address in (space.lowest, space.mmap_base - 1, space.start_brk):
        assert layout.process_of(address) == number
    if number:
        before = layout.space(number - 1)
        assert space.mmap_base <= before.lowest
        assert space.start_brk > before.start_brk
    assert space.lowest > START_BRK + HEAP_SPAN, "no heap grows into the areas"


@given(processes=st.integers(1, 65537), data=st.data())
def test_no_two_processes_share_a_page_table(processes, data):
    space = Layout(processes).space(data.draw(st.integers(0, processes - 1)))
    for address in (space.mmap_base, space.start_brk):
        assert address % (64 * 1024 * 256) == 0, "what a PMD of POWER maps"
