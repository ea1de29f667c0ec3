"""mmap_sem under every history that Hypothesis thinks of: exclusion, no lost wake-up, nobody forgotten."""

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kactors.kernel.rwsem import Rwsem, Verdict

HOLDS_READ, HOLDS_WRITE, SPINS, SLEEPS = "holds read", "holds write", "spins", "sleeps"


class RwsemHistory(RuleBasedStateMachine):
    """``state``: what each waiter knows of itself, from the verdicts alone."""

    @initialize(handoff_ns=st.sampled_from([0, 1, 5]))
    def create(self, handoff_ns):
        self.sem = Rwsem(handoff_ns)
        self.state = {}
        self.wants_write = {}
        self.woken = set()
        self.born = 0
        self.now_ns = 0

    # --- what the verdicts mean --------------------------------------------------------------------------------------

    def conclude(self, who, verdict):
        """A waiter learns its verdict; each is possible in some states only."""
        was, write = self.state.get(who), self.wants_write[who]
        if verdict is Verdict.ACQUIRED:
            assert was in (None, SPINS) or who in self.woken
            self.state[who] = HOLDS_WRITE if write else HOLDS_READ
            self.woken.discard(who)
        elif verdict is Verdict.SLEEP:
            assert was in (None, SPINS) or who in self.woken
            self.state[who] = SLEEPS
            self.woken.discard(who)
        elif verdict is Verdict.SPIN:
            assert was is None
            assert write
            self.state[who] = SPINS
        elif verdict is Verdict.WAKE_GRANTED:
            assert (was, write) == (SLEEPS, False)
            self.state[who] = HOLDS_READ
        else:
            assert (was, write) == (SLEEPS, True)
            assert who not in self.woken
            self.woken.add(who)

    def carry_out(self, actions):
        for who, verdict in actions:
            self.conclude(who, verdict)

    def those_that(self, state):
        return [who for who, its_state in self.state.items() if its_state == state]

    def arrive(self, *, write):
        self.born += 1
        self.wants_write[self.born] = write
        down = self.sem.down_write if write else self.sem.down_read
        self.conclude(self.born, down(self.born, self.now_ns))

    # --- what may happen ---------------------------------------------------------------------------------------------

    @rule(ns=st.integers(0, 4))
    def time_passes(self, ns):
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
        who = data.draw(st.sampled_from(self.those_that(HOLDS_READ)))
        del self.state[who]
        self.carry_out(self.sem.up_read(who, self.now_ns))

    @precondition(lambda self: self.those_that(HOLDS_WRITE))
    @rule(spinner_first=st.booleans())
    def the_writer_leaves(self, spinner_first):
        del self.state[self.those_that(HOLDS_WRITE)[0]]
        self.carry_out(self.sem.up_write(self.now_ns, spinner_first=spinner_first))

    @precondition(lambda self: self.those_that(HOLDS_WRITE))
    @rule()
    def the_writer_downgrades(self):
        owner = self.those_that(HOLDS_WRITE)[0]
        self.state[owner], self.wants_write[owner] = HOLDS_READ, False
        self.carry_out(self.sem.downgrade(self.now_ns))

    @precondition(lambda self: self.those_that(HOLDS_WRITE))
    @rule()
    def the_owner_sleeps(self):
        self.carry_out(self.sem.owner_sleeps(self.now_ns))
        assert not self.those_that(SPINS)

    @precondition(lambda self: self.those_that(HOLDS_WRITE))
    @rule()
    def the_owner_runs(self):
        self.sem.owner_runs()

    @precondition(lambda self: self.woken)
    @rule()
    def the_woken_head_retries(self):
        (head,) = self.woken
        self.conclude(head, self.sem.retry_write(self.now_ns))

    @precondition(lambda self: self.those_that(SPINS))
    @rule(data=st.data())
    def a_spinner_is_preempted(self, data):
        who = data.draw(st.sampled_from(self.those_that(SPINS)))
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
        assert sorted(sleeper.who for sleeper in self.sem.queue) == sorted(self.those_that(SLEEPS))
        assert not self.sem.spinners or self.sem.writer is not None

    @invariant()
    def sleepers_stand_in_the_order_in_which_they_began_to_sleep(self):
        since = [sleeper.since_ns for sleeper in self.sem.queue]
        assert since == sorted(since)

    @invariant()
    def no_wake_up_is_lost(self):
        assert len(self.woken) <= 1
        if not self.sem.queue:
            return
        head = self.sem.queue[0]
        if self.woken:
            assert self.woken == {head.who}
        if self.sem.writer is None:
            assert head.write, "a reader sleeps at the head of a lock that no writer holds"
            assert self.sem.readers or self.woken, "the lock is free, and its first waiter sleeps"

    def teardown(self):
        """When everybody releases, everybody gets his turn."""
        if not hasattr(self, "sem"):
            return
        for _ in range(4 * self.born + 4):
            if self.woken:
                self.the_woken_head_retries()
            elif writers := self.those_that(HOLDS_WRITE):
                del self.state[writers[0]]
                self.carry_out(self.sem.up_write(self.now_ns, spinner_first=False))
            elif readers := self.those_that(HOLDS_READ):
                del self.state[readers[0]]
                self.carry_out(self.sem.up_read(readers[0], self.now_ns))
        assert not self.state, "somebody was forgotten"


TestRwsemHistory = RwsemHistory.TestCase
TestRwsemHistory.settings = settings(max_examples=60, stateful_step_count=40)
