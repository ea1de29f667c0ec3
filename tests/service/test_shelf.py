"""The shelf alone: names, keys, quotas, pages and subscriptions of things that do nothing else."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from kactors.service.settings import LIMITS
from kactors.service.shelf import Kind, Named, Quota, Shelf
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.events import SubscribeParams

KIND = Kind(
    "search",
    "check",
    "check.list",
    ErrorCode.UNKNOWN_SEARCH,
    (
        Quota("searches_max", "searches"),
        Quota("searches_per_client_max", "searches of yours"),
        Quota("searches_running_max", "searches that run", "running"),
        Quota("searches_running_per_client_max", "searches of yours that run", "running"),
    ),
)
MANY = {quota.limit: 100 for quota in KIND.quotas}


class Book(Named):
    def __init__(self, name, client="me", key=None, request=None, state="ended"):
        super().__init__(name, client, key, request)
        self._state = state

    @property
    def state(self):
        return self._state


def shelf_of(*books, taken=None, **limits):
    shelf = Shelf(KIND, LIMITS.model_copy(update=MANY | limits), set() if taken is None else taken)
    for book in books:
        shelf.put(book)
    return shelf


def names(things):
    return [thing.name for thing in things]


def refused(code, **data):
    return pytest.raises(ServiceError, check=lambda error: error.code is code and data.items() <= error.data.items())


def test_what_was_put_is_found_by_its_name_until_it_is_removed():
    shelf = shelf_of(one := Book("one"), Book("two"))
    assert (shelf["one"], shelf.find("one"), len(shelf), "one" in shelf) == (one, one, 2, True)
    shelf.remove(one)
    assert (shelf.find("one"), names(shelf), "one" in shelf) == (None, ["two"], False)
    with refused(ErrorCode.UNKNOWN_SEARCH, check="one") as error:
        shelf["one"]
    assert error.value.message == "there is no search one; check.list shows those there are"


def test_things_may_go_while_somebody_goes_through_them():
    shelf = shelf_of(*map(Book, "abc"))
    seen = []
    for book in shelf:
        seen.append(book.name)
        shelf.remove(book)
    assert (seen, names(shelf)) == (["a", "b", "c"], [])


@pytest.mark.parametrize(
    ("after", "limit", "state", "page", "more"),
    [
        (None, 10, None, "abcde", False),
        (None, 5, None, "abcde", False),
        (None, 4, None, "abcd", True),
        ("b", 2, None, "cd", True),
        ("b", 3, None, "cde", False),
        ("e", 3, None, "", False),
        (None, 2, "running", "bd", False),
        ("b", 1, "running", "d", False),
        ("c", 1, "ended", "e", False),
        (None, 1, "running", "b", True),
    ],
)
def test_pages_are_in_the_order_of_making(after, limit, state, page, more):
    shelf = shelf_of(*(Book(name, state="running" if name in "bd" else "ended") for name in "abcde"))
    found, are_more = shelf.page(after, limit, state)
    assert ("".join(names(found)), are_more) == (page, more)


def test_a_page_after_nothing_is_refused():
    with refused(ErrorCode.UNKNOWN_SEARCH, check="nope"):
        shelf_of(Book("a")).page("nope", 1, None)


def test_a_name_is_taken_on_all_shelves_from_the_moment_it_is_reserved():
    taken = set()
    one, other = shelf_of(taken=taken), shelf_of(taken=taken)
    with one.reserve("x", "me"):
        assert "x" in one
        assert "x" not in other
        for shelf in (one, other):
            with refused(ErrorCode.CONFLICT, check="x"), shelf.reserve("x", "you"):
                pass
        one.put(book := Book("x"))
    with refused(ErrorCode.CONFLICT), other.reserve("x", "you"):
        pass
    one.remove(book)
    with other.reserve("x", "you"):
        pass


def test_a_name_of_what_could_not_be_made_is_free_again():
    shelf = shelf_of()
    with pytest.raises(KeyboardInterrupt), shelf.reserve("x", "me"):
        raise KeyboardInterrupt
    assert "x" not in shelf
    with shelf.reserve("x", "me"):
        pass


@pytest.mark.parametrize(
    ("limit", "client", "kept"),
    [
        ("searches_max", "you", [Book("a"), Book("b")]),
        ("searches_per_client_max", "me", [Book("a"), Book("b")]),
        ("searches_running_max", "you", [Book("a", state="running"), Book("b", state="running")]),
        ("searches_running_per_client_max", "me", [Book("a", state="running"), Book("b", state="running")]),
    ],
)
def test_there_may_be_as_many_as_the_limit_says(limit, client, kept):
    with refused(ErrorCode.QUOTA, limit=limit, value=2), shelf_of(*kept, **{limit: 2}).reserve("x", client):
        pass
    with shelf_of(*kept, **{limit: 3}).reserve("x", client):
        pass


@pytest.mark.parametrize(
    ("limit", "kept"),
    [
        ("searches_per_client_max", Book("a", client="you", state="running")),
        ("searches_running_max", Book("a")),
        ("searches_running_per_client_max", Book("a")),
        ("searches_running_per_client_max", Book("a", client="you", state="running")),
    ],
)
def test_others_things_and_what_has_ended_do_not_count(limit, kept):
    with shelf_of(kept, **{limit: 1}).reserve("x", "me"):
        pass


@pytest.mark.parametrize("limit", MANY)
def test_what_is_being_made_counts(limit):
    shelf = shelf_of(**{limit: 1})
    with shelf.reserve("x", "me"), refused(ErrorCode.QUOTA, limit=limit), shelf.reserve("y", "me"):
        pass


async def test_a_key_finds_what_was_made_with_it_and_only_its_client_has_it():
    shelf = shelf_of(book := Book("x", key="k", request={"seed": 1}))
    async with shelf.once("me", "k", {"seed": 1}) as made:
        assert made is book
    async with shelf.once("you", "k", {"seed": 1}) as made:
        assert made is None
    async with shelf.once("me", None, {"seed": 1}) as made:
        assert made is None
    with refused(ErrorCode.CONFLICT, check="x"):
        async with shelf.once("me", "k", {"seed": 2}):
            pass
    shelf.remove(book)
    shelf.put(Book("x"))
    async with shelf.once("me", "k", {"seed": 2}) as made:
        assert made is None, "a key does not outlive its thing, whoever has the name now"


async def test_two_who_ask_with_one_key_at_one_moment_get_one_thing():
    shelf, made = shelf_of(), []

    async def ask(number):
        async with shelf.once("me", "k", {}) as existing:
            if existing is None:
                await wait_all_tasks_blocked()
                shelf.put(existing := Book(f"book-{number}", key="k", request={}))
            made.append(existing.name)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, 1)
        nursery.start_soon(ask, 2)
    assert len(set(made)) == len(shelf) == 1
    assert len(made) == 2


async def test_the_next_tries_where_making_failed_and_no_lock_is_left_behind():
    shelf = shelf_of()
    with pytest.raises(KeyError):
        async with shelf.once("me", "k", {}):
            raise KeyError
    async with shelf.once("me", "k", {}) as made:
        assert made is None
    assert not shelf._key_locks


def test_a_subscription_is_found_by_its_number():
    shelf = shelf_of(Book("a"), book := Book("b"))
    params = SubscribeParams(session="b", topics=("search",), credit=1)
    subscriber = book.subscribers.add("me", params, lambda _event: True)
    assert shelf.subscription(subscriber.number) == (book, subscriber)
    assert shelf.subscription(subscriber.number + 1) is None
    assert list(shelf.subscribers()) == [subscriber]
