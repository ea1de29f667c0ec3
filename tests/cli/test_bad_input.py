"""Every wrong request gets one line that names what is wrong and what would be right, exit code 2, and no file."""

import lzma

import pytest

from tests.cli.conftest import RECORDING

THREADED = ("ebizzy", "collapse", "pft", "multi-fault", "sparse", "same-address", "page_fault1", "brk1")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["run", "ebizy"], ["WORKLOAD ebizy", "did you mean ebizzy?", "collapse"]),
        (["run"], ["name a workload", "ebizzy"]),
        (["run", "recording"], ["kactors replay FILE"]),
        (["run", "ebizzy", "--policy", "spfv9"], ["--policy spfv9", "did you mean spf-v9?", "classic"]),
        (["run", "ebizzy", "--machine", "x86-8"], ["--machine x86-8", "did you mean x86-80?", "small"]),
        (["run", "ebizzy", "--machine", "no.toml"], ["--machine no.toml", "there is no file no.toml"]),
        (["run", "ebizzy", "--set", "thread=1"], ["ebizzy has no option thread", "m, M, T"]),
        (["run", "collapse", "--set", "pmd=1"], ["no option pmd", "did you mean pmds?"]),
        (["run", "ebizzy", "--set", "t=0"], ["t = 0", "should be a whole number from 1 to 65536"]),
        (["run", "ebizzy", "--set", "n=many"], ["n = 'many'", "should be a whole number from 1 to 1,000,000,000"]),
        (["run", "ebizzy", "--set", "foo"], ["--set foo", "key=value"]),
        (["run", "ebizzy", "--set", "=3"], ["--set =3", "key=value"]),
        (["run", "ebizzy", "--set", "bound.x=3"], ["--set bound.x=3", "did you mean bounds?", "khugepaged, machine"]),
        (
            ["run", "ebizzy", "--set", "bounds.spf_inflght_max=1"],
            ["--set bounds.spf_inflght_max=1", "did you mean spf_inflight_max?"],
        ),
        (["run", "ebizzy", "--set", "bounds.spf_inflight_max=0"], ["--set bounds.spf_inflight_max=0", "of 1 or more"]),
        (["run", "ebizzy", "--set", "bounds.spf_inflight_max=true"], ["bounds.spf_inflight_max=true", "whole number"]),
        (["run", "ebizzy", "--set", "bounds.on_limit=go"], ["--set bounds.on_limit=go", "'wait', 'classic' or 'stop'"]),
        (
            ["run", "ebizzy", "--set", "khugepaged.fault_huge=3"],
            ["--set khugepaged.fault_huge=3", "should be true or false"],
        ),
        (["run", "ebizzy", "--set", "machine.clear_pag_ns=3"], ["clear_pag_ns", "did you mean clear_page_ns?"]),
        (
            ["run", "ebizzy", "--set", "policy.pmd_mark=none"],
            ["spf-v9 has no option pmd_mark", "did you mean pmd_marker?"],
        ),
        (["run", "ebizzy", "--set", "policy.pte_lock=no"], ["spf-v9: pte_lock = 'no'", "'trylock' or 'spin'"]),
        (["run", "ebizzy", "--policy", "spf-v9-without-x"], ["spf-v9 has no check x", "pmd_check, trylock"]),
        (
            ["run", "ebizzy", "--set", "machine.tlb=none"],
            ["machine x86-vm-16: machine.tlb = 'none'", "should be 'ipi' or 'tlbie'"],
        ),
        (["run", "ebizzy", "--cpus", "0"], ["--cpus 0", "should be a whole number from 1 to 4096"]),
        (["run", "ebizzy", "--cpus", "5000"], ["--cpus 5000", "should be a whole number from 1 to 4096"]),
        (["run", "ebizzy", "--cpus", "two"], ["--cpus", "'two'", "integer"]),
        (["run", "ebizzy", "--threads", "0"], ["--threads 0", "from 1 to 65536"]),
        (["run", "ebizzy", "--until", "-5ms"], ["--until", "-5ms", "20ms, 1.5s"]),
        (["run", "ebizzy", "--until", "soon"], ["--until", "soon", "20ms, 1.5s"]),
        (["run", "ebizzy", "--until", "0"], ["--until", "'0'", "1 or more"]),
        (["run", "ebizzy", "--seed", "x"], ["--seed", "integer"]),
        (["run", "ebizzy", "--runtime", "asyncio"], ["--runtime", "asyncio", "inline", "trio"]),
        (["run", "ebizzy", "--polcy", "classic"], ["--polcy", "--policy"]),
        (["run", "ebizzy", "collapse"], ["collapse"]),
        (["nosuch"], ["there is no command nosuch; there are ablate, ask"]),
        (["profil"], ["did you mean profile?"]),
        (["replay"], ["FILE"]),
        (["replay", "nosuch.xz"], ["nosuch.xz", "no such file"]),
        (["replay", "."], ["is a directory"]),
        (["compare", "ebizy"], ["ebizy", "no workload and no file", "did you mean ebizzy?"]),
        (["compare", "ebizzy", "--policies", "classic,,spf-v9"], ["--policies classic,,spf-v9", "name 2 is empty"]),
        (["compare", "ebizzy", "--policies", ""], ["--policies", "name 1 is empty"]),
        (["compare", "ebizzy", "--policies", "classic,classic"], ["classic is named twice"]),
        (["compare", "ebizzy", "--policies", "classic,spf"], ["--policies classic,spf", "spf-v9"]),
        (["compare", "ebizzy", "--cpus", "0"], ["--cpus 0"]),
        (["schema", "trace"], ["trace", "result", "scenario"]),
        (["schema"], ["Missing argument 'NAME'. Choose from: estimate, "]),
        (["reproduce"], ["Missing argument 'SERIES'. Choose from: spf-v9"]),
        (["profile"], ["Missing argument 'MACHINE'. `", "profile --help` tells what there is."]),
        (["list", "--x"], ["No such option '--x'. `", "list --help` tells what there is."]),
        (["client"], ["name a method: kactors client sim.list"]),
        (["client", "sim.create", "{" + 100_000 * "["], ["params: no JSON"]),
        (["client", "sim.create", '{"a":' + 100_000 * "["], ["params: the JSON is nested too deeply"]),
        (["client", "sim.create", "scenario=" + 100_000 * "["], ["scenario: should be a map (got "]),
        (["run", "ebizzy", "--set", "machine.name=x"], ["a machine is named after its file"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0] in {"run", "replay", "compare", "schema"} else "",
)
def test_one_line_says_what_is_wrong_and_what_would_be_right(refused, words, parts):
    line = refused(*words)
    for part in parts:
        assert part in line


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('polcy = "classic"', ['polcy = "classic"', "did you mean policy?"]),
        ("[bound]\nx = 1", ["[bound]", "did you mean bounds?"]),
        ("[bounds]\nspf_inflight = 1", ["bounds.spf_inflight = 1", "did you mean spf_inflight_max?"]),
        ('cpus = "4"', ['cpus = "4"', "whole number"]),
        ("cpus = true", ["cpus = true", "whole number"]),
        ("cpus = 0", ["cpus = 0", "from 1 to 4096"]),
        ("seed = 1.5", ["seed = 1.5", "whole number"]),
        ("cpus = 2001-01-01", ["cpus", "date or time"]),
        ("bounds = 3", ["bounds = 3", "should be a table"]),
        ("[options]\nt = [1]", ["options.t = [1]", "true, false, a whole number or text"]),
        ("[policy_options]\nt = [1]", ["policy_options.t = [1]", "a policy's option should be true, false"]),
        ("[options.t]\nx = 1", ["options.t", "true, false, a whole number or text"]),
        ("[costs]\nclear_page_ns = 1.5", ["costs.clear_page_ns = 1.5", "whole number"]),
        ('machine = "x86-8"', ['machine = "x86-8"', "did you mean x86-80?"]),
        ('policy = "spfv9"', ['policy = "spfv9"', "did you mean spf-v9?"]),
        ('workload = "ebizy"', ['workload = "ebizy"', "did you mean ebizzy?"]),
        ('\nworkload = "ebizzy\n', ["not TOML", "line 2"]),
    ],
)
def test_a_scenario_file_is_named_with_its_key_or_line(refused, tmp_path, text, parts):
    path = tmp_path / "scenario.toml"
    path.write_text(text)
    line = refused("run", "--scenario", path)
    assert str(path) in line
    for part in parts:
        assert part in line


