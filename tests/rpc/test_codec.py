"""Bytes become messages, however they are cut; what is bad is refused at once and by name, after what is good."""

import tracemalloc

import msgpack
import pytest
from hypothesis import given, strategies as st

from kactors.rpc.codec import (
    MSGID_MAX,
    Decoder,
    Notification,
    Request,
    Response,
    encode_error,
    encode_notification,
    encode_packed_response,
    encode_request,
    encode_response,
    pack,
)
from protocols.service.errors import ErrorCode, ServiceError
from tests.rpc.frames import LIMITS, decoded, decoder

BEGUN = b"\x94\x00\x07\xa1m"  # [0, 7, "m", and the params have to follow
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(), inside, max_size=3),
    max_leaves=6,
)
MSGIDS = st.integers(0, MSGID_MAX)
MESSAGES = (
    st.builds(Request, MSGIDS, st.text(), st.lists(VALUES, max_size=3))
    | st.builds(Response, MSGIDS, VALUES, VALUES)
    | st.builds(Notification, st.text(), st.lists(VALUES, max_size=3))
)
NUMBERS = {Request: 0, Response: 1, Notification: 2}


def packed(message):
    return msgpack.packb([NUMBERS[type(message)], *message])


def refused(data, **limits):
    """The code and the request's msgid with which bytes are refused."""
    taker = Decoder(*({"bytes": LIMITS.message_bytes_max, "depth": LIMITS.depth_max} | limits).values())
    with pytest.raises(ServiceError) as caught:
        list(taker.feed(data))
    assert not taker.half
    assert caught.value.code.error_class == "protocol"
    return caught.value.code, taker.msgid


@given(st.lists(MESSAGES, max_size=4), st.data())
def test_any_cutting_gives_the_same_messages(messages, data):
    stream = b"".join(map(packed, messages))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    taker, got, half = Decoder(2**20, 64), [], []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += taker.feed(stream[begin:end])
        half.append(taker.half)
    assert got == messages
    ends = {0}
    for message in messages:
        ends.add(max(ends) + len(packed(message)))
    assert half == [end not in ends for end in [*cuts, len(stream)]]


@given(MSGIDS, st.text(), st.lists(VALUES, max_size=3))
def test_what_is_encoded_is_decoded(msgid, text, values):
    taker = Decoder(2**20, 64)
    stream = encode_request(msgid, text, values) + encode_response(msgid, values) + encode_notification(text, values)
    stream += encode_packed_response(msgid, pack(values)) + encode_error(msgid, ServiceError(ErrorCode.STORE, text))
    assert list(taker.feed(stream)) == [
        Request(msgid, text, values),
        Response(msgid, None, values),
        Notification(text, values),
        Response(msgid, None, values),
        Response(msgid, [603, text, {}], None),
    ]


def test_byte_by_byte_every_form_of_every_length():
    sizes = (0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536)
    values = [None, True, False, 0, 127, 128, -1, -32, -33, 2**8, 2**16, 2**32, 2**64 - 1, -(2**63), 1.5]
    values += ["x" * size for size in sizes] + [b"x" * size for size in sizes[:-1]]
    values += [[1] * size for size in (15, 16, 65536)] + [{str(n): n for n in range(size)} for size in (15, 16, 65536)]
    taker = Decoder(2**22, 64)
    for value in values:
        got = []
        for byte in encode_request(1, "m", [value]):
            assert got == []
            got += taker.feed(bytes([byte]))
        assert got == [Request(1, "m", [value])]
    assert not taker.half


@pytest.mark.parametrize("head", ["d9", "da", "db", "c4", "c5", "c6"])
@pytest.mark.parametrize("room", [2, 0])
def test_a_message_may_be_as_long_as_it_may_be(head, room):
    width = {"d9": 1, "da": 2, "db": 4, "c4": 1, "c5": 2, "c6": 4}[head]
    whole = BEGUN + b"\x91" + bytes.fromhex(head) + (200).to_bytes(width, "big") + b"x" * 200
    assert len(list(Decoder(len(whole) + room, 8).feed(whole * 3))) == 3
    assert refused(whole, bytes=len(whole) - 1, depth=8) == (ErrorCode.TOO_LARGE, 7)


@pytest.mark.parametrize("tail", ["c6ffffffff", "dbffffffff", "ddffffffff", "dfffffffff", "df80000000", "ddfffffff0"])
def test_what_announces_too_much_is_refused_before_it_comes_and_costs_nothing(tail):
    list(Decoder(64, 8).feed(BEGUN))
    tracemalloc.start()
    try:
        assert refused(BEGUN + b"\x91" + bytes.fromhex(tail), bytes=2**24, depth=8) == (ErrorCode.TOO_LARGE, 7)
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


def test_many_small_announcements_are_added_up():
    # Each would do alone; together they need more bytes than a message may have.
    assert refused(BEGUN + b"\xdc\x08\x00" * 3)[0] == ErrorCode.TOO_LARGE


