"""A TLB against a dictionary."""

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kactors.kernel.cpu_parts.tlb import Tlb
from kactors.kernel.pte import allows, mk_pte
from kactors.machines import load_machine
from protocols.page_table import Pmd, PmdState

MACHINE = load_machine("small")
PAGE, PER_PMD = MACHINE.page_size, MACHINE.pmd_pages
VPNS = st.integers(PER_PMD - 3, PER_PMD + 3)
TABLE = Pmd(state=PmdState.TABLE, table=1, pfn=-1)


class TlbAndDictionaries(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.tlb = Tlb(MACHINE)
        self.entries = {}
        self.pmds = {}

    @rule(vpn=VPNS, pfn=st.integers(0, 99), write=st.booleans())
    def fill(self, vpn, pfn, write):
        self.entries[vpn] = mk_pte(pfn, write=write)
        self.tlb.fill(vpn, self.entries[vpn])

    @rule(vpn=VPNS)
    def fill_pmd(self, vpn):
        self.tlb.fill_pmd(vpn, TABLE)
        self.pmds[vpn // PER_PMD] = TABLE

    @rule(start=st.integers((PER_PMD - 4) * PAGE, (PER_PMD + 4) * PAGE), length=st.integers(1, 8 * PAGE))
    def invalidate(self, start, length):
        flushes = self.tlb.flushes
        self.tlb.invalidate(start, start + length)
        assert self.tlb.flushes == flushes + 1
        touched = range(start // PAGE, (start + length - 1) // PAGE + 1)
        self.entries = {vpn: pte for vpn, pte in self.entries.items() if vpn not in touched}
        self.pmds = {pmd: entry for pmd, entry in self.pmds.items() if pmd not in {vpn // PER_PMD for vpn in touched}}

    @rule()
    def clear(self):
        flushes = self.tlb.flushes
        self.tlb.clear()
        assert self.tlb.flushes == flushes + 1
        self.entries, self.pmds = {}, {}

    @invariant()
    def both_say_the_same(self):
        for vpn in range(PER_PMD - 4, PER_PMD + 5):
            for write in (False, True):
                pte = self.entries.get(vpn)
                expected = pte if pte is not None and allows(pte, write=write) else None
                assert self.tlb.lookup(vpn, write=write) == expected
            assert self.tlb.pmd(vpn) == self.pmds.get(vpn // PER_PMD)


TestTlb = TlbAndDictionaries.TestCase
TestTlb.settings = settings(max_examples=50, stateful_step_count=20)
