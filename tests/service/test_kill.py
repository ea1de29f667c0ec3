"""kill -9 at random moments: what was acknowledged is there afterwards, to the last delivery; nothing is half there."""

import os
import random
import signal
import threading

import pytest
import trio

from benchmarks.service_process import Caller, ServiceProcess, calling
from kactors.service.store import Store
from tests.service.customer import Customer, Known, undisturbed

GROUPS, KILLS, CUSTOMERS = 5, 10, 3
LOOKED_AT = 3


class Fuse:
    """Kills a process at its moment: so many acknowledgements after the beginning, and then as ``kind`` says."""

    def __init__(self, pid, numbers):
        self._pid = pid
        self._acknowledged = numbers.randrange(1, 40)
        self._delay_s = numbers.randrange(30_000) / 1e6
        self._kind = numbers.choice(("answered", "asked", "half asked", "later"))
        self._share = numbers.random()
        self._burnt = False

    def acknowledged(self):
        self._acknowledged -= 1
        if self._acknowledged == 0 and self._kind == "answered":
            self.burn()
        if self._acknowledged == 0 and self._kind == "later":
            threading.Timer(self._delay_s, self.burn).start()

    def cut(self, data):
        """The bytes of a question that leave before the moment, if this is the moment; else all, and no moment."""
        if self._acknowledged > 0 or self._kind not in ("asked", "half asked") or self._burnt:
            return data, False
        return data if self._kind == "asked" else data[: int(len(data) * self._share)], True

    def burn(self):
        if not self._burnt:
            self._burnt = True
            os.kill(self._pid, signal.SIGKILL)


class CutOff(Caller):
    """Sends through a fuse."""

    def __init__(self, stream, fuse):
        super().__init__(stream)
        self._fuse = fuse

    async def send(self, data):
        data, now = self._fuse.cut(data)
        await super().send(data)
        if now:
            self._fuse.burn()


async def act_until_it_is_killed(socket, customers, fuse):
    async def act(customer):
        async with await trio.open_unix_socket(str(socket)) as stream, trio.open_nursery() as nursery:
            caller = CutOff(stream, fuse)
            nursery.start_soon(caller.read)
            with pytest.raises((trio.BrokenResourceError, trio.ClosedResourceError)):
                await customer.act(caller, fuse.acknowledged)
            nursery.cancel_scope.cancel()

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for customer in customers:
                nursery.start_soon(act, customer)


def stored_sessions(path):
    """What the file holds, which is whole; and who made what with which key."""
    store = Store.open(path)
    try:
        assert store.integrity_check() == []
        records = store.load_all()
        known = {
            record.session: Known.stored(record, store.result(record.session) if record.has_result else None)
            for record in records
        }
    finally:
        store.close()
    return known, {(record.client, record.key): record.session for record in records}


def compare(customers, path):
    """See that the store holds what was acknowledged to all, and beyond that at most what was asked last."""
    stored, keys = stored_sessions(path)
    expected = set()
    for customer in customers:
        customer.compare(stored)
        expected |= customer.known.keys()
        if customer.asked is not None and "key" in customer.asked.params:
            expected.add(keys.get((customer.name, customer.asked.params["key"])))
    assert stored.keys() <= expected, "a session that nobody knows of"


async def look(socket, customers, numbers):
    """See that the service tells of the sessions what the store holds, and that some lead where they did."""
    async with calling(socket) as caller:
        everything = [known for customer in customers for known in customer.known.values()]
        for known in everything:
            where = await caller.ask("sim.attach", session=known.session)
            if known.state == "running":
                assert where["state"] in ("running", "ended")
            else:
                assert known == known.at(where)
        standing = [known for known in everything if known.state != "running"]
        for known in numbers.sample(standing, min(LOOKED_AT, len(standing))):
            stats = await caller.ask("sim.stats", session=known.session)  # replays, and compares the fingerprint
            assert (stats["events"], stats["now_ns"]) == (known.position["events"], known.position["now_ns"])


async def end_all(socket, customers):
    """Run everything to its end: it is what an undisturbed run comes to."""
    async with calling(socket) as caller:
        for known in [known for customer in customers for known in customer.known.values()]:
            where = await caller.ask("sim.pause", session=known.session)
            if where["state"] != "ended":
                where = await caller.ask("sim.run_until", session=known.session)
            result = (await caller.ask("sim.result", session=known.session))["result"]
            assert where["position"]["fingerprint"] == result["fingerprint"]
            assert result == undisturbed(known), known
            assert known.result in (None, result)


@pytest.mark.parametrize("group", range(GROUPS))
def test_nothing_that_was_acknowledged_is_lost_and_nothing_is_half_there(tmp_path, group):
    numbers = random.Random(f"kills {group}")
    customers = [Customer(f"customer{number}", group) for number in range(CUSTOMERS)]
    for _ in range(KILLS):
        process = ServiceProcess(tmp_path, "--workers", "1")
        try:
            process.wait()
            trio.run(look, process.socket, customers, numbers)
            fuse = Fuse(process.pid, numbers)
            trio.run(act_until_it_is_killed, process.socket, customers, fuse)
        finally:
            process.kill()
        compare(customers, process.store)
    process = ServiceProcess(tmp_path, "--workers", "1")
    try:
        process.wait()
        trio.run(look, process.socket, customers, numbers)
        trio.run(end_all, process.socket, customers)
    finally:
        process.end()
