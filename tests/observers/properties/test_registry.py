"""All properties by name, and a user's own from his file."""

import copy
from collections import deque
from pathlib import Path

import pytest

from kactors import Machine, Scenario, run
from kactors.engine.errors import UsageError
from kactors.observers.properties import PROPERTIES, all_properties, load_property

OWN = '''
from kactors.observers.properties.base import Property
from protocols.tracepoints import PteSet


class Mine(Property):
    """No entry is ever written."""

    name = "no_entries"

    def tracepoints(self):
        return {PteSet: self._set}

    def _set(self, at_ns, who, written):
        return self.violated(f"{who} writes PTE {written.index}")


class Nameless(Property):
    """Says under no name what it finds."""


class NoProperty:
    pass
'''


@pytest.fixture
def own_file(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN, encoding="utf-8")
    return path


def test_every_run_gets_observers_of_its_own():
    one, other = all_properties(), all_properties()
    assert [prop.name for prop in one] == list(PROPERTIES)
    assert not set(map(id, one)) & set(map(id, other))


@pytest.mark.parametrize("name", PROPERTIES)
def test_each_says_what_it_asserts_and_which_step_protects_it(name):
    found = load_property(name)
    assert found.name == name
    assert any(f"{letter}{digit}" in found.__doc__ for letter in "ACDEFGH" for digit in range(1, 10)), found.__doc__


def test_the_model_page_tells_each():
    page = (Path(__file__).parents[3] / "MODEL.md").read_text(encoding="utf-8")
    assert [name for name in PROPERTIES if f"| `{name}` |" not in page] == []


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UsageError, match=r"store_lots: no such property; there are lock_exclusion, store_lost"):
        load_property("store_lots")


def test_a_users_own_property_stops_a_run(own_file):
    own = load_property(f"{own_file}:Mine")
    stop = run(Scenario(workload="same-address", machine="small"), observers=(own,)).stop
    assert (stop.kind, stop.property) == ("violation", "no_entries")
    assert "writes PTE" in stop.text


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere.py:Mine", "--property nowhere.py:Mine: there is no file nowhere.py"),
        (
            "{file}:NoProperty",
            "is no complete Property in {file}: it is not derived from that; classes there: Mine, Nameless, NoProperty",
        ),
        ("{file}", "name a class behind a colon, as in {file}:Mine; classes there: Mine, Nameless, NoProperty"),
        ("{file}:Nameless", "the class has no name"),
    ],
)
def test_what_is_wrong_is_named(own_file, spec, message):
    with pytest.raises(UsageError) as caught:
        load_property(spec.format(file=own_file))
    assert message.format(file=own_file) in str(caught.value)


def plain(value):
    """Whether a value is data that can be copied and hashed: no closure, no actor, no message."""
    if isinstance(value, dict):
        return all(plain(part) for pair in value.items() for part in pair)
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return all(plain(part) for part in value)
    return value is None or type(value) in (int, str, bool)


def test_what_they_remember_is_plain_data_without_time():
    scenario = Scenario(workload="collapse-vs-fault", machine="small", khugepaged={"scan_sleep_millisecs": 1})
    watching = all_properties()
    Machine(scenario, observers=watching, properties=False).run()
    for prop in watching:
        assert plain(vars(prop)), vars(prop)
        assert vars(copy.deepcopy(prop)) == vars(prop)
        assert not any("ns" in name.split("_") for name in vars(prop))
