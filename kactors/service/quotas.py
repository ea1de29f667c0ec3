"""Quotas of several kinds of things, refused in one way."""

from __future__ import annotations

from collections.abc import Sequence

from kactors.service.subscriber import Subscriber
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.events import SubscribeParams
from protocols.service.server import Limits


def quota(limit: str, value: int, what: str) -> ServiceError:
    """Return the error for whoever wants more than there may be.

    Args:
        limit: name of the limit.
        value: its value.
        what: what there are so many of already.
    """
    return ServiceError(ErrorCode.QUOTA, f"there are {value} {what} ({limit})", {"limit": limit, "value": value})


def need_subscription(everybody: Sequence[Subscriber], params: SubscribeParams, client: str, limits: Limits) -> None:
    """Refuse a subscription where there are as many as there may be.

    Raises:
        ServiceError: QUOTA.
    """
    if len(everybody) >= limits.subscriptions_max:
        raise quota("subscriptions_max", limits.subscriptions_max, "subscriptions, of all clients")
    if sum(each.client == client for each in everybody) >= limits.subscriptions_per_client_max:
        raise quota("subscriptions_per_client_max", limits.subscriptions_per_client_max, "subscriptions of yours")
    if params.credit > limits.credit_max:
        raise quota("credit_max", limits.credit_max, "events of credit")


def need_credit(subscriber: Subscriber, events: int, limits: Limits) -> None:
    """Refuse more credit than a subscription may have.

    Raises:
        ServiceError: QUOTA.
    """
    room = limits.credit_max - subscriber.credit
    if events > room:
        message = f"subscription {subscriber.number} may have {room} more credit (credit_max)"
        raise ServiceError(ErrorCode.QUOTA, message, {"limit": "credit_max", "value": limits.credit_max})
