"""mmap_sem's rules since 5.3 one by one, as kernel/locking/rwsem.c has them: hand-over, spinning on readers, theft."""

import pytest

from kactors.kernel.rwsem import NEVER, READERS_COUNTED, SPIN_NS_PER_READER, Rules, Rwsem, Verdict

ACQUIRED, SLEEP, SPIN = Verdict.ACQUIRED, Verdict.SLEEP, Verdict.SPIN
GRANTED, RETRY = Verdict.WAKE_GRANTED, Verdict.WAKE_RETRY

HANDOFF_NS, READER_SPIN_NS = 100, 1_000
HANDS_OVER = Rules(handoff_ns=HANDOFF_NS)
SPINS_ON_READERS = Rules(reader_spin_ns=READER_SPIN_NS)


def woken_head(rules=HANDS_OVER, *, since_ns=10):
    """A free lock whose first waiter, a writer, has been woken at 50."""
    sem = Rwsem(rules)
    sem.down_write("owner", 0)
    sem.owner_sleeps(0)
    assert sem.down_write("head", since_ns) is SLEEP
    assert sem.up_write(50, spinner_first=True) == [("head", RETRY)]
    return sem


def reserved_for_a_sleeper():
    """A lock of a writer that sleeps; its first waiter has tried in vain after a long wait, and a reader waits too."""
    sem = woken_head()
    assert sem.down_read("reader", 60) is SLEEP
    assert sem.down_write("thief", 60) is ACQUIRED
    sem.owner_sleeps(61)
    assert sem.retry_write(10 + HANDOFF_NS + 1) is SLEEP
    return sem


# --- no spinning at all ----------------------------------------------------------------------------------------------


def test_where_nobody_spins_a_writer_sleeps_behind_a_running_owner():
    sem = Rwsem(Rules(spins=False))
    sem.down_write("owner", 0)
    assert sem.down_write("writer", 1) is SLEEP
    assert sem.up_write(2, spinner_first=True) == [("writer", RETRY)]


def test_where_nobody_spins_a_vain_try_after_a_long_wait_reserves_the_lock_for_a_sleeper():
    sem = woken_head(Rules(spins=False, handoff_ns=HANDOFF_NS))
    sem.down_write("thief", 60)
    assert sem.retry_write(200) is SLEEP
    assert sem.up_write(300, spinner_first=True) == [("head", RETRY)]
    assert sem.down_write("late", 301) is SLEEP
    assert sem.retry_write(302) is ACQUIRED


# --- the hand-over ---------------------------------------------------------------------------------------------------


def test_a_vain_try_after_a_long_wait_makes_the_head_spin_on_the_owner_and_gives_it_the_lock():
    sem = woken_head()
    assert sem.down_write("thief", 60) is ACQUIRED
    assert sem.down_write("spinner", 70) is SPIN
    assert sem.retry_write(10 + HANDOFF_NS + 1) is SPIN
    assert sem.waits("head")
    assert sem.up_write(200, spinner_first=True) == [("head", ACQUIRED)]
    assert (sem.owners(), list(sem.queue)) == (["head"], [])
    assert sem.up_write(300, spinner_first=True) == [("spinner", ACQUIRED)]


def test_a_vain_try_before_that_reserves_nothing():
    sem = woken_head()
    sem.down_write("thief", 60)
    sem.down_write("spinner", 70)
    assert sem.retry_write(10 + HANDOFF_NS) is SLEEP
    assert sem.up_write(200, spinner_first=True) == [("spinner", ACQUIRED), ("head", RETRY)]


def test_a_long_wait_alone_reserves_nothing():
    assert woken_head().down_write("thief", 10**12) is ACQUIRED


@pytest.mark.parametrize("rules", [HANDS_OVER, Rules(handoff_ns=HANDOFF_NS, readers_steal=True)])
def test_nobody_takes_a_free_lock_that_is_reserved(rules):
    sem = woken_head(rules)
    sem.down_write("thief", 60)
    sem.owner_sleeps(61)
    assert sem.retry_write(200) is SLEEP, "nobody spins on an owner that sleeps"
    assert sem.up_write(300, spinner_first=True) == [("head", RETRY)]
    assert sem.down_read("reader", 301) is SLEEP
    assert sem.down_write("late", 302) is SPIN, "whoever has it next is worth spinning on"
    assert sem.retry_write(303) is ACQUIRED
    assert sem.up_write(400, spinner_first=True) == [("late", ACQUIRED)]


