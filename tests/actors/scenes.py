"""Small machines without jitter for exact tests, an observer that writes down what it hears, and a bare client."""

from pathlib import Path

from kactors import Machine, Scenario
from kactors.engine.actor import Actor
from kactors.engine.choices import FirstChoice
from kactors.engine.engine import Engine
from kactors.engine.inline_runtime import run_inline
from kactors.engine.observer import Observer
from kactors.machines import load_machine
from kactors.workloads import Program
from protocols.roles import heard_by, said_by
from protocols.scenario import Khugepaged

PAGE = 4096
PMD = 512 * PAGE
BASE = 0x7E00_0000_0000
PROFILES = Path(__file__).parent / "profiles"
LAZY_TLB = {"keep": "small", "leave": str(PROFILES / "leave.toml"), "skip": str(PROFILES / "skip.toml")}
"""The small machine with each rule for idle CPUs."""


class Heard(Observer):
    """Everything heard of the given tracepoint classes, in order, as (at_ns, actor, tracepoint)."""

    def __init__(self, *kinds):
        self._kinds = kinds
        self.all = []

    def tracepoints(self):
        return dict.fromkeys(self._kinds, self._hear)

    def _hear(self, at_ns, who, tracepoint):
        self.all.append((at_ns, who, tracepoint))

    def of(self, kind):
        return [tracepoint for _, _, tracepoint in self.all if type(tracepoint) is kind]


class Delivered(Observer):
    """Every delivery of the given message classes, as (at_ns, receiver, message)."""

    def __init__(self, *kinds):
        self._kinds = kinds
        self.all = []

    def deliveries(self):
        return self._hear

    def _hear(self, event):
        if type(event[4]) in self._kinds:
            self.all.append((event[0], event[1].name, event[4]))


class AtOnce(Program):
    """A program whose workers leave the start barrier at the same instant."""

    at_once = True


def scene(
    *bodies, set_up=None, policy="classic", cpus=2, costs=None, collapse_ms=0, choices=None, observers=(), **options
):
    """Build a machine that runs ``bodies``, in which nothing is left to chance unless ``choices`` says so."""
    properties = options.pop("properties", True)
    scenario = Scenario(
        machine=options.pop("machine", "small"),
        cpus=cpus,
        policy=policy if isinstance(policy, str) else "classic",
        costs={"jitter_percent": 0, **(costs or {})},
        khugepaged=options.pop("khugepaged", Khugepaged(scan_sleep_millisecs=collapse_ms)),
        events_max=options.pop("events_max", 300_000),
        **options,
    )
    return Machine(
        scenario,
        choices or FirstChoice(),
        workload=AtOnce(bodies, set_up),
        policy=None if isinstance(policy, str) else policy,
        observers=observers,
        properties=properties,
    )


def played(*bodies, **options):
    """Run a scene to its end; return the machine and its result."""
    machine = scene(*bodies, **options)
    return machine, machine.run()


async def wait_until(thread, at_ns):
    """Compute until virtual time is ``at_ns``, if it is not past that."""
    await thread.compute(max(int(at_ns) - thread.cpu.clock_ns, 0))
    await thread.cpu.sync()


def ends(heard):
    """When each thread was done, by its number, from the RecordDone that were heard."""
    return {done.thread: at_ns for at_ns, _, done in heard.all}


def spent(machine, cpu, kind):
    return machine.system.cpus[cpu].spent[kind]


class Probe(Actor):
    """A bare client: says what a test tells it to, and keeps what it hears with the time."""

    role = "cpu"
    says = said_by("cpu") | said_by("khugepaged") | said_by("mm")
    hears = heard_by("cpu") | heard_by("khugepaged")

    def __init__(self, engine, cpu_id=0):
        self.cpu_id = cpu_id
        self.heard = []
        super().__init__(engine, f"probe{cpu_id}")

    def receive(self, event):
        self.heard.append((event[0], event[3], event[4]))

    def say(self, at_ns, receiver, message, tag=1):
        self.engine.post(at_ns, receiver, self, message, tag)

    def answers(self):
        return [message for _, _, message in self.heard]


class Hypervisor(Probe):
    """Takes a CPU away between two instructions."""

    role = "host"
    says = said_by("host")


class Alone:
    """One server by itself on the small machine, and as many probes as CPUs that use it.

    ``make`` gets the engine and the profile; ``costs`` differ from the small machine's.
    """

    def __init__(self, make, cpus=3, **costs):
        self.engine = Engine(FirstChoice())
        self.machine = load_machine("small", cpus=cpus, costs={"line_cache_ns": 50, **costs})
        self.actor = make(self.engine, self.machine)
        self.cpus = [Probe(self.engine, number) for number in range(cpus)]

    def say(self, *messages, cpu=0, tag=None):
        """Say the messages one after the other; return what the probe heard since."""
        before = len(self.cpus[cpu].heard)
        for message in messages:
            self.engine.stop = None
            self.cpus[cpu].say(self.engine.now_ns, self.actor, message, tag=cpu + 7 if tag is None else tag)
            run_inline(self.engine)
        return self.cpus[cpu].answers()[before:]

    def took(self, message, cpu=0, tag=None):
        """Say the message; return how long its answer took, in ns."""
        began_ns = self.engine.now_ns
        self.say(message, cpu=cpu, tag=tag)
        return self.cpus[cpu].heard[-1][0] - began_ns
