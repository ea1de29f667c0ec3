"""A client that remembers what was acknowledged, and can tell whether a store holds that and nothing else."""

import random
from dataclasses import dataclass, field, replace
from typing import Any

from kactors.live import LiveMachine, Replay
from protocols.scenario import Scenario
from protocols.service.commands import Entry, Position
from protocols.service.errors import ErrorCode, ServiceError

SHORT_NS, LONG_NS = 500_000, 4_000_000
SESSIONS_MAX = 4
CHECKPOINTS_MAX = 8
SLICE_EVENTS = 10_000
INJECTIONS = [
    {"kind": "fault", "cpu": 1, "address": 0x10000, "write": True},
    {"kind": "munmap", "cpu": 0, "address": 0x10000, "length": 4096},
    {"kind": "collapse", "address": 0},
    {"kind": "memory_pressure", "pages": 100, "duration_ns": 100_000},
    {"kind": "starved_cpu", "cpu": 1, "duration_ns": 100_000},
]
REFUSALS = {ErrorCode.WRONG_STATE, ErrorCode.INVALID_PARAMS, ErrorCode.ENDED_BY_FINDING}


@dataclass(frozen=True)
class Known:
    """What was acknowledged of a session; of one that runs, what it was when that began."""

    session: str
    scenario: dict[str, Any]
    state: str
    sequence: int
    position: dict[str, Any]
    log: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = ()
    checkpoints: dict[str, tuple[dict[str, Any], int]] = field(default_factory=dict)
    result: dict[str, Any] | None = None

    @classmethod
    def stored(cls, record, result):
        log = tuple((entry.at.model_dump(), entry.command.model_dump(exclude_unset=True)) for entry in record.log)
        checkpoints = {name: (made.position.model_dump(), made.log_length) for name, made in record.checkpoints.items()}
        scenario = record.scenario.model_dump(mode="json", exclude_unset=True)
        position = record.position.model_dump()
        return cls(record.session, scenario, record.state, record.sequence, position, log, checkpoints, result)

    def at(self, where):
        return replace(self, state=where["state"], sequence=where["sequence"], position=where["position"])

    def back_to(self, position, log, where):
        checkpoints = {name: made for name, made in self.checkpoints.items() if made[1] <= len(log)}
        return replace(self.at(where), position=position, log=log, checkpoints=checkpoints, result=None)

    def until(self, events):
        return tuple(entry for entry in self.log if entry[0]["events"] <= events)


@dataclass(frozen=True)
class Asked:
    """A change that was asked for, and perhaps not acknowledged."""

    method: str
    params: dict[str, Any]

    @property
    def session(self):
        return None if self.method == "sim.create" else self.params["session"]

    def done(self, before, where):
        """What is known of a session after it, where the service says ``where`` of it."""
        params = self.params
        if self.method in ("sim.inject", "sim.set_bound"):
            return replace(before.at(where), log=(*before.log, (where["position"], self.command())))
        if self.method == "sim.restore":
            position, length = before.checkpoints[params["checkpoint"]]
            return before.back_to(position, before.log[:length], where)
        if self.method == "sim.step_back":
            events = before.position["events"] - params["events"]
            return before.back_to(where["position"], before.until(events), where)
        if self.method == "sim.checkpoint":
            made = {params["name"]: (where["position"], len(before.log))}
            return replace(before, checkpoints=before.checkpoints | made)
        return before.at(where)

    def command(self):
        if self.method == "sim.inject":
            return {"command": "inject", "injection": self.params["injection"]}
        return {"command": "set_bound", **self.params["bounds"]}

    def forked(self, parent, child):
        """What is known of a fork, by what was known of its parent."""
        if "checkpoint" in self.params:
            log = parent.log[: parent.checkpoints[self.params["checkpoint"]][1]]
        else:
            log = parent.until(self.params.get("events", child["position"]["events"]))
        if "policy" in self.params:
            log += ((child["position"], {"command": "set_policy", "policy": self.params["policy"]}),)
        return Known(child["session"], parent.scenario, "", 0, {}, log).at(child)


def agrees(stored, known, asked):
    """Whether the store holds what was acknowledged, or, of what was asked and not acknowledged, all."""
    if same(stored, known):
        return True
    if asked is None or asked.session != known.session:
        return False
    where = {"state": stored.state, "sequence": stored.sequence, "position": stored.position}
    if asked.method == "sim.checkpoint":
        made = stored.checkpoints.get(asked.params["name"])
        return made is not None and same(stored, asked.done(known, {"position": made[0]}))
    if stored.sequence != known.sequence + 1:
        return False
    if asked.method in ("sim.inject", "sim.set_bound") and stored.log:
        where["position"] = stored.log[-1][0]
    return same(stored, replace(asked.done(known, where), state=stored.state)) and lands(stored, known, asked)


def lands(stored, known, asked):
    """Whether a session stands where the change that was asked for leads."""
    events, before = stored.position["events"], known.position["events"]
    match asked.method:
        case "sim.step":
            return events == before + asked.params["events"] or stored.state == "ended"
        case "sim.run_until":
            return stored.state == "ended" or "until_ns" in asked.params
        case "sim.restore":
            return stored.position == known.checkpoints[asked.params["checkpoint"]][0]
        case "sim.step_back":
            return events == before - asked.params["events"]
        case "sim.start":
            return stored.state in ("running", "ended")
        case "sim.pause":
            return stored.state in ("paused", "ended")
        case _:  # commands
            return known.state == "running" or events == before


def same(stored, known):
    if (stored.sequence, stored.log, stored.checkpoints) != (known.sequence, known.log, known.checkpoints):
        return False
    if known.state == "running":
        return stored.state in ("running", "ended") and stored.position["events"] >= known.position["events"]
    return (stored.state, stored.position) == (known.state, known.position)