def test_a_scenario_file_that_is_none(refused, tmp_path):
    assert "No such file" in refused("run", "--scenario", tmp_path / "no.toml")
    assert "Is a directory" in refused("run", "--scenario", tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'workload = "\xe9"')
    assert "latin.toml: not TOML" in refused("run", "--scenario", tmp_path / "latin.toml")


def test_a_setting_inside_what_the_file_says_is_a_number(refused, tmp_path):
    path = tmp_path / "a.toml"
    path.write_text("bounds = 3")
    assert "bounds = 3: bounds should be a table" in refused("run", "--scenario", path, "--set", "bounds.on_limit=stop")


def test_a_recording_cut_short(refused, tmp_path):
    path = tmp_path / "cut.xz"
    path.write_bytes(RECORDING.read_bytes()[:100_000])
    line = refused("replay", path)
    assert str(path) in line
    assert "end too early" in line


def test_a_recording_with_too_many_broken_lines(refused, short_recording):
    path = short_recording(nonsense=21)
    line = refused("replay", path)
    assert f"{path}, line 2001" in line
    assert "21 of 2021 lines are unreadable" in line


def test_a_damaged_recording_is_refused_by_compare_too(refused, tmp_path):
    path = tmp_path / "empty.xz"
    path.write_bytes(lzma.compress(b""))
    assert f"{path}: is empty" in refused("compare", path)


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("raise ValueError('no\\nway')", "ValueError: no way"),
        ("x = (", "SyntaxError"),
        ("class Mine: pass", "Mine is no complete FaultPolicy"),
        ("import sys; sys.exit(5)", "sys.exit(5)"),
    ],
)
@pytest.mark.parametrize("command", [("run", "ebizzy", "--policy"), ("compare", "ebizzy", "--policies")])
def test_a_policy_file_that_is_none(refused, tmp_path, command, source, part):
    path = tmp_path / "mine.py"
    path.write_text(source)
    assert part in refused(*command, f"{path}:Mine")


