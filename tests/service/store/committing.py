"""A process that commits until it is killed: ``python -m tests.service.store.committing FILE SEED``.

Before each commit it prints what the store holds after it, ``try {...}``, and then ``done``: what was acknowledged.
"""

import json
import random
import sys
from pathlib import Path

from kactors.service.store import AppendEntry, Create, Delete, SaveResult, Store, TruncateLog
from protocols.service.sessions import State
from tests.service.store.samples import advance, at, entry, plain


def summary(store):
    """What the store holds: by session, its sequence, its position, its log and its result."""
    return {
        record.session: [
            record.sequence,
            record.position.events,
            [each.at.events for each in record.log],
            store.result(record.session),
        ]
        for record in store.load_all()
    }


def next_group(numbers, sessions):
    """Draw changes of one session that belong together, make them in the summary as well, and return them."""
    name = f"s{numbers.randrange(4)}"
    if name not in sessions:
        sessions[name] = [0, 0, [], None]
        return [Create(plain(name))]
    if numbers.random() < 0.05:
        del sessions[name]
        return [Delete(name)]
    sequence, events, log, _ = sessions[name]
    writes = []
    if log and numbers.random() < 0.2:
        log = log[: numbers.randrange(len(log))]
        writes.append(TruncateLog(name, len(log)))
    for _ in range(numbers.randrange(1, 4)):
        events += 1
        writes.append(AppendEntry(name, len(log), entry(events)))
        log = [*log, events]
    # Some results are of several pages.
    result = {"numbers": [numbers.random() for _ in range(numbers.choice([1, 2000]))]}
    ended = advance(plain(name), sequence=sequence + 1, position=at(events), state=State.ENDED, wall_ns=events)
    sessions[name] = [sequence + 1, events, log, result]
    return [*writes, ended, SaveResult(name, result)]


def say(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(path, seed):
    numbers = random.Random(seed)
    store = Store.open(Path(path))
    sessions = summary(store)
    say("ready")
    while True:
        groups = [next_group(numbers, sessions) for _ in range(numbers.randrange(1, 5))]
        say(f"try {json.dumps(sessions)}")
        assert store.commit(groups) == [None] * len(groups)
        say("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
