"""The vocabulary: frozen, strict, deeply immutable, with a direction that both sides keep."""

import enum
from typing import Annotated, Literal

import pytest
from pydantic import ValidationError

from kactors import Machine, Scenario
from protocols.base import Message, Pfn, Tracepoint, vocabulary
from protocols.mmap_sem import DownRead, MmapSemReleased
from protocols.page_table import PtesZapped
from protocols.roles import CONVERSATIONS, heard_by, messages, said_by

MESSAGES = messages()
ROLES = ("cpu", "mm", "ptl", "khugepaged", "allocator", "page_cache", "pipe", "barrier", "sched_domain", "host")


class Mutable:
    pass


@pytest.mark.parametrize(
    "annotation",
    [
        list,
        dict,
        set,
        list[int],
        dict[str, int],
        tuple[list[int], ...],
        int | list[int],
        dict | None,
        Mutable,
        object,
    ],
    ids=str,
)
def test_a_mutable_field_is_refused_when_the_class_is_made(annotation):
    with pytest.raises(TypeError, match="can be mutated"):
        type("Bad", (Message,), {"__annotations__": {"field": annotation}, "__module__": __name__})


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    "annotation",
    [
        int,
        bool,
        str,
        bytes,
        int | None,
        tuple[int, ...],
        tuple[tuple[int, int], ...],
        frozenset[int],
        Colour,
        Pfn,
        Literal["a", "b"],
        Annotated[tuple[str, ...], "names"],
        DownRead,
        tuple[DownRead, ...] | None,
    ],
    ids=str,
)
def test_immutable_fields_are_fine(annotation):
    made = type("Good", (Message,), {"__annotations__": {"field": annotation}, "__module__": __name__})
    assert "field" in made.model_fields


def test_messages_are_frozen_strict_and_closed():
    released = MmapSemReleased(woken=1, ipis=0)
    with pytest.raises(ValidationError, match="frozen"):
        released.woken = 2
    with pytest.raises(ValidationError, match="valid integer"):
        MmapSemReleased(woken="1", ipis=0)
    with pytest.raises(ValidationError, match="not permitted"):
        MmapSemReleased(woken=1, ipis=0, extra=2)
    assert isinstance(PtesZapped(pfns=(1, 2), written=()).pfns, tuple)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda cls: cls.__name__)
def test_each_message_declares_its_direction_and_says_what_it_means(message):
    assert message.senders
    assert message.receivers
    assert set(message.senders) <= set(ROLES)
    assert set(message.receivers) <= set(ROLES)
    assert message.__doc__
    assert message.__doc__ != Message.__doc__


@pytest.mark.parametrize("message", [cls for cls in MESSAGES if cls.replies], ids=lambda cls: cls.__name__)
def test_each_reply_exists_and_goes_the_other_way(message):
    by_name = {cls.__name__: cls for cls in MESSAGES}
    for name in message.replies:
        reply = by_name[name]
        assert set(message.senders) <= set(reply.receivers)
        assert set(message.receivers) <= set(reply.senders)


def test_codes_are_unique_so_that_fingerprints_tell_messages_apart():
    codes = [cls.code for cls in vocabulary()]
    assert len(codes) == len(set(codes))


def test_a_message_without_fields_is_one_shared_instance():
    shared: dict[type[Message], int] = {}
    for module in CONVERSATIONS:
        for value in vars(module).values():
            if isinstance(value, Message) and not type(value).model_fields:
                shared[type(value)] = shared.get(type(value), 0) + 1
    fieldless = {cls for cls in MESSAGES if not cls.model_fields}
    assert set(shared) == fieldless
    assert set(shared.values()) == {1}


@pytest.fixture(scope="module")
def machine():
    return Machine(Scenario(machine="small"))


def test_every_role_hears_exactly_what_it_handles(machine):
    system = machine.system
    assert set(system.mm.handlers()) == system.mm.hears == heard_by("mm")
    assert set(system.allocator.handlers()) == heard_by("allocator")
    assert set(system.page_cache.handlers()) == heard_by("page_cache")
    assert set(system.outside().handlers()) == system.host.hears == heard_by("host")
    table = system.mm.pmds._new_table(0, 1)
    assert set(table.handlers()) == heard_by("ptl")
    answers = {cls for cls in heard_by("cpu") if cls not in system.cpus[0]._others}
    replies = {name for cls in said_by("cpu") for name in cls.replies}
    # What a CPU has no handler of its own for is an answer to something that it asks, or its own timer.
    assert {cls.__name__ for cls in answers} - {"Resume"} <= replies


def test_actors_of_one_role_say_what_the_messages_declare(machine):
    system = machine.system
    for actor in (system.mm, system.allocator, system.khugepaged, system.cpus[0], system.outside()):
        assert actor.says == said_by(actor.role)
        assert actor.hears == heard_by(actor.role)


def test_no_tracepoint_can_be_heard_by_an_actor():
    tracepoints = vocabulary(Tracepoint)
    assert tracepoints
    assert all(not cls.receivers for cls in tracepoints)
    assert not set(tracepoints) & set(MESSAGES)