def test_spinners_give_way_to_a_reserved_head_that_sleeps():
    sem = reserved_for_a_sleeper()
    sem.owner_runs()
    assert sem.down_write("spinner", 150) is SPIN
    assert sem.up_write(200, spinner_first=True) == [("head", RETRY)]
    assert sem.retry_write(201) is ACQUIRED


def test_a_reserved_lock_is_not_granted_to_readers_behind_its_head():
    sem = reserved_for_a_sleeper()
    assert sem.up_write(200, spinner_first=False) == [("head", RETRY)]
    assert sem.retry_write(201) is ACQUIRED
    assert sem.up_write(202, spinner_first=False) == [("reader", GRANTED)]


def spinning_head():
    sem = woken_head()
    sem.down_write("thief", 60)
    assert sem.retry_write(200) is SPIN
    return sem


def woken_at_last(sem, actions):
    assert actions == [("head", RETRY)]
    assert sem.down_write("late", 500) is not ACQUIRED, "it stays reserved"
    return sem.retry_write(501) is ACQUIRED


def test_a_head_that_spins_sleeps_again_when_the_owner_does():
    sem = spinning_head()
    assert sem.owner_sleeps(210) == [("head", SLEEP)]
    assert woken_at_last(sem, sem.up_write(220, spinner_first=True))


def test_a_head_that_spins_sleeps_again_when_its_cpu_has_others_to_run():
    sem = spinning_head()
    assert sem.stop_spinning("head", 210) is SLEEP
    assert sem.stop_spinning("head", 211) is None
    assert woken_at_last(sem, sem.up_write(220, spinner_first=True))


def test_a_head_that_spins_does_not_spin_on_readers():
    sem = spinning_head()
    assert sem.downgrade(210) == [("head", SLEEP)]
    assert woken_at_last(sem, sem.up_read("thief", 220))


def test_a_vain_try_against_readers_reserves_the_lock_but_does_not_spin():
    sem = woken_head(Rules(handoff_ns=HANDOFF_NS, reader_spin_ns=READER_SPIN_NS, readers_steal=True))
    assert sem.down_read("thief", 60) is ACQUIRED
    assert sem.retry_write(200) is SLEEP
    assert sem.down_read("reader", 201) is SLEEP
    assert woken_at_last(sem, sem.up_read("thief", 210))


@pytest.mark.parametrize(
    ("at_ns", "actions"),
    [
        (1 + HANDOFF_NS, [("spinner", ACQUIRED)]),
        (2 + HANDOFF_NS, [("reader", GRANTED), ("spinner", SLEEP)]),
    ],
)
def test_a_spinner_does_not_beat_the_wake_up_of_readers_that_have_waited_long(at_ns, actions):
    sem = Rwsem(HANDS_OVER)
    sem.down_write("owner", 0)
    sem.down_read("reader", 1)
    sem.down_write("spinner", 2)
    assert sem.up_write(at_ns, spinner_first=True) == actions


# --- spinning on readers ---------------------------------------------------------------------------------------------


def read_locked(*readers):
    sem = Rwsem(SPINS_ON_READERS)
    for reader in readers:
        assert sem.down_read(reader, 0) is ACQUIRED
    return sem


def test_a_writer_spins_on_readers_and_gets_the_lock_of_the_last_one():
    sem = read_locked("r1", "r2")
    assert sem.down_write("w", 7) is SPIN
    assert sem.up_read("r1", 8) == []
    assert sem.up_read("r2", 9) == [("w", ACQUIRED)]
    assert sem.deadline_ns == NEVER


