"""A scenario as a Promela model: the same actors, channels and observers, for spin to search with its own engine.

Each actor is a process with the table of its steps, as the search has come to know it; a client's states are labels, so
that one which waits for ever is an invalid end state, and a server's is a variable. Channels are those of ``space``:
what a client says to servers is one queue, IPIs and acks overtake it once all before them have left. The observers'
automaton runs inside the steps, and a finding is an assertion. The model is exact: spin stores the states that the
search counts, one for each end at which ``at_rest`` has looked, and its own first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import version

from kactors.checker.automata import Step
from kactors.checker.export.reached import Reached, Taking, reach
from kactors.checker.space import STORES, Channel
from kactors.checker.story import in_words
from kactors.checker.subject import Subject
from protocols.stop import AnyStop, Deadlock, Quiescent, Violation

BYTE_MAX = 255
SHORT_MAX = 32_767

_HEAD = """\
/* {title}
 *
 * kactors {version}, scenario {scenario}
 *
 * spin -a MODEL && cc -O2 -DSAFETY -DNOREDUCE -o pan pan.c && ./pan -m100000
 * spin -t -B MODEL tells the schedule of what it finds.
 *
 * kactors: {states} states, {ends}.
 */
"""

_BEFORE_LAST = """\
/* An interrupt's handler speaks before the instruction that the CPU has not carried out yet. */
inline before_last(queue, item) {
  turns = len(queue) - 1;
  do
  :: turns > 0 -> queue ? turned; queue ! turned; turns--
  :: else -> break
  od;
  queue ! item; queue ? turned; queue ! turned; turned = 0
}
"""


def promela(subject: Subject) -> str:
    """Return the model of a scenario.

    Raises:
        UsageError: the scenario has too many states to be written down.
    """
    return "\n".join(_Model(subject, reach(subject.space)).lines()) + "\n"


class _Model:
    """The model while it is written.

    Attributes:
        takings: of each actor, by its number.
        numbers: of items, those that are taken, from 0.
    """

    def __init__(self, subject: Subject, reached: Reached) -> None:
        self.subject = subject
        self.reached = reached
        self.space = subject.space
        self.automata = self.space.automata
        self.items = self.automata.vocabulary.items
        self.takings: dict[int, list[Taking]] = {}
        self.numbers: dict[int, int] = {}
        for taking in reached.takings:
            self._know(taking[2], taking)
        for taking in reached.handed_on:
            self._know(taking[2], taking)
        self.asks = {self.items[item][0] for _, _, item in reached.interrupted}
        self._heard = self._changes()
        self._nodes: dict[int, int] = {}
        self._count: dict[int, int] = {}

    def _know(self, item: int, taking: Taking) -> None:
        self.numbers.setdefault(item, len(self.numbers))
        self.takings.setdefault(self.items[item][0], []).append(taking)

    def lines(self) -> Iterator[str]:
        """Yield the model's lines."""
        bodies = [line for actor in sorted(self.takings) for line in self._process(actor)]
        yield from self._head()
        yield from self._variables()
        yield from self._inlines()
        yield from bodies
        yield from self._at_rest()
        yield from self._init()

    # --- names -------------------------------------------------------------------------------------------------------

    def name(self, actor: int) -> str:
        """Return an actor's name as an identifier; two page tables of one address differ in their numbers."""
        name = re.sub(r"\W", "_", self.automata.name(actor))
        return f"{name}_{actor}" if name.startswith("ptl") else name

    def channel(self, channel: Channel) -> str:
        """Return a channel's name."""
        sender, receiver = channel
        return f"{self.name(sender)}_{'stores' if receiver == STORES else f'to_{self.name(receiver)}'}"

    def item(self, item: int) -> str:
        """Return an item's name: what is said, and a number that tells it from others of its class."""
        return f"{type(self.items[item][2]).__name__}_{self.numbers[item]}"

    def node(self, node: int) -> int:
        """Return the number of an actor's state among those of that actor."""
        actor = self.automata.nodes[node].actor
        if node not in self._nodes:
            self._nodes[node] = self._count.get(actor, 0)
            self._count[actor] = self._nodes[node] + 1
        return self._nodes[node]

    def label(self, node: int) -> str:
        """Return the label of a client's state; at one that begins with ``end`` a process may stay."""
        return f"{'wait' if self.automata.nodes[node].waits else 'end'}_{self.node(node)}"

    # --- parts -------------------------------------------------------------------------------------------------------

    def _head(self) -> Iterator[str]:
        scenario = self.subject.scenario
        yield _HEAD.format(
            title=f"{scenario.workload} under {self.space.policy.name}",
            version=version("kactors"),
            scenario=scenario.model_dump_json(exclude_defaults=True).replace("*/", "* /"),
            states=self.reached.states,
            ends=", ".join(
                f"{count} end {kind}" for kind, count in sorted(count_ends(self.subject, self.reached).items())
            ),
        )
        for item, number in self.numbers.items():
            receiver, tag, message = self.items[item]
            text = in_words(message).replace("*/", "* /")
            yield f"#define {self.item(item)} {number} /* to {self.automata.name(receiver)}, tag {tag}: {text} */"
        yield ""

    def _variables(self) -> Iterator[str]:
        kind = _type(len(self.numbers))
        for channel, length in sorted(self.reached.lengths.items()):
            spare = max((len(step.items) for step in self._steps_of(channel[0])), default=0)
            room = length + (spare if channel[1] == STORES else 0)
            yield f"chan {self.channel(channel)} = [{room}] of {{ {kind} }};"
        for actor in sorted(self.takings):
            if not self.space.is_client(actor):
                first = self.space.first.nodes[actor] if actor < len(self.space.first.nodes) else None
                start = "" if first is None else f" = {self.node(first)}"
                yield f"{_type(self._count[actor])} n_{self.name(actor)}{start};"
        yield f"{_type(self.space.watch.states)} watched = {self.space.first.watched};"
        waiting = sum(self.automata.nodes[node].waits for node in self.space.first.nodes)
        yield f"byte waiting = {waiting}; /* clients that wait for an answer */"
        yield "bool found; /* nothing follows a finding */"
        for client in sorted(self.asks):
            said = self.space.first.queues.get((client, STORES), ())
            asks = int(bool(said and self.items[said[-1]][2].replies))
            yield f"bool asks_{self.name(client)} = {asks}; /* what it said last waits for an answer */"
        if self.asks:
            yield f"hidden byte turns; hidden {kind} turned;"
        yield ""

    def _inlines(self) -> Iterator[str]:
        if self.asks:
            yield _BEFORE_LAST
        for sender, receiver in sorted(self.reached.lengths):
            if receiver == STORES:
                yield from self._left(sender)
        for telling, changes in sorted(self._heard.items()):
            yield f"inline hear_{telling}() {{"
            yield "  if"
            for before, after, finding in changes:
                yield f"  :: watched == {before} -> {'; '.join([f'watched = {after}', *_fails(finding)])}"
            yield from ("  :: else", "  fi", "}")

    def _changes(self) -> dict[int, list[tuple[int, int, AnyStop | None]]]:
        """Return, for each telling, where it takes the observers, and what they find; without what changes nothing."""
        changes: dict[int, list[tuple[int, int, AnyStop | None]]] = {}
        for (before, telling), (after, finding) in sorted(self.space.watch.heard.items(), key=lambda known: known[0]):
            if after != before or finding is not None:
                changes.setdefault(telling, []).append((before, after, finding))
        return changes

    def _left(self, sender: int) -> Iterator[str]:
        """Let what is said to clients go that all stores before it have left."""
        stores = self.channel((sender, STORES))
        said = {item for step in self._steps_of(sender) for item in self._to_clients(sender, step)}
        yield f"inline left_{self.name(sender)}() {{"
        yield "  do"
        for item in sorted(said):
            name, way = self.item(item), self.channel((sender, self.items[item][0]))
            yield f"  :: {stores} ? [{name}] -> {stores} ? {name}; {way} ! {name}"
        yield from ("  :: else -> break", "  od; skip", "}")

    def _to_clients(self, sender: int, step: Step) -> list[int]:
        """Return what a client says to clients, itself included."""
        if not self.space.is_client(sender):
            return []
        return [item for item in step.items if self.space.is_client(self.items[item][0])]

    def _steps_of(self, actor: int) -> Iterator[Step]:
        for (sender, _), node, item in self.takings.get(actor, ()):
            yield from self.automata.steps(node, sender, item)

    # --- processes ---------------------------------------------------------------------------------------------------

    def _process(self, actor: int) -> Iterator[str]:
        yield from ("", f"proctype {self.name(actor)}() provided (!found) {{")
        yield from self._client(actor) if self.space.is_client(actor) else self._server(actor)
        yield "}"

    def _server(self, actor: int) -> Iterator[str]:
        yield from ("end:", "  do")
        for taking in self.takings[actor]:
            if taking in self.reached.handed_on:
                continue
            for step in self.automata.steps(taking[1], taking[0][0], taking[2]):
                yield f"  :: d_step {{ {self._guard(taking, f'n_{self.name(actor)} == {self.node(taking[1])} && ')};"
                yield f"       {'; '.join(self._effects(taking, step))} }}"
        yield "  od"

    def _client(self, actor: int) -> Iterator[str]:
        by_node: dict[int, list[Taking]] = {self.space.first.nodes[actor]: []}
        for taking in self.takings[actor]:
            by_node.setdefault(taking[1], []).append(taking)
            for step in self.automata.steps(taking[1], taking[0][0], taking[2]):
                by_node.setdefault(step.node, [])
        for node, takings in by_node.items():
            yield f"{self.label(node)}:"
            if not takings:
                yield "  false;"
                continue
            yield "  if"
            for taking in takings:
                for step in self.automata.steps(taking[1], taking[0][0], taking[2]):
                    yield f"  :: d_step {{ {self._guard(taking)};"
                    yield f"       {'; '.join(self._effects(taking, step))} }}; goto {self.label(step.node)}"
            yield "  fi;"

    def _guard(self, taking: Taking, where: str = "") -> str:
        channel, _, item = taking
        return f"{where}{self.channel(channel)} ? [{self.item(item)}]"

    def _effects(self, taking: Taking, step: Step) -> Iterator[str]:
        """Yield the statements of one move."""
        channel, _, item = taking
        receiver, _, message = self.items[item]
        yield f"{self.channel(channel)} ? {self.item(item)}"
        says = f"{self.automata.name(channel[0])} to {self.automata.name(receiver)}: {in_words(message)}"
        yield f'printf("{_quoted(says)}\\n")'
        yield from self._does(taking, step)
        speakers = {channel[0]} if taking in self.reached.let_go else set()
        if self._to_clients(receiver, step):
            speakers.add(receiver)
        yield from (f"left_{self.name(speaker)}()" for speaker in sorted(speakers))
        if channel[1] == STORES and channel[0] in self.asks:
            asks = f"asks_{self.name(channel[0])}"
            yield f"{asks} = {asks} && nempty({self.channel(channel)})"

    def _does(self, taking: Taking, step: Step) -> Iterator[str]:
        """Yield what a step of an actor changes: its state, what it tells, what it says."""
        _, node, item = taking
        actor = self.items[item][0]
        if not self.space.is_client(actor):
            yield f"n_{self.name(actor)} = {self.node(step.node)}"
        yield from (f"n_{self.name(self.automata.nodes[born].actor)} = {self.node(born)}" for born in step.born)
        waited, waits = self.automata.nodes[node].waits, self.automata.nodes[step.node].waits
        if self.space.is_client(actor) and waited != waits:
            yield f"waiting{'++' if waits else '--'}"
        if step.told in self._heard:
            yield f"hear_{step.told}()"
        yield from _fails(step.stop)
        yield from self._says(actor, step.items, interrupts=taking in self.reached.interrupted)

    def _says(self, actor: int, items: tuple[int, ...], *, interrupts: bool) -> Iterator[str]:
        """Yield the sending of what an actor says: a client's stores in one queue, anything else straight away."""
        stores = items if self.space.is_client(actor) else ()
        for item in items:
            receiver = self.items[item][0]
            if item in stores:
                continue
            if self.space.is_client(receiver) or receiver == actor:
                yield f"{self.channel((actor, receiver))} ! {self.item(item)}"
            else:
                yield f"if {' '.join(self._handed_on(actor, item))} fi"
        if not stores:
            return
        queue, asks = self.channel((actor, STORES)), f"asks_{self.name(actor)}"
        appended = [f"{queue} ! {self.item(item)}" for item in stores]
        if actor in self.asks:
            appended.append(f"{asks} = {int(bool(self.items[stores[-1]][2].replies))}")
        if interrupts:
            inserted = "; ".join(f"before_last({queue}, {self.item(item)})" for item in stores)
            yield f"if :: {asks} -> {inserted} :: else -> {'; '.join(appended)} fi"
        else:
            yield from appended

    def _handed_on(self, sender: int, item: int) -> Iterator[str]:
        """Yield what a server does, in each of its states, with what another server says in the same move."""
        receiver = self.items[item][0]
        for taking in self.reached.handed_on:
            if taking[0] == (sender, receiver) and taking[2] == item:
                for step in self.automata.steps(taking[1], sender, item):
                    changes = "; ".join(self._does(taking, step))
                    yield f":: n_{self.name(receiver)} == {self.node(taking[1])} -> {changes}"

    # --- the beginning and the end -----------------------------------------------------------------------------------

    def _at_rest(self) -> Iterator[str]:
        """Look at every end where nobody waits: tell the outcome, and what the observers find only then."""
        yield from (
            "",
            "proctype at_rest() provided (!found) {",
            "end:",
            "  atomic { (timeout && waiting == 0);",
            "    if",
        )
        watched = {}
        for state in self.reached.ends:
            if state.stop is None and not isinstance(stop := self.space.verdict(state), Deadlock):
                watched[state.watched] = stop
        for number, stop in sorted(watched.items(), key=lambda known: known[0]):
            registers = " ".join(f"{register}={value}" for register, value in self.subject.outcome(number))
            told = [f'printf("outcome: {_quoted(registers) or "nothing was read"}\\n")', *_fails(stop)]
            yield f"    :: watched == {number} -> {'; '.join(told)}"
        yield from ("    :: else -> assert(false)", "    fi };", "end_rested:", "  false", "}")

    def _init(self) -> Iterator[str]:
        yield from ("", "init { atomic {")
        for channel, queue in sorted(self.space.first.queues.items()):
            yield from (f"  {self.channel(channel)} ! {self.item(item)};" for item in queue)
        for actor in sorted(self.takings):
            # What is only ever handed on to an actor is carried out by who hands it on.
            if any(taking in self.reached.takings for taking in self.takings[actor]):
                yield f"  run {self.name(actor)}();"
        yield from ("  run at_rest()", "} }")


def _type(count: int) -> str:
    return "byte" if count <= BYTE_MAX else "short" if count <= SHORT_MAX else "int"


def _fails(stop: AnyStop | None) -> list[str]:
    """Return the statements of a finding; none where there is none."""
    if stop is None or isinstance(stop, Quiescent):
        return []
    found = f"{stop.property}: {stop.text}" if isinstance(stop, Violation) else stop.kind
    return [f'printf("found: {_quoted(found)}\\n")', "found = true", "assert(false)"]


def _quoted(text: str) -> str:
    """Return a text that can stand in a Promela string."""
    return text.replace("\\", "/").replace('"', "'").replace("%", "%%").replace("\n", " ")


def count_ends(subject: Subject, reached: Reached) -> dict[str, int]:
    """Return how many states nothing follows, by what they are."""
    counts: dict[str, int] = {}
    for state in reached.ends:
        stop = subject.space.verdict(state)
        if stop is None:
            raise AssertionError("an end with messages under way")
        found = stop.property if isinstance(stop, Violation) else stop.kind
        kind = "clean" if isinstance(stop, Quiescent) else f"in {found}"
        counts[kind] = counts.get(kind, 0) + 1
    return counts
