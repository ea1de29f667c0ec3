"""herd7's C litmus form, as far as we write it: its grammar, and all sequentially consistent executions.

The grammar is a part of herd7's own (lib/CParser.mly, the macros are those of linux-kernel.def): what is accepted
here is in it. A sequentially consistent execution is one that every memory model allows.
"""

import re
from dataclasses import dataclass

TOKEN = re.compile(r"\s+|//[^\n]*|\(\*.*?\*\)|(?P<word>[A-Za-z_]\w*|\d+|==|/\\|[(){};,=*:])", re.DOTALL)
CALLS = {"WRITE_ONCE": 2, "smp_store_release": 2, "spin_lock": 1, "spin_unlock": 1}
FENCES = {"smp_mb", "smp_wmb", "smp_rmb"}
READS = {"READ_ONCE", "smp_load_acquire", "spin_trylock"}
BY_VALUE = {"READ_ONCE", "WRITE_ONCE"}  # macros that take *x; the others take x


@dataclass
class Litmus:
    name: str
    first: dict
    programs: list
    exists: list


class Parser:
    def __init__(self, text):
        head, self.text = text.split("\n", 1)
        match = re.fullmatch(r"C ([\w+-]+)", head)
        assert match, f"the first line is {head!r}"
        self.name = match[1]
        self.words = []
        place = 0
        while place < len(self.text):
            token = TOKEN.match(self.text, place)
            assert token, f"no token: {self.text[place : place + 20]!r}"
            place = token.end()
            if token["word"]:
                self.words.append(token["word"])
        self.place = 0

    def next(self, wanted=None):
        word = self.words[self.place]
        self.place += 1
        assert wanted is None or re.fullmatch(wanted, word), f"{word!r} where {wanted} belongs"
        return word

    def peek(self):
        return self.words[self.place] if self.place < len(self.words) else ""

    def parse(self):
        first = self.first_values()
        programs = []
        while self.peek() == f"P{len(programs)}":
            programs.append(self.program())
        exists = self.exists()
        assert not self.peek()
        return Litmus(self.name, first, programs, exists)

    def first_values(self):
        values = {}
        self.next("{")
        while self.peek() != "}":
            self.next("int")
            name = self.next(r"[a-z]\w*")
            self.next("=")
            values[name] = int(self.next(r"\d+"))
            self.next(";")
        self.next("}")
        return values

    def program(self):
        self.next(r"P\d+")
        self.next(r"\(")
        self.known = {}
        while True:
            kind = self.next("int|spinlock_t")
            self.next(r"\*")
            self.known[self.next(r"[a-z]\w*")] = kind
            if self.next(r"[,)]") == ")":
                break
        self.registers = set()
        return self.block(declares=True)

    def block(self, *, declares=False):
        self.next("{")
        while declares and self.peek() == "int":
            self.next()
            self.registers.add(self.next(r"r\d+"))
            self.next(";")
        body = []
        while self.peek() != "}":
            body.append(self.instruction())
        self.next("}")
        assert body, "an empty block is none in herd7's grammar"
        return body

    def instruction(self):
        word = self.next(r"[A-Za-z]\w*")
        if word == "if":
            self.next(r"\(")
            register = self.register(self.next())
            self.next("==")
            value = int(self.next(r"\d+"))
            self.next(r"\)")
            return ("if", register, value, self.block())
        if word in FENCES:
            for part in (r"\(", r"\)", ";"):
                self.next(part)
            return ("fence", word)
        if word in CALLS:
            arguments = self.arguments(word)
            assert len(arguments) == CALLS[word]
            self.next(";")
            return (word, *arguments)
        self.next("=")
        call = self.next("|".join(READS))
        (variable,) = self.arguments(call)
        self.next(";")
        return (call, variable, self.register(word))

    def arguments(self, call):
        self.next(r"\(")
        if call in BY_VALUE:
            self.next(r"\*")
        variable = self.next(r"[a-z]\w*")
        assert self.known[variable] == ("spinlock_t" if call.startswith("spin_") else "int")
        arguments = [variable]
        while self.next(r"[,)]") == ",":
            arguments.append(int(self.next(r"\d+")))
        return arguments

    def register(self, word):
        assert word in self.registers, f"{word} is not declared"
        return word

    def exists(self):
        self.next("exists")
        self.next(r"\(")
        clauses = []
        while True:
            word = self.next()
            if word.isdigit():
                self.next(":")
                word = f"{word}:{self.next(r'r[0-9]+')}"
            self.next("=")
            clauses.append((word, int(self.next(r"\d+"))))
            if self.next(r"/\\|\)") == ")":
                return clauses


def flat(body, start=0):
    """Return a program with jumps: (kind, ...), where an `if` names the place behind its block."""
    lines = []
    for instruction in body:
        if instruction[0] == "if":
            _, register, value, block = instruction
            inside = flat(block, start + len(lines) + 1)
            lines.append(("if", register, value, start + len(lines) + 1 + len(inside)))
            lines += inside
        else:
            lines.append(instruction)
    return lines


def can_happen(litmus):
    """Return whether a sequentially consistent execution ends as `exists` says."""
    programs = [flat(program) for program in litmus.programs]
    start = (tuple(0 for _ in programs), frozenset(litmus.first.items()), frozenset())
    pending, seen = [start], {start}
    while pending:
        places, memory, registers = pending.pop()
        if all(place == len(program) for place, program in zip(places, programs, strict=True)):
            values = dict(memory) | dict(registers)
            if all(values.get(name, 0) == value for name, value in litmus.exists):
                return True
        for thread, program in enumerate(programs):
            if places[thread] < len(program):
                after = step(program[places[thread]], thread, places, dict(memory), dict(registers))
                if after is not None and after not in seen:
                    seen.add(after)
                    pending.append(after)
    return False


def step(instruction, thread, places, memory, registers):
    place = places[thread] + 1
    match instruction:
        case ("if", register, value, behind):
            place = place if registers.get(f"{thread}:{register}", 0) == value else behind
        case ("READ_ONCE" | "smp_load_acquire", variable, register):
            registers[f"{thread}:{register}"] = memory.get(variable, 0)
        case ("WRITE_ONCE" | "smp_store_release", variable, value):
            memory[variable] = value
        case ("spin_trylock", lock, register):
            registers[f"{thread}:{register}"] = int(not memory.get(lock, 0))
            memory[lock] = 1
        case ("spin_lock", lock):
            if memory.get(lock, 0):
                return None
            memory[lock] = 1
        case ("spin_unlock", lock):
            memory[lock] = 0
    return (
        (*places[:thread], place, *places[thread + 1 :]),
        frozenset(memory.items()),
        frozenset(registers.items()),
    )
