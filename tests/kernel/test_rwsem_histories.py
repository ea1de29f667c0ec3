"""mmap_sem under every history that Hypothesis thinks of and every kernel's rules.

Exclusion, who may overtake whom, no lost wake-up, an end to overtaking where the lock is handed over, nobody forgotten.
"""

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kactors.kernel.rwsem import NEVER, Rules, Rwsem, Verdict

HOLDS_READ, HOLDS_WRITE, SPINS, SLEEPS, HEAD_SPINS = "holds read", "holds write", "spins", "sleeps", "spins as the head"

RULES = st.builds(
    Rules,
    spins=st.booleans(),
    handoff_ns=st.sampled_from([0, 1, 5]),
    reader_spin_ns=st.sampled_from([0, 3]),
    readers_steal=st.booleans(),
)


class RwsemHistory(RuleBasedStateMachine):
    """What each waiter knows of itself, from the verdicts alone.

    Attributes:
        state: who holds, spins or sleeps.
        slept_since: the sleepers, in the order in which they began to, and since when.
        woken: those that have been told to retry.
        reserved: who has tried in vain after a long wait; None: nobody.
        owner_runs: whether the writer that owns the lock is on a CPU.
        banned: spinners have given up on the readers that hold the lock.
    """

    @initialize(rules=RULES)
    def create(self, rules):
        self.rules = rules
        self.sem = Rwsem(rules)
        self.state = {}
        self.wants_write = {}
        self.slept_since = {}
        self.woken = set()
        self.reserved = None
        self.owner_runs = True
        self.banned = False
        self.born = 0
        self.now_ns = 0

    # --- what the verdicts mean --------------------------------------------------------------------------------------

    def conclude(self, who, verdict):
        """A waiter learns its verdict; each is possible in some states only."""
        was = self.state.get(who)
        tries = was in {None, SPINS, HEAD_SPINS} or who in self.woken
        self.woken.discard(who)
        if verdict is Verdict.ACQUIRED:
            assert tries
            self.acquires(who)
        elif verdict is Verdict.SLEEP:
            assert tries
            self.state[who] = SLEEPS
            self.slept_since.setdefault(who, self.now_ns)
        elif verdict is Verdict.SPIN:
            assert tries
            self.begins_to_spin(who, HEAD_SPINS if who in self.slept_since else SPINS)
        elif verdict is Verdict.WAKE_GRANTED:
            assert (was, self.wants_write[who]) == (SLEEPS, False)
            self.acquires(who)
        else:
            assert (was, self.wants_write[who]) == (SLEEPS, True)
            assert tries is False, "it has been woken already"
            self.woken.add(who)

    def acquires(self, who):
        assert self.reserved in {None, who}, "somebody overtakes whom the lock is reserved for"
        if who in self.slept_since:
            assert who == next(iter(self.slept_since)), "a sleeper overtakes another"
            del self.slept_since[who]
        elif self.slept_since and not self.wants_write[who]:
            assert self.rules.readers_steal
            assert not self.those_that(HOLDS_READ), "a thief joins readers"
        self.state[who] = HOLDS_WRITE if self.wants_write[who] else HOLDS_READ
        self.reserved = None
        if self.wants_write[who]:
            self.owner_runs, self.banned = True, False

    def begins_to_spin(self, who, how):
        assert self.wants_write[who]
        assert self.rules.spins
        if self.those_that(HOLDS_WRITE):
            assert self.owner_runs
        elif self.those_that(HOLDS_READ):
            assert self.rules.reader_spin_ns
            assert how is SPINS
            assert not self.banned
        else:
            assert self.reserved is not None, "it spins at a free lock"
        self.state[who] = how

    def carry_out(self, actions):
        for who, verdict in actions:
            self.conclude(who, verdict)

    def those_that(self, *states):
        return [who for who, its_state in self.state.items() if its_state in states]

    def arrive(self, *, write):
        self.born += 1
        self.wants_write[self.born] = write
        down = self.sem.down_write if write else self.sem.down_read
        self.conclude(self.born, down(self.born, self.now_ns))

    def release(self, who, *, spinner_first):
        write = self.state.pop(who) == HOLDS_WRITE
        self.banned = self.banned and bool(self.those_that(HOLDS_READ))
        self.carry_out(
            self.sem.up_write(self.now_ns, spinner_first=spinner_first) if write else self.sem.up_read(who, self.now_ns)
        )

    # --- what may happen ---------------------------------------------------------------------------------------------

    @rule(ns=st.integers(0, 4))
    def time_passes(self, ns):
        """The mm makes spinners give up on readers at the very deadline."""
        deadline_ns = self.sem.deadline_ns
        if deadline_ns != NEVER and deadline_ns <= self.now_ns + ns:
            self.now_ns = deadline_ns
            self.banned = True
            self.carry_out(self.sem.give_up_on_readers(deadline_ns))
            assert not self.those_that(SPINS)
        else:
            self.now_ns += ns

    @rule()
    def a_reader_comes(self):
        self.arrive(write=False)

    @rule()
    def a_writer_comes(self):
        self.arrive(write=True)

    @precondition(lambda self: self.those_that(HOLDS_READ))
    @rule(data=st.data())
    def a_reader_leaves(self, data):
        self.release(data.draw(st.sampled_from(self.those_that(HOLDS_READ))), spinner_first=True)

    @precondition(lambda self: self.those_that(HOLDS_WRITE))
    @rule(spinner_first=st.booleans())
    def the_writer_leaves(self, spinner_first):
        self.release(self.those_that(HOLDS_WRITE)[0], spinner_first=spinner_first)

    @precondition(lambda self: self.those_that(HOLDS_WRITE))
    @rule()
    def the_writer_downgrades(self):
        owner = self.those_that(HOLDS_WRITE)[0]
        self.state[owner], self.wants_write[owner] = HOLDS_READ, False
        self.carry_out(self.sem.downgrade(self.now_ns))

    @precondition(lambda self: self.those_that(HOLDS_WRITE))
    @rule()
    def the_owner_sleeps(self):
        self.owner_runs = False
        self.carry_out(self.sem.owner_sleeps(self.now_ns))
        assert not self.those_that(SPINS, HEAD_SPINS)

    @precondition(lambda self: self.those_that(HOLDS_WRITE))
    @rule()
    def the_owner_runs(self):
        self.owner_runs = True
        self.sem.owner_runs()

    @precondition(lambda self: self.woken)
    @rule()
    def the_woken_head_retries(self):
        (head,) = self.woken
        self.conclude(head, self.sem.retry_write(self.now_ns))
        waited_ns = self.now_ns - self.slept_since.get(head, self.now_ns)
        if self.rules.handoff_ns and waited_ns > self.rules.handoff_ns:
            self.reserved = head

    @precondition(lambda self: self.those_that(SPINS, HEAD_SPINS))
    @rule(data=st.data())
    def a_spinner_is_preempted(self, data):
        who = data.draw(st.sampled_from(self.those_that(SPINS, HEAD_SPINS)))
        self.conclude(who, self.sem.stop_spinning(who, self.now_ns))

    # --- what must hold ----------------------------------------------------------------------------------------------

    @invariant()
    def a_writer_is_alone(self):
        writers, readers = self.those_that(HOLDS_WRITE), self.those_that(HOLDS_READ)
        assert len(writers) <= 1
        assert not (writers and readers)
        assert sorted(self.sem.owners()) == sorted(writers + readers)

    @invariant()
    def everybody_is_where_the_verdicts_say(self):
        assert sorted(self.sem.spinners) == sorted(self.those_that(SPINS))
        assert [sleeper.who for sleeper in self.sem.queue] == list(self.slept_since)
        assert set(self.slept_since) == set(self.those_that(SLEEPS, HEAD_SPINS))
        assert all(self.sem.waits(who) for who in self.those_that(SPINS, SLEEPS, HEAD_SPINS))

    @invariant()
    def whoever_spins_has_something_to_spin_on(self):
        if self.those_that(SPINS, HEAD_SPINS):
            assert self.those_that(HOLDS_WRITE, HOLDS_READ) or self.reserved in self.woken
        assert not self.those_that(HEAD_SPINS) or self.those_that(HOLDS_WRITE)
        assert (self.sem.deadline_ns != NEVER) == bool(self.those_that(HOLDS_READ) and self.those_that(SPINS))

    @invariant()
    def no_wake_up_is_lost(self):
        assert len(self.woken) <= 1
        if not self.slept_since:
            return
        head = next(iter(self.slept_since))
        assert self.woken <= {head}
        if not self.those_that(HOLDS_WRITE):
            assert self.wants_write[head], "a reader sleeps at the head of a lock that no writer holds"
            assert self.those_that(HOLDS_READ) or self.woken, "the lock is free, and its first waiter sleeps"

    def teardown(self):
        """When everybody releases, everybody gets his turn."""
        if not hasattr(self, "sem"):
            return
        for _ in range(4 * self.born + 4):
            if self.woken:
                self.the_woken_head_retries()
            elif holders := self.those_that(HOLDS_WRITE, HOLDS_READ):
                self.release(holders[0], spinner_first=False)
        assert not self.state, "somebody was forgotten"


TestRwsemHistory = RwsemHistory.TestCase
TestRwsemHistory.settings = settings(max_examples=150, stateful_step_count=40)
