"""What a subscriber missed is counted once, whether the worker did not send it or the client did not read it."""

from hypothesis import given, strategies as st

from kactors.service.subscriber import Subscriber
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.events import SubscribeParams


class Client:
    """Reads or does not, as it is told."""

    def __init__(self):
        self.reads = True
        self.events = []

    def send(self, event):
        if self.reads:
            self.events.append(dict(event))
        return self.reads


def subscriber(client):
    return Subscriber(1, "me", SubscribeParams(session="s", topics=("stories",)), client.send, 1000)


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=30), st.integers(0, 3))
def test_every_number_is_sent_or_told_or_in_the_count(happened, last_dropped):
    """Each event comes after some that the worker dropped, and finds a client that reads or does not."""
    client = Client()
    one = subscriber(client)
    number = worker_dropped = sent = dropped = 0
    for before, client.reads in happened:
        number += before + 1
        worker_dropped += before
        counted = one.deliver({"number": number, "dropped": before})
        sent, dropped = sent + counted[0], dropped + counted[1]
    assert (sent, dropped) == (len(client.events), number - len(client.events))
    expected = 0
    for event in client.events:
        expected += event["dropped"] + 1
        assert event["number"] == expected
    assert one.dropped == number - len(client.events)
    heard = one.heard({"credit": 7, "last": number + last_dropped, "dropped": worker_dropped + last_dropped})
    assert heard.dropped == number + last_dropped - len(client.events)
    assert one.order()["dropped"] == worker_dropped + last_dropped, "a new worker counts its own"


def test_what_was_not_read_is_not_sent_again():
    client = Client()
    one = subscriber(client)
    for number, client.reads in ((1, True), (2, False), (3, True)):
        one.deliver({"number": number, "dropped": 0})
    events, missed = one.again(0)
    assert [(event["number"], event["dropped"]) for event in events] == [(1, 0), (3, 1)]
    assert missed == 0


async def test_credit_for_lost_events_is_given_back_when_the_worker_has_the_subscription_again():
    client = Client()
    one = subscriber(client)
    client.reads = False
    one.deliver({"number": 1, "dropped": 0})
    known = []

    async def order(name, **params):
        if not known:
            raise ServiceError(ErrorCode.UNKNOWN_SUBSCRIPTION, "s has no subscription 1")
        assert (name, params) == ("grant", {"subscription": 1, "events": 1})
        return {"credit": 5, "last": 1, "dropped": 0}

    await one.pay_back(order)
    assert one.owed == 1
    known.append(True)
    await one.pay_back(order)
    assert (one.owed, one.credit) == (0, 5)
