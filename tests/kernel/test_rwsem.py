"""mmap_sem's rules one by one, as kernel/locking/rwsem-xadd.c of 4.16 has them."""

from kactors.kernel.rwsem import Rwsem, Verdict

ACQUIRED, SLEEP, SPIN = Verdict.ACQUIRED, Verdict.SLEEP, Verdict.SPIN
GRANTED, RETRY = Verdict.WAKE_GRANTED, Verdict.WAKE_RETRY


def queued(sem):
    return [sleeper.who for sleeper in sem.queue]


def held_by_sleeping_writer(who="owner"):
    sem = Rwsem()
    sem.down_write(who, 0)
    sem.owner_sleeps(0)
    return sem


def test_readers_share_it():
    sem = Rwsem()
    assert [sem.down_read(who, 0) for who in "ab"] == [ACQUIRED, ACQUIRED]
    assert sem.owners() == ["a", "b"]


def test_a_reader_sleeps_behind_a_writer_and_never_spins():
    sem = Rwsem()
    sem.down_write("w", 0)
    assert sem.down_read("r", 1) is SLEEP
    assert sem.up_write(5, spinner_first=True) == [("r", GRANTED)]
    assert sem.owners() == ["r"]
    assert sem.since_ns == 5


def test_a_reader_sleeps_behind_a_queued_writer_although_readers_hold_it():
    sem = Rwsem()
    sem.down_read("r1", 0)
    assert sem.down_write("w", 1) is SLEEP
    assert sem.down_read("r2", 2) is SLEEP
    assert queued(sem) == ["w", "r2"]


def test_a_writer_cannot_spin_on_readers():
    sem = Rwsem()
    sem.down_read("r", 0)
    assert sem.down_write("w", 1) is SLEEP


def test_a_writer_spins_on_a_running_writer_and_gets_it_at_the_release():
    sem = Rwsem()
    sem.down_write("w1", 0)
    assert sem.down_write("w2", 1) is SPIN
    assert sem.up_write(7, spinner_first=True) == [("w2", ACQUIRED)]
    assert sem.owners() == ["w2"]
    assert sem.since_ns == 7


def test_spinners_take_it_in_their_order():
    sem = Rwsem()
    sem.down_write("w1", 0)
    sem.down_write("w2", 1)
    sem.down_write("w3", 2)
    assert sem.up_write(3, spinner_first=True) == [("w2", ACQUIRED)]
    assert sem.up_write(4, spinner_first=True) == [("w3", ACQUIRED)]


def test_a_spinner_passes_the_sleeping_queue_whose_head_is_woken_in_vain():
    sem = held_by_sleeping_writer()
    sem.down_write("sleeper", 1)
    sem.owner_runs()
    assert sem.down_write("spinner", 2) is SPIN
    assert sem.up_write(3, spinner_first=True) == [("spinner", ACQUIRED), ("sleeper", RETRY)]
    assert sem.retry_write(4) is SLEEP
    assert queued(sem) == ["sleeper"]


def test_a_writer_steals_a_free_lock_from_the_woken_head():
    sem = held_by_sleeping_writer()
    sem.down_write("sleeper", 1)
    assert sem.up_write(2, spinner_first=True) == [("sleeper", RETRY)]
    assert sem.down_write("thief", 3) is ACQUIRED
    assert sem.retry_write(4) is SLEEP
    assert sem.up_write(5, spinner_first=True) == [("sleeper", RETRY)]
    assert sem.retry_write(6) is ACQUIRED


def test_a_theft_between_wake_up_and_retry_does_not_wake_twice():
    sem = held_by_sleeping_writer()
    sem.down_write("sleeper", 1)
    sem.up_write(2, spinner_first=True)
    sem.down_write("thief", 3)
    assert sem.up_write(4, spinner_first=True) == []
    assert sem.retry_write(5) is ACQUIRED


def test_readers_at_the_head_end_the_spinning_when_they_win():
    sem = Rwsem()
    sem.down_write("owner", 0)
    sem.down_read("r1", 1)
    sem.down_read("r2", 1)
    sem.down_write("spinner", 2)
    assert sem.needs_steal_pick()
    assert sem.up_write(3, spinner_first=False) == [("r1", GRANTED), ("r2", GRANTED), ("spinner", SLEEP)]
    assert sem.owners() == ["r1", "r2"]
    assert queued(sem) == ["spinner"]


