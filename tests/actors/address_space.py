"""An mm alone, and bare clients that say to it what a test wants."""

from kactors.allocator import Allocator
from kactors.engine.choices import FirstChoice
from kactors.engine.engine import Engine
from kactors.engine.inline_runtime import run_inline
from kactors.machines import load_machine
from kactors.mm import Mm
from kactors.ptl import Ptl
from protocols.scenario import Bounds
from tests.actors.scenes import Probe


class AddressSpace:
    """An mm and four probes that use it."""

    def __init__(self, machine="small", *, costs=None, **bounds):
        self.engine = Engine(FirstChoice())
        self.machine = machine = load_machine(machine, cpus=4, costs=costs)
        allocator = Allocator(self.engine, machine, list)
        bounds = Bounds(**bounds)
        self.mm = Mm(self.engine, machine, bounds, lambda at, pfn: Ptl(self.engine, machine, at, pfn), allocator)
        self.cpus = [Probe(self.engine, number) for number in range(4)]

    def say(self, *messages, cpu=0, tag=None, run=True):
        """Say the messages one after the other; return what the probe heard since. Each probe is a thread's."""
        probe = self.cpus[cpu]
        tag = cpu + 1 if tag is None else tag
        before = len(probe.heard)
        for message in messages:
            probe.say(self.engine.now_ns, self.mm, message, tag)
            if run:
                self.run()
        return probe.answers()[before:]

    def run(self):
        self.engine.stop = None
        run_inline(self.engine)

    def holder(self, cpu):
        return self.mm.holder(self.cpus[cpu], cpu + 1)
