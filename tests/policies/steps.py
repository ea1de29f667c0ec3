"""What one fault asks of the servers, in order: the protocol as it is seen from outside."""

from kactors.engine.observer import Observer
from protocols.tracepoints import VmEvent
from tests.accounting import assert_settled
from tests.actors.programs import with_history
from tests.actors.scenes import BASE, Heard, played, wait_until

START_NS = 100_000


class Requests(Observer):
    """What one client asks of the servers, as (ns since the first, request)."""

    def __init__(self, client, from_ns):
        self._client = client
        self._from_ns = from_ns
        self.all = []

    def deliveries(self):
        return self._hear

    def _hear(self, event):
        if event[2].name == self._client and event[1].name != self._client and event[0] >= self._from_ns:
            self.all.append((event[0] - self._from_ns, type(event[4]).__name__))


async def with_zero_page(thread):
    await with_history(thread)
    await thread.touch(BASE, write=False)


async def late_write(thread):
    await wait_until(thread, START_NS)
    await thread.touch(BASE)


def asked(policy, set_up, **options):
    """Return what a write to the first page asks, from the walk that faults to the end of the fault."""
    requests = Requests("cpu0", START_NS)
    machine, _ = played(late_write, policy=policy, set_up=set_up, observers=[requests], **options)
    assert_settled(machine)
    return requests.all


def counted(*bodies, policy, set_up=with_history, prefix="", also=(), **options):
    """Run to the end; return what /proc/vmstat counted from the workers' start on, by name, and the result."""
    events = Heard(VmEvent)
    machine, result = played(*bodies, policy=policy, set_up=set_up, observers=[events, *also], **options)
    assert_settled(machine)
    counts = {}
    for event in events.of(VmEvent):
        if event.name.startswith(prefix):
            counts[event.name] = counts.get(event.name, 0) + event.count
    return counts, result
