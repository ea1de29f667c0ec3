"""A connection through any life: requests good and bad, whole and in pieces, answers in any order, and any end."""

import contextlib

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kactors.rpc.codec import Notification, Request, Response, encode_notification, encode_request, encode_response
from kactors.rpc.session import ServerSession
from protocols.service.errors import ErrorCode, ServiceError
from tests.rpc.frames import LIMITS, decoder

PARAMS = st.sampled_from([[], [{}], [{"session": "s1"}], [{"sesion": 1}], [{"token": "t"}], [None], [1, 2]])
METHODS = st.sampled_from(["hello", "sim.stats", "sim.list", "server.stats", "nope"])
MSGIDS = st.integers(0, 5)
MESSAGES = st.builds(encode_request, MSGIDS, METHODS, PARAMS) | st.builds(encode_notification, METHODS, PARAMS)
BAD = st.sampled_from(
    [b"\xc1", encode_response(1, None), b"\x94\x00\x03\xa1m\xc0", b"\x94\x00\x04\xdd\xff\xff\xff\xff"]
)
PROTOCOL = range(100, 200)


class Connection(RuleBasedStateMachine):
    """The session, and what a client that remembers everything knows of it."""

    token_needed = True

    def __init__(self):
        super().__init__()
        self.session = ServerSession(LIMITS, token_needed=self.token_needed)
        self.locked = self.token_needed
        self.heard = decoder()
        self.under_way = []
        self.asked = {}  # how often a msgid was asked under, and answered
        self.answered = {}
        self.tail = b""  # what of a message was not sent yet
        self.over = False

    def send(self, data):
        if self.over:
            assert list(self.session.receive(data)) == []
            return
        calls = list(self.session.receive(data))
        if self.locked:
            assert all(call.method.name == "hello" for call in calls)
        for call in calls:
            assert isinstance(call.params, call.method.params)
        self.under_way += calls

    def ask(self, data):
        taker = decoder()
        msgids = []
        with contextlib.suppress(ServiceError):
            msgids.extend(message.msgid for message in taker.feed(data) if isinstance(message, Request))
        msgids.append(taker.msgid)  # of the bad one
        for msgid in msgids:
            self.asked[msgid] = self.asked.get(msgid, 0) + 1

    @precondition(lambda self: not self.tail)
    @rule(messages=st.lists(MESSAGES, min_size=1, max_size=3), bad=st.none() | BAD)
    def messages(self, messages, bad):
        data = b"".join(messages)
        self.ask(data + (bad or b""))
        self.send(data + (bad or b""))

    @precondition(lambda self: not self.tail)
    @rule(data=MESSAGES, cut=st.integers(1, 12))
    def begin(self, data, cut):
        self.ask(data)
        self.send(data[:cut])
        self.tail = data[cut:]
        assert self.session.half == (bool(self.tail) and not self.over_now())

    @precondition(lambda self: self.tail)
    @rule()
    def end(self):
        self.send(self.tail)
        self.tail = b""
        assert not self.session.half

    @precondition(lambda self: self.under_way)
    @rule(number=st.integers(0, 9), well=st.booleans())
    def answer(self, number, well):
        call = self.under_way.pop(number % len(self.under_way))
        if well:
            self.session.answer(call, b"\xc0")
        else:
            self.session.fail(call, ServiceError(ErrorCode.UNKNOWN_SESSION, "no such session"))

    @precondition(lambda self: any(call.method.name == "hello" for call in self.under_way))
    @rule()
    def hello_succeeds(self):
        call = next(call for call in self.under_way if call.method.name == "hello")
        self.under_way.remove(call)
        self.session.authenticated()
        self.locked = False
        self.session.answer(call, b"\xc0")

    @rule()
    def tell(self):
        self.session.notify_packed(encode_notification("sim.event", [{}]))

    @precondition(lambda self: self.tail)
    @rule()
    def too_slow(self):
        self.session.too_slow()

    @precondition(lambda self: not self.tail)
    @rule(data=BAD)
    def bad(self, data):
        self.ask(data)
        self.send(data)
        assert self.session.closing

    def over_now(self):
        return self.session.closing

    def settle(self):
        """Read what was sent."""
        messages = list(self.heard.feed(self.session.take_output()))
        assert not (messages and self.over), "after the end nothing is said"
        for place, message in enumerate(messages):
            if isinstance(message, Response):
                self.answered[message.msgid] = self.answered.get(message.msgid, 0) + 1
                code = message.error[0] if message.error else None
            else:
                assert isinstance(message, Notification)
                code = message.params[0][0] if message.method == "server.error" else None
            assert (code in PROTOCOL) == (self.session.closing and place == len(messages) - 1)
        assert all(count <= self.asked[msgid] for msgid, count in self.answered.items()), "answered twice"
        self.over = self.session.closing

    @invariant()
    def what_is_sent_is_right(self):
        self.settle()
        assert self.session.in_flight == len(self.under_way) <= LIMITS.requests_in_flight_max
        assert self.session.output_bytes == 0
        if not self.over:
            waiting = {call.msgid for call in self.under_way} - {None}
            for msgid, count in self.answered.items():
                # A request that is cut in two is asked before all of it is there.
                assert self.asked[msgid] - count - (msgid in waiting) in ((0, 1) if self.tail else (0,))


class OpenConnection(Connection):
    token_needed = False


TestConnection = Connection.TestCase
TestOpenConnection = OpenConnection.TestCase
TestConnection.settings = TestOpenConnection.settings = settings(max_examples=150, stateful_step_count=40)
