from kactors.observers.lock_use import LockUse
from protocols.tracepoints import LockAcquired, LockReleased


def told(use, at_ns, kind, owner, *, lock="mmap_sem", place=0, write=False):
    tag = 1 + int(owner.removeprefix("cpu"))
    use.tracepoints()[kind](at_ns, "mm", kind(lock=lock, place=place, write=write, owner=owner, tag=tag))


def test_an_owner_may_have_moved_to_another_cpu():
    use = LockUse()
    taken = LockAcquired(lock="mmap_sem", place=0, write=False, owner="cpu0", tag=1)
    use.tracepoints()[LockAcquired](10, "mm", taken)
    use.tracepoints()[LockReleased](30, "mm", LockReleased(**taken.model_dump() | {"owner": "cpu1"}))
    assert use.held_ns(50) == {("mmap_sem", 0): 20}


def test_readers_hold_a_lock_together_and_a_writer_alone():
    use = LockUse()
    told(use, 10, LockAcquired, "cpu0")
    told(use, 20, LockAcquired, "cpu1")
    told(use, 30, LockReleased, "cpu0")
    told(use, 50, LockReleased, "cpu1")
    told(use, 100, LockAcquired, "cpu2", write=True)
    assert use.held_ns(103) == {("mmap_sem", 0): 43, ("mmap_sem (write)", 0): 3}
    told(use, 107, LockReleased, "cpu2", write=True)
    assert use.held_ns(200) == {("mmap_sem", 0): 47, ("mmap_sem (write)", 0): 7}


def test_locks_of_one_name_are_apart():
    use = LockUse()
    told(use, 0, LockAcquired, "cpu0", lock="pte_lock", place=7, write=True)
    told(use, 5, LockAcquired, "cpu1", lock="pte_lock", place=8, write=True)
    assert use.held_ns(6)["pte_lock", 7] == 6
    assert use.held_ns(6)["pte_lock", 8] == 1


def test_a_release_by_nobody_counts_nothing():
    use = LockUse()
    told(use, 5, LockReleased, "cpu0")
    assert use.held_ns(9) == {}
