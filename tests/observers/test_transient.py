"""Pages between allocation and page table, from a hand-made story."""

from kactors.observers.transient import TransientObserver
from protocols.stop import BoundExceeded
from protocols.tracepoints import MmPageAlloc, PageDiscarded, PageMapped

PAGE = 4096


class Story:
    def __init__(self, pages_max=None):
        self.observer = TransientObserver(12, pages_max)
        self.at_ns = 0

    def tell(self, tracepoint):
        self.at_ns += 10
        return self.observer.tracepoints()[type(tracepoint)](self.at_ns, "cpu0", tracepoint)

    def alloc(self, pfn, page=0):
        return self.tell(MmPageAlloc(pfn=pfn, address=page * PAGE + 8, cpu=0))

    def mapped(self, pfn):
        return self.tell(PageMapped(pfn=pfn, vpn=0, order=0))

    def discarded(self, pfn, zeroing=5):
        return self.tell(PageDiscarded(pfn=pfn, address=0, zeroing=zeroing))

    def summary(self):
        return self.observer.summary(threads=4, cpus=2)


def test_peaks_are_per_page_and_in_all():
    story = Story()
    story.alloc(1)
    story.alloc(2)
    story.alloc(3, page=7)
    story.mapped(1)
    story.alloc(4)
    summary = story.summary()
    assert (summary.peak_address, summary.peak_mm, summary.peak_machine, summary.now) == (2, 3, 3, 3)
    assert summary.peak_at_ns == 30
    assert (summary.threads_minus_1, summary.cpus_minus_1, summary.allocated) == (3, 1, 4)


def test_a_discarded_page_is_wasted_with_its_zeroing():
    story = Story()
    story.alloc(1)
    story.alloc(2)
    story.mapped(1)
    story.discarded(2, zeroing=300)
    summary = story.summary()
    assert (summary.now, summary.wasted, summary.wasted_zeroing_ns, summary.wasted_bytes) == (0, 1, 300, PAGE)


def test_a_frame_that_is_used_again_counts_again():
    story = Story()
    for page in range(5):
        story.alloc(1, page)
        story.mapped(1)
    summary = story.summary()
    assert (summary.peak_mm, summary.peak_address, summary.allocated, summary.now) == (1, 1, 5, 0)


def test_pages_that_were_never_transient_do_not_count():
    story = Story()
    story.mapped(77)
    assert story.summary().allocated == story.summary().peak_mm == 0


def test_a_bound_is_a_finding_only_when_it_is_exceeded():
    story = Story(pages_max=2)
    assert [story.alloc(1), story.alloc(2, page=3)] == [None, None]
    finding = story.alloc(3)
    assert isinstance(finding, BoundExceeded)
    assert (finding.bound, finding.limit, finding.value) == ("bounds.transient_pages_max", 2, 3)
    assert "2 faults on page 0x0" in finding.cause


def test_a_bound_of_0_allows_no_page_at_all():
    assert Story(pages_max=0).alloc(1) is not None
