"""A file holds what differs from what it inherits; whatever is wrong with it is one clear line."""

import os

import pytest
from hypothesis import given, settings, strategies as st

from kactors.engine.errors import UsageError
from kactors.machines import load_machine, machine_names, profile, sources
from kactors.machines.profile_file import BASES, file_names
from kactors.report.profile_sheet import sheet


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write files of a user's own, from name=text, into the current folder."""
    monkeypatch.chdir(tmp_path)

    def written(**texts):
        for name, text in texts.items():
            (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
        return "mine.toml"

    return written


def test_a_users_file_holds_only_what_differs(write):
    name = write(mine='inherits = "x86-80"\ncpus = { value = 120, source = "own" }')
    machine = load_machine(name)
    assert (machine.name, machine.cpus) == ("mine", 120)
    assert machine.model_dump(exclude={"name", "cpus"}) == load_machine("x86-80").model_dump(exclude={"name", "cpus"})
    assert sources(name)["cpus"] == (120, "own")
    assert (profile(name)["cpus"].file, profile(name)["wake_ns"].file) == ("mine.toml", "bare-metal")


def test_of_several_the_later_one_wins_and_the_file_itself_wins_over_all(write):
    name = write(
        slow='wake_ns = { value = 9, assumed = "slow" }\nmap_ns = { value = 8, assumed = "slow" }',
        mine='inherits = ["small", "./slow.toml"]\nmap_ns = { value = 7, assumed = "own" }',
    )
    machine = load_machine(name)
    assert (machine.wake_ns, machine.map_ns) == (9, 7)
    assert load_machine(write(mine='inherits = ["./slow.toml", "small"]')).wake_ns == load_machine("small").wake_ns


def test_a_path_to_inherit_is_relative_to_the_file_that_names_it(write, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "one.toml").write_text('inherits = "../two.toml"', encoding="utf-8")
    write(two='inherits = "small"\nwake_ns = { value = 5, assumed = "x" }')
    assert load_machine("deep/one.toml").wake_ns == 5


def test_a_changed_file_is_read_again(write):
    for value in (5, 6):
        name = write(mine=f'inherits = "small"\nwake_ns = {{ value = {value}, assumed = "x" }}')
        assert load_machine(name).wake_ns == value


def test_bases_are_no_machines():
    bases = file_names(BASES)
    assert {"x86", "power8", "kernel-4.16", "kernel-6.18"} <= set(bases)
    assert not set(bases) & set(machine_names())


FITTED = 'value = 5, fitted = "to x"'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('inherits = "nobody"', "machine mine.toml: there is no machine, base or file nobody to inherit"),
        ('inherits = "./no.toml"', "there is no machine, base or file no.toml to inherit"),
        ('inherits = "../here/mine.toml"', "machine mine.toml: what it inherits is a circle: mine.toml -> "),
        ("inherits = 3", "inherits must be a name or a list of names"),
        ("inherits = [3]", "inherits must be a name or a list of names"),
        ('inherits = "small"\nwake = { value = 1, source = "x" }', "there is no parameter wake"),
        ('"wake\\n" = { value = 1, source = "x" }', r"there is no parameter 'wake\n'"),
        ('wake_ns = { value = 1, source = "x", sauce = "y" }', "wake_ns has a field 'sauce', which means nothing"),
        ('wake_ns = { value = 1, source = "x", assumed = "y" }', "wake_ns must be a table with value and source"),
        (
            'wake_ns = { value = 1, source = "x", assumed = "y", fitted = "z" }',
            "just one of source, assumed and fitted",
        ),
        ('inherits = "generic:0"', "mine.toml: inherits generic:0: N in generic:N is a number of CPUs from 1 to 4096"),
        ('name = { value = "x", source = "x" }', "there is no parameter name: a machine is named after its file"),
        ('nonsense = { value = 1, source = "x" }', "no parameter nonsense; kactors profile small shows all that there"),
        ('wake_ns = { value = 1, source = " " }', "wake_ns must say in words what its source is"),
        ("wake_ns = { value = 1, assumed = 1 }", "wake_ns must say in words what its assumed is"),
        ('wake_ns = { value = 1, source = "x", range = [2, 3] }', "wake_ns = 1 lies outside its range, 2 to 3"),
        ('wake_ns = { value = "1", source = "x", range = [1, 3] }', "wake_ns = 1 lies outside its range, 1 to 3"),
        ('wake_ns = { value = 1, source = "x", range = [3, 2] }', "wake_ns has a range that is not [low, high]"),
        ('wake_ns = { value = 1, source = "x", range = 3 }', "wake_ns has a range that is not [low, high]"),
        ('wake_ns = { value = 1, source = "x", range = [0.5, 2] }', "wake_ns has a range that is not [low, high]"),
        ('wake_ns = { value = 1, source = "x", fits = [1, 2] }', "wake_ns has fits and range if it is fitted"),
        (f"wake_ns = {{ {FITTED} }}", "wake_ns has fits and range if it is fitted"),
        (f"wake_ns = {{ {FITTED}, range = [1, 9] }}", "wake_ns has fits and range if it is fitted"),
        (f"wake_ns = {{ {FITTED}, range = [1, 9], fits = [6, 7] }}", "wake_ns = 5 lies outside what fits, 6 to 7"),
        (
            f"wake_ns = {{ {FITTED}, range = [4, 6], fits = [3, 6] }}",
            "wake_ns has fits [3, 6] outside its range, 4 to 6",
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_file_and_key(write, tmp_path, monkeypatch, text, message):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here" / "mine.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"machine mine\.toml: ") as caught:
        load_machine("mine.toml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_files_that_inherit_each_other_are_a_circle(write):
    name = write(mine='inherits = "other.toml"', other='inherits = "./mine.toml"')
    with pytest.raises(UsageError, match=r"a circle: mine\.toml -> other\.toml -> mine\.toml"):
        load_machine(name)


def test_a_fitted_value_says_to_what_and_what_fits_as_well(write):
    fitted = '{ value = 5, fitted = "to x", fits = [4, 6], range = [1, 9], source = "y" }'
    name = write(mine=f'inherits = "small"\nwake_ns = {fitted}')
    entry = profile(name)["wake_ns"]
    assert (entry.value, entry.origin, entry.span, entry.fits, entry.span_source) == (5, "fitted", (1, 9), (4, 6), "y")
    assert sources(name)["wake_ns"] == (5, "fitted to x; 4 to 6 fits as well")


def test_a_value_outside_what_it_inherits_is_marked_and_not_refused(write):
    name = write(mine='inherits = "x86-80"\nclear_page_ns = { value = 500000, source = "own" }')
    file, (low, high) = profile(name)["clear_page_ns"].outside
    assert file == profile("x86-80")["clear_page_ns"].file
    assert low < high < 500_000
    assert f"own; outside {file}'s range, {low}-{high}" in sheet(name)
    inside = 'inherits = "x86-80"\nclear_page_ns = { value = 200, source = "own" }'
    own_range = 'inherits = "x86-80"\nclear_page_ns = { value = 500000, source = "own", range = [1, 900000] }'
    for text in (inside, own_range):
        assert profile(write(mine=text))["clear_page_ns"].outside is None


def test_a_byte_order_mark_is_no_part_of_a_file(write, tmp_path):
    name = write(mine="")
    (tmp_path / name).write_text('inherits = "small"', encoding="utf-8-sig")
    assert load_machine(name).cpus == 2


def test_a_file_that_cannot_be_read_says_what_it_is(write, tmp_path):
    write(mine=f"x = {100_000 * '['}")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    os.mkfifo(tmp_path / "pipe.toml")
    for name, message in {
        "mine.toml": "machine mine.toml: not TOML: it is nested too deeply",
        "folder.toml": "--machine folder.toml: is a folder; name a TOML file",
        "pipe.toml": "--machine pipe.toml: is no plain file",
        "loop.toml": "--machine loop.toml: there is no file loop.toml",
        "no/mine.toml": "--machine no/mine.toml: there is no folder no",
    }.items():
        with pytest.raises(UsageError) as caught:
            load_machine(name)
        assert str(caught.value) == message


WORDS = st.sampled_from(["value", "range", "fits", "source", "assumed", "fitted", "inherits", "cpus", "wake_ns", "x"])
VALUES = st.sampled_from(["1", "-1", "true", "1.5", '"x"', '""', "[1, 2]", "[2, 1]", "[]", "nan", "1979-05-27", "{}"])
PAIRS = st.builds("{} = {}".format, WORDS, VALUES)
TABLES = st.builds("{} = {{ {} }}".format, WORDS, st.lists(PAIRS, max_size=4, unique=True).map(", ".join))


@settings(max_examples=150)
@given(lines=st.lists(st.one_of(PAIRS, TABLES, st.text(max_size=8)), max_size=4))
def test_whatever_a_file_holds_it_is_a_machine_or_one_line(lines, tmp_path_factory):
    path = tmp_path_factory.mktemp("own", numbered=True) / "mine.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load_machine(str(path))
    assert "mine.toml" in str(caught.value)
    assert "\n" not in str(caught.value)
