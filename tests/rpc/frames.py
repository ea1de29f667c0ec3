"""What the tests of RPC share: limits, byte streams, and how to read what a session sends."""

from kactors.rpc.codec import Decoder
from protocols.service.server import Limits

LIMITS = Limits(
    message_bytes_max=4096,
    depth_max=8,
    half_message_s=5.0,
    connections_max=10,
    requests_in_flight_max=4,
    output_bytes_max=2**20,
    sessions_max=10,
    sessions_per_client_max=10,
    sessions_running_max=10,
    subscriptions_max=10,
    subscriptions_per_client_max=10,
    credit_max=1000,
    actors_max=1000,
    events_max=10**9,
    wall_time_s_max=60.0,
    stored_bytes_max=2**30,
    checkpoints_per_session_max=10,
    searches_max=1,
    searches_per_client_max=1,
    searches_running_max=1,
    searches_running_per_client_max=1,
    search_states_max=1,
    search_time_s_max=1.0,
)


def decoder():
    return Decoder(LIMITS.message_bytes_max, LIMITS.depth_max)


def decoded(data):
    return list(decoder().feed(data))
