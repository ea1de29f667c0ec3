"""What is measured of a recording so that a simulation can be compared with it."""

from kactors.recordings import Tally, Timing

QUEUE = "csd:csd_queue_cpu"
DONE = "csd:csd_function_exit"


def queue(script, at_us, function, *, csd="0xff", target=1, **who):
    return script.event(at_us, QUEUE, f"cpu={target} callsite=somewhere+0x1 func={function} csd={csd}", **who)


def done(script, at_us, function, *, csd="0xff", cpu=1, **who):
    return script.event(at_us, DONE, f"func={function}, csd={csd}", cpu=cpu, **({"tid": 0, "comm": "swapper"} | who))


def times(script):
    return {timing: (found.count, found.p50_ns) for timing, found in script.read().measured.times.items()}


def test_a_write_hold_ends_with_the_release_or_with_the_downgrade(script):
    script.lock(0, "start_locking").lock(1, "acquire_returned").lock(5, "released")
    assert times(script.fault(6, 0x10000))[Timing.WRITE_HOLD] == (1, 4_000)
    script.lock(10, "start_locking").lock(11, "acquire_returned").lock(13, "acquire_returned", write=False)
    script.lock(90, "released", write=False)
    measured = times(script)
    assert measured[Timing.WRITE_HOLD] == (2, 2_000)
    assert measured[Timing.WRITE_WAIT] == (2, 1_000)
    assert measured[Timing.READ_WAIT] == (0, 0), "a downgrade is no wait"


def test_a_failed_trylock_is_no_wait(script):
    script.fault(0, 0x10000).lock(1, "start_locking", write=False)
    failed = "mm=0xffff888100000000 memcg_id=1 write=false success=false"
    script.event(2, "mmap_lock:mmap_lock_acquire_returned", failed)
    script.lock(3, "start_locking", write=False).lock(50, "acquire_returned", write=False).lock(
        60, "released", write=False
    )
    measured = times(script)
    assert measured[Timing.READ_WAIT] == (1, 47_000)
    assert measured[Timing.FAULT_LOCKED] == (1, 60_000)


def test_a_fault_is_timed_to_its_page_where_it_shows_nothing_else(script):
    script.fault(0, 0x10000).alloc(2).alloc(3)
    script.fault(10, 0x11000).lock(11, "start_locking", write=False).lock(12, "acquire_returned", write=False)
    script.alloc(15).lock(18, "released", write=False)
    measured = times(script)
    assert measured[Timing.FAULT_TO_PAGE] == (1, 2_000)
    assert measured[Timing.FAULT_LOCKED] == (1, 8_000)
    assert script.read().measured.tallies[Tally.ALLOCATIONS] == 3


def test_a_lock_taken_after_the_page_is_not_the_faults(script):
    script.fault(0, 0x10000).alloc(2).lock(500, "start_locking", write=False)
    script.lock(501, "acquire_returned", write=False).lock(502, "released", write=False)
    assert times(script)[Timing.FAULT_LOCKED] == (0, 0)


def test_calls_are_timed_by_name(script):
    script.mmap(0, 7, 0x20000, 0x1000).munmap(10, 13, 0x20000, 0x1000)
    measured = times(script)
    assert (measured[Timing.MMAP], measured[Timing.MUNMAP]) == ((1, 7_000), (1, 3_000))


def test_an_ipi_ends_with_its_function_on_its_target_and_not_with_the_senders_own(script):
    script.fault(0, 0x10000)
    queue(script, 1, "flush_tlb_func")
    done(script, 3, "flush_tlb_func", csd="(nil)", cpu=0, tid=10, comm="app")
    done(script, 31, "flush_tlb_func")
    queue(script, 40, "tlb_remove_table_smp_sync", tid=38, comm="khugepaged", pid=38)
    done(script, 60, "tlb_remove_table_smp_sync")
    queue(script, 70, "flush_tlb_func", tid=77, comm="stranger", pid=77)
    done(script, 75, "flush_tlb_func")
    measured = times(script)
    assert (measured[Timing.FLUSH_IPI], measured[Timing.SYNC_IPI]) == ((1, 30_000), (1, 20_000))


def test_a_collapse_is_timed_from_its_huge_page_and_khugepaged_waits_are_not_the_processs(script):
    who = {"tid": 38, "comm": "khugepaged", "pid": 38}
    script.fault(0, 0x10000)
    huge = "page=0x1 pfn=0x1 order=9 migratetype=1 gfp_flags=GFP_TRANSHUGE"
    script.event(10, "kmem:mm_page_alloc", huge, **who).lock(12, "start_locking", **who)
    script.lock(13, "acquire_returned", **who).lock(80, "released", **who)
    script.event(90, "huge_memory:mm_collapse_huge_page", "mm=0x1, isolated=1, status=succeeded", **who)
    script.event(95, "huge_memory:mm_collapse_huge_page", "mm=0x1, isolated=0, status=pte_none", **who)
    measured = times(script)
    assert measured[Timing.COLLAPSE] == (1, 80_000)
    assert (measured[Timing.WRITE_WAIT], measured[Timing.WRITE_HOLD]) == ((0, 0), (0, 0))
    assert script.read().measured.tallies[Tally.COLLAPSES] == 1


def test_khugepaged_passes_are_told_apart_by_its_sleeps(script):
    who = {"tid": 38, "comm": "khugepaged", "pid": 38}
    script.fault(0, 0x10000)

    def looks(at_us):
        script.lock(at_us, "start_locking", write=False, **who).lock(at_us + 1, "acquire_returned", write=False, **who)
        script.event(at_us + 2, "huge_memory:mm_khugepaged_scan_pmd", "mm=0x1, status=succeeded", **who)

    for at_us in (10, 20, 30, 10_032, 10_100, 19_102):
        looks(at_us)
    measured = script.read().measured
    assert (measured.scan_sleep_ns, measured.scans_per_pass) == (9_000_000, 3)


def test_areas_that_need_no_anon_vma_of_their_own_join_others(script):
    script.mmap(0, 5, 0x20000, 0x1000).fault(10, 0x20000).alloc(12)
    assert script.read().measured.joins
    script.mmap(20, 25, 0x30000, 0x1000).fault(30, 0x30000).lock(31, "start_locking", write=False)
    assert not script.read().measured.joins


def test_flushes_are_counted_by_their_reason(script):
    script.fault(0, 0x10000)
    for at_us, reason in enumerate(
        ["remote IPI send (4)", "local MM shootdown (3)", "local MM shootdown (3)", "flush on task switch (0)"]
    ):
        script.event(at_us + 1, "tlb:tlb_flush", f"pages:1 reason:{reason}")
    tallies = script.read().measured.tallies
    assert (tallies[Tally.REMOTE_FLUSHES], tallies[Tally.LOCAL_FLUSHES], tallies[Tally.FAULTS]) == (1, 2, 1)