@pytest.mark.parametrize(
    "begin", [b"\x91", b"\x81\xa1k", b"\xdc\x00\x01", b"\xdd\x00\x00\x00\x01", b"\xde\x00\x01\xa1k"]
)
def test_depth_is_exact(begin):
    def nested(depth):
        return BEGUN + b"\x91" + begin * (depth - 3) + b"\x90"

    (request,) = decoded(nested(LIMITS.depth_max))
    assert request.msgid == 7
    assert refused(nested(LIMITS.depth_max + 1)) == (ErrorCode.TOO_DEEP, 7)
    assert refused(BEGUN + b"\x91" + begin * 1200) == (ErrorCode.TOO_DEEP, 7)
    # Side by side is not deep.
    assert decoded(BEGUN + b"\x98" + b"\x91\x91\x90" * 8)


@pytest.mark.parametrize(
    ("data", "msgid"),
    [
        (b"\xc1", None),
        (b"\xc0", None),
        (b"\x05", None),
        (b"\x90", None),
        (b"\x80", None),
        (b"GET / HTTP/1.1\r\n\r\n", None),
        (b"\x16\x03\x01\x02\x00", None),  # a TLS client
        (BEGUN + b"\x80", 7),
        (BEGUN + b"\xc0", 7),
        (BEGUN + b"\x91\xc1", 7),
        (BEGUN + b"\x91\xd4\x01\x00", 7),
        (BEGUN + b"\x91\xd6\xff\x00\x00\x00\x00", 7),  # a timestamp
        (BEGUN + b"\x91\xc7\xff", 7),
        (BEGUN + b"\x91\xc9\xff\xff\xff\xff\x01", 7),
        (BEGUN + b"\x91\xa1\xff", 7),  # no UTF-8
        (BEGUN + b"\x91\xa3\xed\xa0\x80", 7),  # half a surrogate pair
        (BEGUN + b"\x91\x81\x01\xc0", 7),
        (BEGUN + b"\x91\x81\xc0\xc0", 7),
        (BEGUN + b"\x91\x81\x90\xc0", 7),
        (BEGUN + b"\x91\x81\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00\xc0", 7),  # NaN as a key
        (b"\x94\x00\xc3\xa1m\x90", None),
        (b"\x94\x00\xff\xa1m\x90", None),
        (b"\x94\x00\xcf\x00\x00\x00\x01\x00\x00\x00\x00\xa1m\x90", None),
        (b"\x94\x00\xca\x00\x00\x00\x00\xa1m\x90", None),
        (b"\x94\x00\x07\xc4\x01m\x90", 7),  # a method as binary
        (b"\x94\x00\x07\x01\x90", 7),
        (b"\x94\xc2\x07\xa1m\x90", None),  # false is no 0
        (b"\x94\xca\x00\x00\x00\x00\x07\xa1m\x90", None),
        (b"\x94\x03\x07\xa1m\x90", None),
        (b"\x93\x00\x07\xa1m", None),
        (b"\x93\x02\x01\x90", None),
        (b"\x93\x02\xa1m\x80", None),
        (b"\x95\x00\x07\xa1m\x90\xc0", None),
        (b"\x94\x01\xc0\xc0\xc0", None),
    ],
)
def test_it_is_malformed(data, msgid):
    assert refused(data) == (ErrorCode.MALFORMED, msgid)


def test_long_forms_of_short_things_are_fine():
    assert decoded(b"\xdd\x00\x00\x00\x04\xcc\x00\xce\x00\x00\x00\x07\xd9\x01m\xdc\x00\x00") == [Request(7, "m", [])]


def test_infinite_and_undefined_numbers_are_numbers():
    (request,) = decoded(encode_request(1, "m", [float("nan"), float("inf")]))
    assert str(request.params) == "[nan, inf]"


def test_of_equal_keys_the_last_counts():
    assert decoded(BEGUN + b"\x91\x82\xa1a\x01\xa1a\x02") == [Request(7, "m", [{"a": 2}])]


def test_what_came_before_the_bad_one_is_given_and_nothing_after_it():
    good, taker = encode_request(1, "m", []), decoder()
    messages = taker.feed(good + good + b"\xc1" + good)
    assert [next(messages).msgid, next(messages).msgid] == [1, 1]
    with pytest.raises(ServiceError, match="0xc1"):
        next(messages)
    with pytest.raises(ServiceError, match="earlier"):
        taker.feed(good)


@pytest.mark.parametrize("depth", [0, 257, 1024])
def test_a_depth_that_the_unpacker_would_not_bear_is_no_limit(depth):
    with pytest.raises(ValueError, match="depth_max"):
        Decoder(100, depth)


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, object(), {1, 2}, "\ud800"])
def test_what_messagepack_cannot_say_is_an_error_of_the_service(value):
    with pytest.raises(ServiceError, match="MessagePack") as caught:
        encode_response(1, {"a": [value]})
    assert caught.value.code == ErrorCode.INTERNAL


def test_a_number_that_is_too_long_is_an_error_of_who_asks():
    with pytest.raises(ServiceError, match="MessagePack cannot say: a whole number longer than 64 bits") as caught:
        encode_request(1, "sim.create", [{"seed": 2**64}])
    assert caught.value.code == ErrorCode.INVALID_PARAMS


def test_a_long_message_in_small_pieces_is_not_copied_for_each():
    whole = encode_request(1, "m", ["x" * 2**22])
    taker, got = Decoder(2**23, 8), []
    for begin in range(0, len(whole), 1000):
        got += taker.feed(whole[begin : begin + 1000])
    assert len(got) == 1
