"""Filter, rate, credit and numbers: what a subscriber is told, and that he learns what he was not."""

import pytest
from hypothesis import given, strategies as st

from kactors.service.worker.orders import Listen
from kactors.service.worker.subscription import Subscription
from protocols.service.events import Filter

WAIT = {"wait_ns": 500, "kind": "flush", "sender": "cpu0", "last_acker": "cpu1"}

STORY = {"line": "5 cpu1 -> mm DownRead", "sender": "cpu1", "receiver": "mm"}


def subscription(topics=("ipi_waits",), credit=10, rate_per_s=None, **wanted):
    asked = Listen(
        session="s",
        subscription=7,
        topics=topics,
        filter=Filter(**wanted),
        rate_per_s=rate_per_s,
        credit=credit,
        last=0,
        dropped=0,
        interval_ns=1_000_000,
    )
    return Subscription(asked)


def offer(to, topic="ipi_waits", data=WAIT, of=1, now_s=0.0):
    return to.offer(topic, of, 1000, data, now_s)


def test_an_event_bears_the_subscription_and_its_own_number():
    to = subscription()
    assert offer(to, of=41) == {
        "subscription": 7,
        "number": 1,
        "dropped": 0,
        "topic": "ipi_waits",
        "of": 41,
        "at_ns": 1000,
        "data": WAIT,
    }
    assert offer(to, of=42)["number"] == 2


def test_without_credit_events_are_counted_and_the_next_one_tells_how_many():
    to = subscription(credit=1)
    assert offer(to)["number"] == 1
    assert offer(to) is None
    assert offer(to) is None
    to.credit += 1
    event = offer(to)
    assert (event["number"], event["dropped"], to.dropped, to.credit) == (4, 2, 2, 0)


def test_a_rate_lets_a_tenth_of_a_second_through_at_once_and_then_so_many_a_second():
    to = subscription(credit=10_000, rate_per_s=80)
    assert sum(offer(to, now_s=0.0) is not None for _ in range(50)) == 8
    assert sum(offer(to, now_s=1.0) is not None for _ in range(50)) == 8
    assert sum(offer(to, now_s=1.0 + step / 160) is not None for step in range(1, 51)) == 25


@pytest.mark.parametrize(
    ("wanted", "topic", "data", "expected"),
    [
        ({"wait_min_ns": 500}, "ipi_waits", WAIT, True),
        ({"wait_min_ns": 501}, "ipi_waits", WAIT, False),
        ({"kind": "sync"}, "ipi_waits", WAIT, False),
        ({"actor": "cpu1"}, "ipi_waits", WAIT, True),
        ({"actor": "cpu2"}, "ipi_waits", WAIT, False),
        ({"pages_min": 3}, "transient_pages", {"now": 3, "peak": 9, "address": 0}, True),
        ({"pages_min": 4}, "transient_pages", {"now": 3, "peak": 9, "address": 0}, False),
        ({"actor": "mm"}, "stories", STORY, True),
        ({"actor": "cpu"}, "stories", STORY, False),
        ({"contains": "DownR"}, "stories", STORY, True),
        ({"contains": "Write"}, "stories", STORY, False),
        ({"wait_min_ns": 501}, "state", {"state": "ended"}, True),
    ],
)
def test_filters(wanted, topic, data, expected):
    to = subscription(topics=(topic,), **wanted)
    assert (offer(to, topic, data) is not None) == expected
    assert to.last == expected, "what is not wanted has no number"


def test_other_topics_are_not_told():
    assert offer(subscription(topics=("state",))) is None


@given(
    st.lists(st.one_of(st.integers(1, 5), st.none()), max_size=60), st.integers(0, 5), st.sampled_from([None, 1, 5, 50])
)
def test_every_event_is_sent_or_counted(steps, credit, rate_per_s):
    """A step is more credit, or, when it is None, a happening a hundredth of a second after the one before."""
    to = subscription(credit=credit, rate_per_s=rate_per_s)
    sent, granted, happened, told_dropped = [], credit, 0, 0
    for step in steps:
        if step is not None:
            to.credit += step
            granted += step
            continue
        happened += 1
        event = offer(to, now_s=happened / 100)
        if event is not None:
            sent.append(event["number"])
            told_dropped += event["dropped"]
    assert len(sent) + to.dropped == happened == to.last
    assert len(sent) + to.credit == granted
    assert sent == sorted(set(sent))
    assert told_dropped <= to.dropped
    if sent and sent[-1] == happened:
        assert told_dropped == to.dropped
