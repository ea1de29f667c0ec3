"""What each recorded thread is to do, and what has to be done before."""

from hypothesis import given, strategies as st

from kactors.recordings.areas import RecordedArea
from kactors.recordings.plan import Piece, plan
from kactors.recordings.steps import Brk, Fault, Madvise, Mmap, Mprotect, Munmap
from kactors.recordings.threads import Moment, RecordedThread

PAGE = 4096
AT = 0x10000


def mmap(address=AT, pages=1):
    return Mmap(0, address, pages * PAGE, 3, 0x22, -1, 0)


def fault(address=AT):
    return Fault(0, address, write=True, instruction=False)


def munmap(address=AT, pages=1):
    return Munmap(0, address, pages * PAGE)


def mprotect(address=AT, pages=1):
    return Mprotect(0, address, pages * PAGE, 1)


def thread(*steps, away=()):
    """Steps as (ns, step) or (begins, ends, step)."""
    moments = tuple(Moment(step[0], step[-2], n in away) for n, step in enumerate(steps))
    return RecordedThread(1, "app", tuple(step[-1] for step in steps), 0, moments)


def after(planned):
    return [[step.after for step in steps] for steps in planned]


def test_a_step_refers_to_the_mapping_that_was_there():
    (steps,) = plan([thread((1, mmap()), (2, fault(AT + 5)), (3, munmap()), (4, mmap()), (5, fault()))], [])
    assert [step.makes for step in steps] == [Piece(0, 0, PAGE), None, None, Piece(1, 0, PAGE), None]
    assert [step.pieces for step in steps] == [(), (Piece(0, 5, 1),), (Piece(0, 0, PAGE),), (), (Piece(1, 0, 1),)]


def test_areas_from_before_come_first():
    (steps,) = plan([thread((1, fault(AT + PAGE)))], [RecordedArea(AT, AT + 4 * PAGE, 3, file=False)])
    assert steps[0].pieces == (Piece(0, PAGE, 1),)


def test_what_nobody_mapped_has_no_piece():
    (steps,) = plan([thread((1, fault()), (2, munmap()), (3, mprotect()))], [])
    assert [step.pieces for step in steps] == [()] * 3


def test_a_call_over_parts_with_different_histories_is_one():
    (steps,) = plan([thread((1, mmap(pages=3)), (2, mprotect(AT + PAGE)), (3, munmap(AT, 3)))], [])
    assert steps[2].pieces == (Piece(0, 0, 3 * PAGE),)


def test_a_call_over_two_mappings_has_two_pieces():
    (steps,) = plan([thread((1, mmap()), (2, mmap(AT + PAGE)), (3, Madvise(0, AT, 2 * PAGE, 4)))], [])
    assert steps[2].pieces == (Piece(0, 0, PAGE), Piece(1, 0, PAGE))


def test_a_use_comes_after_the_mapping_and_after_the_last_change():
    mapper = thread((10, mmap()), (20, mprotect()))
    user = thread((1, mmap(AT + 8 * PAGE)), (15, fault()), (25, fault()), (26, fault()))
    assert after(plan([mapper, user], []))[1] == [(), ((0, 1),), ((0, 2),), ()]


def test_a_change_comes_after_the_uses_before_it():
    owner = thread((10, mmap()), (30, munmap()))
    user = thread((1, mmap(AT + 8 * PAGE)), (20, fault()))
    assert after(plan([owner, user], []))[0] == [((1, 1),), ((1, 2),)]


def test_a_change_of_several_parts_comes_after_the_latest_step_on_any_of_them():
    one = thread((1, mmap(pages=2)), (2, mprotect(AT + PAGE)), (3, fault()))
    other = thread((0, mmap(AT + 4 * PAGE)), (10, munmap(AT, 2)))
    assert after(plan([one, other], []))[1] == [(), ((0, 3),)]


def test_two_uses_do_not_depend_on_each_other():
    area = [RecordedArea(AT, AT + PAGE, 3, file=False)]
    planned = plan([thread((10, fault()), (30, fault())), thread((20, fault()), (40, fault()))], area)
    assert [step.after for step in planned[0]] == [(), ()]
    assert planned[1][1].after == ()


def test_a_place_that_is_mapped_anew_owes_nothing_to_what_was_there():
    first = thread((10, mmap()), (20, fault()), (30, munmap()))
    second = thread((1, mmap(AT + 8 * PAGE)), (40, mmap()), (50, fault()))
    assert after(plan([first, second], []))[1] == [(), (), ()]


def test_who_was_away_comes_after_the_last_step_that_another_had_done_by_then():
    busy = thread((10, mmap(AT)), (20, mmap(AT + 2 * PAGE)), (40, mmap(AT + 4 * PAGE)))
    back = thread((5, mmap(AT + 8 * PAGE)), (30, mmap(AT + 10 * PAGE)), away=[1])
    assert after(plan([busy, back], []))[1] == [(), ((0, 2),)]


def test_mmap_takes_effect_when_it_ends_and_munmap_when_it_begins():
    owner = thread((10, 40, mmap()), (50, 90, munmap()))
    user = thread((1, mmap(AT + 8 * PAGE)), (45, fault()), (60, fault()))
    planned = plan([owner, user], [])
    assert planned[1][1].pieces == (Piece(1, 0, 1),)
    assert planned[1][2].pieces == ()


def test_the_heap_is_a_mapping_from_one_break_to_the_next():
    steps = ((1, Brk(0, AT)), (2, Brk(0, AT + 3 * PAGE)), (3, fault(AT + PAGE)), (4, Brk(0, AT + PAGE)))
    (planned,) = plan([thread(*steps)], [])
    assert [step.makes for step in planned] == [None, Piece(0, 0, 3 * PAGE), None, None]
    assert planned[3].pieces == (Piece(0, PAGE, 2 * PAGE),)


pages = st.integers(0, 5).map(lambda page: AT + page * PAGE)
steps = st.one_of(
    st.builds(mmap, pages, st.integers(1, 3)),
    st.builds(fault, pages),
    st.builds(munmap, pages, st.integers(1, 3)),
    st.builds(mprotect, pages, st.integers(1, 3)),
)


@st.composite
def recorded_threads(draw):
    threads = []
    for _ in range(draw(st.integers(1, 4))):
        at, found = 0, []
        for step in draw(st.lists(steps, max_size=8)):
            at += draw(st.integers(1, 20))
            end = at + (draw(st.integers(0, 5)) if not isinstance(step, Fault) else 0)
            found.append((at, end, step))
            at = end
        threads.append(thread(*found, away=draw(st.sets(st.integers(0, 7)))))
    return threads


@given(recorded_threads())
def test_whoever_goes_first_all_come_to_their_end(threads):
    planned = plan(threads, [])
    assert [len(steps) for steps in planned] == [len(one.steps) for one in threads]
    done = [0] * len(threads)
    moved = True
    while moved:
        moved = False
        for place, todo in enumerate(planned):
            while done[place] < len(todo) and all(done[other] >= n for other, n in todo[done[place]].after):
                done[place] += 1
                moved = True
    assert done == [len(todo) for todo in planned]
    assert all(other != place for place, todo in enumerate(planned) for step in todo for other, _ in step.after)