def test_a_spinner_that_wins_leaves_the_readers_asleep():
    sem = Rwsem()
    sem.down_write("owner", 0)
    sem.down_read("reader", 1)
    sem.down_write("spinner", 2)
    assert sem.up_write(3, spinner_first=True) == [("spinner", ACQUIRED)]
    assert queued(sem) == ["reader"]


def test_it_is_no_race_where_a_writer_heads_the_queue():
    sem = held_by_sleeping_writer()
    sem.down_write("sleeper", 1)
    sem.owner_runs()
    sem.down_write("spinner", 2)
    assert not sem.needs_steal_pick()
    assert sem.up_write(3, spinner_first=False)[0] == ("spinner", ACQUIRED)


def test_stop_spinning_moves_to_the_end_of_the_queue():
    sem = held_by_sleeping_writer()
    sem.down_write("sleeper", 1)
    sem.owner_runs()
    sem.down_write("spinner", 2)
    assert sem.stop_spinning("spinner", 3) is SLEEP
    assert queued(sem) == ["sleeper", "spinner"]


def test_stop_spinning_comes_too_late_for_who_has_acquired():
    sem = Rwsem()
    sem.down_write("owner", 0)
    sem.down_write("spinner", 1)
    sem.up_write(2, spinner_first=True)
    assert sem.stop_spinning("spinner", 3) is None
    assert sem.owners() == ["spinner"]


def test_an_owner_that_sleeps_sends_all_spinners_to_sleep_and_admits_no_new_one():
    sem = Rwsem()
    sem.down_write("owner", 0)
    sem.down_write("s1", 1)
    sem.down_write("s2", 1)
    assert sem.owner_sleeps(2) == [("s1", SLEEP), ("s2", SLEEP)]
    assert sem.down_write("s3", 3) is SLEEP
    sem.owner_runs()
    assert sem.down_write("s4", 4) is SPIN
    assert queued(sem) == ["s1", "s2", "s3"]


def test_the_next_owner_runs_whatever_the_last_one_did():
    sem = held_by_sleeping_writer()
    sem.up_write(1, spinner_first=True)
    sem.down_write("w", 2)
    assert sem.down_write("spinner", 3) is SPIN


def test_downgrading_lets_the_readers_at_the_head_in_and_stops_at_a_writer():
    sem = held_by_sleeping_writer()
    sem.down_read("r1", 1)
    sem.down_write("w", 2)
    sem.down_read("r2", 3)
    assert sem.downgrade(4) == [("r1", GRANTED)]
    assert sem.owners() == ["owner", "r1"]
    assert queued(sem) == ["w", "r2"]


def test_downgrading_wakes_no_writer_and_dismisses_spinners():
    sem = Rwsem()
    sem.down_write("owner", 0)
    sem.down_write("spinner", 1)
    assert sem.downgrade(2) == [("spinner", SLEEP)]
    assert sem.up_read("owner", 3) == [("spinner", RETRY)]


def test_only_the_last_reader_wakes():
    sem = Rwsem()
    sem.down_read("r1", 0)
    sem.down_read("r2", 0)
    sem.down_write("w", 1)
    assert sem.up_read("r1", 2) == []
    assert sem.up_read("r2", 3) == [("w", RETRY)]


def test_without_handoff_a_writer_is_overtaken_for_ever():
    sem = held_by_sleeping_writer()
    sem.down_write("old", 1)
    sem.up_write(2, spinner_first=True)
    assert sem.down_write("thief", 10**12) is ACQUIRED


def test_since_is_when_the_first_of_the_present_readers_came():
    sem = Rwsem()
    sem.down_read("r1", 5)
    sem.down_read("r2", 9)
    assert sem.since_ns == 5
    sem.up_read("r1", 10)
    sem.up_read("r2", 10)
    sem.down_read("r3", 20)
    assert sem.since_ns == 20