def undisturbed(known):
    """The result of a run of the same scenario with the same commands, in this process and in one go."""
    log = [Entry(at=Position(**at), command=command) for at, command in known.log]
    scenario = Scenario(**known.scenario)
    machine = LiveMachine(scenario)
    if log:
        replay = Replay(scenario, log, log[-1].at)
        while not replay.advance(SLICE_EVENTS):
            pass
        machine = replay.machine
    while machine.stop is None:
        machine.advance(events_max=SLICE_EVENTS)
    return machine.result().to_json()


class Customer:
    """One client; ``asked`` is what it has asked for and has no answer to."""

    def __init__(self, name, seed):
        self.name = name
        self.numbers = random.Random(f"{seed} {name}")
        self.known = {}
        self.gone = set()
        self.asked = None
        self._count = 0

    async def act(self, caller, acknowledged):
        """Ask for one thing after the other, until the service is gone."""
        await caller.ask("hello", client=self.name)
        if self.asked is not None and "key" in self.asked.params:
            await self._ask(caller, acknowledged)  # with the same key: the same session, whether it was made or not
        while True:
            self.asked = self._next()
            await self._ask(caller, acknowledged)

    async def _ask(self, caller, acknowledged):
        asked = self.asked
        try:
            self._acknowledge(asked, await caller.ask(asked.method, **asked.params))
        except ServiceError as error:
            if error.code not in REFUSALS:
                raise
            where = await caller.ask("sim.attach", session=asked.session)
            before = self.known[asked.session]
            assert before.state == "running" or before == before.at(where), "what was refused changed nothing"
            self.known[asked.session] = before.at(where)
        self.asked = None
        acknowledged()

    def _acknowledge(self, asked, answer):
        if asked.method == "sim.create":
            self.known[answer["session"]] = Known(answer["session"], asked.params["scenario"], "", 0, {}).at(answer)
        elif asked.method == "sim.fork":
            self.known[answer["session"]] = asked.forked(self.known[asked.session], answer)
        elif asked.method == "sim.delete":
            del self.known[asked.session]
            self.gone.add(asked.session)
        elif asked.method == "sim.result":
            known = self.known[asked.session]
            assert known.result in (None, answer["result"])
            self.known[asked.session] = replace(known, result=answer["result"])
        else:
            before = self.known[asked.session]
            self.known[asked.session] = asked.done(before, answer)

    # --- what next ---------------------------------------------------------------------------------------------------

    def _next(self):
        numbers = self.numbers
        if not self.known or (len(self.known) < SESSIONS_MAX and numbers.random() < 0.2):
            return self._creation()
        known = numbers.choice(list(self.known.values()))
        method, params = numbers.choice(self._choices(known))
        return Asked(method, {"session": known.session, **params})

    def _creation(self):
        self._count += 1
        scenario = {"workload": "ebizzy", "machine": "small", "cpus": 2, "threads": 2}
        scenario |= {"seed": self.numbers.randrange(1000), "until_ns": self.numbers.choice((SHORT_NS, LONG_NS))}
        return Asked("sim.create", {"scenario": scenario, "key": f"{self.name} {self._count}"})

    def _choices(self, known):
        """What a session in such a state may be asked for, with params."""
        numbers, checkpoints = self.numbers, list(known.checkpoints)
        self._count += 1
        choices = [("sim.inject", {"injection": numbers.choice(INJECTIONS)})]
        choices += [("sim.set_bound", {"bounds": {"spf_inflight_max": numbers.randrange(1, 4)}})]
        if len(checkpoints) < CHECKPOINTS_MAX:
            choices += [("sim.checkpoint", {"name": f"at {self._count}"})]
        if known.state == "running":
            return [*choices, ("sim.pause", {}), ("sim.pause", {})]
        if known.state == "ended":
            choices = [("sim.result", {}), ("sim.delete", {})]
        else:
            choices += [("sim.step", {"events": numbers.randrange(1, 400)})] * 2 + [("sim.start", {})] * 2
            choices += [("sim.run_until", {"until_ns": known.position["now_ns"] + numbers.randrange(400_000)})]
            choices += [("sim.delete", {}), ("sim.run_until", {})]
        if known.position["events"]:
            choices += [("sim.step_back", {"events": numbers.randrange(known.position["events"]) + 1})]
        if checkpoints:
            choices += [("sim.restore", {"checkpoint": numbers.choice(checkpoints)})]
        if len(self.known) < SESSIONS_MAX:
            choices += [("sim.fork", {"key": f"{self.name} {self._count}", **self._past(known)})] * 2
        return choices

    def _past(self, known):
        pasts = [{}, {"policy": "classic"}, {"events": self.numbers.randrange(known.position["events"] + 1)}]
        pasts += [{"checkpoint": name, "policy": "classic"} for name in known.checkpoints]
        return self.numbers.choice(pasts)

    # --- after a crash -----------------------------------------------------------------------------------------------

    def compare(self, stored):
        """See that the store holds what was acknowledged to this client, and take on what it holds beyond that."""
        for name, known in list(self.known.items()):
            if name not in stored:
                assert self.asked == Asked("sim.delete", {"session": name}), f"{name} was acknowledged and is gone"
                del self.known[name]
                self.gone.add(name)
            else:
                assert agrees(stored[name], known, self.asked), f"{self.asked}:\n{stored[name]}\nis not\n{known}"
                assert known.result is None or stored[name].result in (None, known.result)
                self.known[name] = stored[name]
        assert not self.gone & stored.keys(), "what was deleted stays deleted"
