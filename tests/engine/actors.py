"""Small real actors for the engine's tests, with a vocabulary of their own that no role of the kernel shares."""

from typing import ClassVar

from kactors.engine.actor import Actor, Server
from kactors.engine.client import Client, Process
from protocols.base import Message, Tracepoint


class Note(Message, sender=("tester",), receiver=("tester",)):
    """A number."""

    number: int


class Question(Message, sender=("tester",), receiver=("tester",), reply=("Note",)):
    """To a Desk."""

    number: int


class Unsaid(Message, sender=("nobody",), receiver=("tester",)):
    """What none of these actors may say."""


class Happened(Tracepoint, sender=("tester",)):
    """A number, for observers."""

    number: int


SAYS = frozenset({Note, Question})


class Sink(Actor):
    """Remembers what it receives, and may do something about it."""

    role: ClassVar[str] = "tester"
    says: ClassVar = SAYS

    def __init__(self, engine, name, react=None):
        super().__init__(engine, name)
        self.heard: list[tuple[int, str, int]] = []
        self._react = react

    def receive(self, event):
        at_ns, _, sender, _, message = event
        self.heard.append((at_ns, sender.name, message.number))
        if self._react is not None:
            self._react(self, message)


class Desk(Server):
    """Answers a Question with the number plus one, after as many ns; postpones negative ones for ever."""

    role: ClassVar[str] = "tester"
    says: ClassVar = SAYS

    def handlers(self):
        return {Question: self._answer}

    def _answer(self, message, client, tag):
        if message.number >= 0:
            self.reply(self.engine.now_ns + message.number, client, tag, Note(number=message.number + 1))


class Worker(Client):
    """Runs one coroutine function against its own clock."""

    role: ClassVar[str] = "tester"
    says: ClassVar = SAYS

    def __init__(self, engine, name, body):
        super().__init__(engine, name)
        self.current = Process(7, name)
        self._body = body

    def receive(self, event):
        self.arrived(event[0])
        if self.current.coroutine is None:
            self.current.coroutine = self._body(self)
            event = None
        try:
            self.current.coroutine.send(event)
        except StopIteration:
            self.current.servers = ()
