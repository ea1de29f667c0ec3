"""What the tests of properties share: real machines on which one property watches alone, and stories told to it."""

from kactors.observers.properties import load_property
from tests.actors.scenes import BASE, PAGE, played


def findings(observer, *tracepoints):
    """Return the names of the properties that the story breaks, in order."""
    found = [observer.tracepoints()[type(entry)](at_ns, "cpu0", entry) for at_ns, entry in enumerate(tracepoints)]
    return [finding.property for finding in found if finding is not None]


def stopped(name, *bodies, **options):
    """Run a scene with one property watching; return why it stopped."""
    _, result = played(*bodies, observers=(load_property(name),), properties=False, **options)
    return result.stop


def fires(name, *bodies, **options):
    """Run a scene that breaks the property; return the finding's text."""
    stop = stopped(name, *bodies, **options)
    assert stop.kind == "violation", stop
    assert stop.property == name
    return stop.text


async def with_history(thread):
    """Set up an area whose anon_vma and page table exist."""
    await thread.mmap(64 * PAGE, address=BASE)
    await thread.touch(BASE + 63 * PAGE)


async def one_write(thread):
    await thread.touch(BASE)