def test_without_a_command_there_is_help(kactors):
    done = kactors()
    assert done.exit_code == 2
    assert "Usage:" in done.stderr
    assert "compare" in done.stderr


def test_a_scenario_file_nested_too_deeply(refused, tmp_path):
    path = tmp_path / "deep.toml"
    path.write_text(f"x = {100_000 * '['}")
    assert refused("run", "--scenario", path) == f"{path}: not TOML: it is nested too deeply"


@pytest.mark.parametrize(
    ("workload", "setting", "right"),
    [
        *(
            (workload, "t=1000000000", "t = 1000000000: should be a whole number from 1 to 65536")
            for workload in THREADED
        ),
        ("spf-test", "thread_cnt=65537", "from 1 to 65536"),
        ("ebizzy", "s=99999999999999999999", "from 1 to 2^46"),
        ("ebizzy", "n=0", "from 1 to 1,000,000,000"),
        ("page_fault1", "memsize=0", "from 1 to 2^46"),
        ("pft", "m=-1", "from 1 to 2^46"),
        ("collapse", "compute_ns=-1", "from 0 to 1,000,000,000,000"),
        ("page_fault3", "fs=ext5", "should be 'tmpfs' or 'ext4'"),
        ("ebizzy", "khugepaged.scan_sleep_millisecs=99999999999", "from 0 to 2^32 - 1"),
        ("ebizzy", "khugepaged.pages_to_scan=0", "from 1 to 2^32 - 1"),
        ("ebizzy", "khugepaged.max_ptes_none=512", "from 0 to 511"),
        ("ebizzy", "khugepaged.takes_cpu=2", "should be true or false"),
        ("ebizzy", "bounds.transient_pages_max=-1", "of 0 or more"),
    ],
)
def test_a_number_that_cannot_be_is_told_with_its_bounds(refused, workload, setting, right):
    assert right in refused("run", workload, "--set", setting)


@pytest.mark.parametrize(
    ("workload", "setting"),
    [("ebizzy", "s=60000000000000"), ("spf-test", "page_cnt=1000000000"), ("sparse", "pmds=999999999")],
)
def test_a_program_without_room_gives_up(refused, workload, setting):
    line = refused("run", workload, "--machine", "small", "--set", setting)
    assert line.startswith("mmap finds no room for ")
    assert line.endswith("bytes more in the process: ask for less of the workload")
