"""Broken policies: each says what it goes without, and who catches that or why nobody has to."""

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

from kactors import policies
from kactors.observers.properties import PROPERTIES
from kactors.policies.broken import BROKEN, Broken

BY_NAME = pytest.mark.parametrize("policy", BROKEN.values(), ids=BROKEN)
FOLDER = Path(policies.__file__).parent / "broken"


def test_every_class_of_the_package_is_listed():
    found = set()
    for path in FOLDER.glob("*.py"):
        module = import_module(
            f"kactors.policies.broken.{path.stem}" if path.stem != "__init__" else "kactors.policies.broken"
        )
        own = [
            value for value in vars(module).values() if inspect.isclass(value) and value.__module__ == module.__name__
        ]
        found |= {value for value in own if issubclass(value, Broken)}
    assert found - {Broken} == set(BROKEN.values())
    assert len(BROKEN) >= 15


@BY_NAME
def test_it_names_the_property_that_catches_it_or_why_it_is_harmless(policy):
    if policy.caught_by is None:
        assert policy.harmless_because
        assert "Harmless" in policy.__doc__
        return
    assert not policy.harmless_because
    assert policy.caught_by in {*PROPERTIES, "deadlock"}
    assert re.search(rf"Caught\s+(by|as\s+a)\s+{policy.caught_by}\b", policy.__doc__)


@BY_NAME
def test_what_it_drops_is_dropped(policy):
    for check in policy.named_checks(policy.drops):
        for attribute, replacement in check.dropped.items():
            assert getattr(policy, attribute) is replacement
    if not policy.drops:
        assert policy.softirq, "held up at random, which no check can say"