@pytest.mark.parametrize(("readers", "counted"), [(1, 1), (2, 2), (READERS_COUNTED + 5, READERS_COUNTED)])
def test_it_spins_the_longer_the_more_readers_there_are_up_to_a_limit(readers, counted):
    sem = read_locked(*range(readers))
    assert sem.deadline_ns == NEVER
    sem.down_write("w1", 7)
    assert sem.deadline_ns == 7 + READER_SPIN_NS + counted * SPIN_NS_PER_READER
    sem.down_write("w2", 8)
    assert sem.deadline_ns == 7 + READER_SPIN_NS + counted * SPIN_NS_PER_READER, "one limit for all"


def test_after_that_all_sleep_and_nobody_spins_on_these_readers_any_more():
    sem = read_locked("r1", "r2")
    sem.down_write("w1", 7)
    sem.down_write("w2", 8)
    assert sem.give_up_on_readers(sem.deadline_ns) == [("w1", SLEEP), ("w2", SLEEP)]
    assert sem.deadline_ns == NEVER
    sem.up_read("r1", 5_000)
    assert sem.down_write("w3", 5_001) is SLEEP
    assert sem.up_read("r2", 5_002) == [("w1", RETRY)]
    assert sem.retry_write(5_003) is ACQUIRED
    sem.downgrade(5_004)
    assert sem.down_write("w4", 5_005) is SPIN, "these are other readers"


def test_the_last_of_these_readers_ends_the_ban():
    sem = Rwsem(Rules(reader_spin_ns=READER_SPIN_NS, readers_steal=True))
    sem.down_read("r1", 0)
    sem.down_write("w1", 7)
    sem.give_up_on_readers(sem.deadline_ns)
    sem.up_read("r1", 5_000)
    assert sem.down_read("thief", 5_001) is ACQUIRED
    assert sem.down_write("w2", 5_002) is SPIN


def test_a_downgrade_lets_spinners_spin_on_for_a_while():
    sem = Rwsem(SPINS_ON_READERS)
    sem.down_write("owner", 0)
    sem.down_write("spinner", 1)
    assert sem.downgrade(20) == []
    assert sem.deadline_ns == 20 + READER_SPIN_NS + SPIN_NS_PER_READER
    assert sem.up_read("owner", 30) == [("spinner", ACQUIRED)]


def test_spinners_that_lose_to_readers_at_the_head_spin_on_them():
    sem = Rwsem(SPINS_ON_READERS)
    sem.down_write("owner", 0)
    sem.down_read("r1", 1)
    sem.down_read("r2", 1)
    sem.down_write("spinner", 2)
    assert sem.up_write(3, spinner_first=False) == [("r1", GRANTED), ("r2", GRANTED)]
    assert sem.deadline_ns == 3 + READER_SPIN_NS + 2 * SPIN_NS_PER_READER


def test_no_deadline_outlives_the_last_spinner_or_the_last_reader():
    sem = read_locked("r1")
    sem.down_write("w1", 7)
    assert sem.stop_spinning("w1", 8) is SLEEP
    assert sem.deadline_ns == NEVER

    sem = woken_head(Rules(handoff_ns=HANDOFF_NS, reader_spin_ns=READER_SPIN_NS, readers_steal=True))
    sem.down_read("thief", 60)
    sem.retry_write(200)
    sem.down_write("spinner", 201)
    assert sem.deadline_ns != NEVER
    sem.up_read("thief", 210)
    assert (sem.owners(), list(sem.spinners)) == ([], ["spinner"])
    assert sem.deadline_ns == NEVER, "there are no readers to give up on"


# --- theft by readers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("steal", "verdict"), [(False, SLEEP), (True, ACQUIRED)])
def test_a_reader_takes_a_free_lock_past_the_queue_where_that_is_allowed(steal, verdict):
    sem = woken_head(Rules(readers_steal=steal))
    assert sem.down_read("thief", 60) is verdict
    assert sem.retry_write(61) is (SLEEP if steal else ACQUIRED)


def test_a_reader_does_not_join_other_readers_past_the_queue():
    sem = woken_head(Rules(readers_steal=True))
    sem.down_read("thief", 60)
    assert sem.down_read("another", 61) is SLEEP


def test_a_theft_by_a_reader_loses_no_wake_up():
    sem = woken_head(Rules(readers_steal=True))
    sem.down_read("thief", 60)
    assert sem.retry_write(61) is SLEEP
    assert sem.up_read("thief", 62) == [("head", RETRY)]
