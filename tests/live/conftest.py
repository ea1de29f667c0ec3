"""Machines that a test leaves unfinished are closed after it."""

import pytest

from kactors.live import LiveMachine


@pytest.fixture(autouse=True)
def closed(monkeypatch):
    made = []
    init = LiveMachine.__init__

    def remembered(self, *arguments, **options):
        init(self, *arguments, **options)
        made.append(self)

    monkeypatch.setattr(LiveMachine, "__init__", remembered)
    yield
    for machine in made:
        machine.close()
