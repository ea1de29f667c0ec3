"""A policy by name, or from a user's own file: what is accepted, and what is said when it is not."""

import pytest

from kactors import Scenario, run
from kactors.engine.errors import UsageError
from kactors.policies import ALIASES, BROKEN, POLICIES, find_policy, load_policy, policy_file
from kactors.report.exits import exit_codes
from kactors.workloads import Program

OWN = '''
from kactors.fault_policy import FaultPath, FaultPolicy
from kactors.policies.classic import Classic, fault_under_mmap_sem


class Mine(FaultPolicy):
    """The classic path, and it counts its faults."""

    name = "mine"

    def __init__(self):
        self.faults = 0

    async def fault(self, cpu, address, *, write):
        self.faults += 1
        await cpu.down_read()
        vma = await cpu.find_vma(address)
        return await fault_under_mmap_sem(cpu, vma, address, write=write)


class Incomplete(FaultPolicy):
    name = "incomplete"


class NoPolicy:
    pass
'''


@pytest.fixture
def own_file(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", [*POLICIES, *BROKEN])
def test_every_policy_is_known_by_its_own_name(name):
    assert load_policy(name).name == name


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_an_older_name_is_still_one(alias, name):
    assert alias not in POLICIES
    assert find_policy(alias) is POLICIES[name]
    assert find_policy(f"{alias}-without-pte_same").name == f"{name}-without-pte_same"
    assert run(Scenario(machine="small", policy=alias), workload=Program([])).policy == name


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UsageError, match=f"no such policy; there are {', '.join(POLICIES)}, and FILE"):
        load_policy("clasic")


def test_a_users_file_runs_like_a_built_in_policy(own_file):
    async def work(thread):
        start = await thread.mmap(3 * thread.page_size)
        for page in range(3):
            await thread.touch(start + page * thread.page_size)
        thread.record_done()

    scenario = Scenario(machine="small", policy=f"{own_file}:Mine")
    result = run(scenario, workload=Program([work, work]))
    assert (result.policy, result.throughput.records) == ("mine", 2)
    assert result.fault_paths == {"classic": 6}
    classic = run(Scenario(machine="small", policy="classic"), workload=Program([work, work]))
    assert result.fingerprint == classic.fingerprint


def test_a_users_policy_object_can_be_handed_in(own_file):
    policy = load_policy(f"{own_file}:Mine")

    async def work(thread):
        await thread.touch(await thread.mmap(4096))

    run(Scenario(machine="small"), workload=Program([work]), policy=policy)
    assert policy.faults == 1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere.py:Mine", "there is no file nowhere.py"),
        (
            "{file}:Missing",
            "Missing is no complete FaultPolicy in {file}: there is no class Missing; classes there: Mine, ",
        ),
        ("{file}:Incomplete", "Incomplete is no complete FaultPolicy in {file}: it has no fault()"),
        ("{file}:NoPolicy", "NoPolicy is no complete FaultPolicy in {file}: it is not derived from that"),
        ("{file}:OWN", "there is no class OWN"),
        ("{file}", "name a class behind a colon, as in {file}:Mine; classes there: Mine, Incomplete, NoPolicy"),
        ("{file}:", "name a class behind a colon, as in {file}:Mine"),
    ],
)
def test_what_is_wrong_is_named(own_file, spec, message):
    with pytest.raises(UsageError) as caught:
        load_policy(spec.format(file=own_file))
    assert message.format(file=own_file) in str(caught.value)


def test_whatever_is_wrong_is_said_of_the_option(own_file):
    for name in ("clasic", "nowhere.py:Mine", f"{own_file}:Missing"):
        with pytest.raises(UsageError) as caught:
            find_policy(name)
        assert str(caught.value).startswith("--policy ")
        assert name.rpartition(":")[0] in str(caught.value)


@pytest.mark.parametrize(
    ("name", "path"),
    [("a/b.py:Mine", "a/b.py"), ("b.py:Mine:Inner", "b.py"), ("b.py", "b.py"), ("spf-v9", None), ("broken-no-x", None)],
)
def test_a_policys_file_is_what_stands_before_the_first_colon(name, path):
    assert policy_file(name) == path


def test_a_file_that_is_no_python_is_named(tmp_path):
    path = tmp_path / "own.txt"
    path.write_text(OWN, encoding="utf-8")
    with pytest.raises(UsageError, match=r"no Python file; its name must end in \.py"):
        load_policy(f"{path}:Mine")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nimport no_such_module_here", "own.py cannot be loaded: line 2: ModuleNotFoundError: No module named"),
        ("class (", "own.py cannot be loaded: SyntaxError: invalid syntax (own.py, line 1)"),
        ("1 / 0", "line 1: ZeroDivisionError: division by zero"),
        ("def f():\n    raise GeneratorExit('no')\nf()", "line 2: GeneratorExit: no"),
    ],
)
def test_a_file_that_cannot_be_loaded_says_why(tmp_path, text, message):
    path = tmp_path / "own.py"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="cannot be loaded") as caught:
        load_policy(f"{path}:Mine")
    assert message in str(caught.value)


OF_A_POLICY = {
    "name": '    name = "mine"',
    "fault": "    async def fault(self, cpu, address, *, write):\n        {}['key']",
}


def own(tmp_path, **parts):
    """Write a policy some parts of which are others than they should be; return its name."""
    head = "from kactors.fault_policy import FaultPath, FaultPolicy\nclass Mine(FaultPolicy):"
    path = tmp_path / "own.py"
    path.write_text("\n".join([head, *(OF_A_POLICY | parts).values()]), encoding="utf-8")
    return f"{path}:Mine"


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"fault": "    def fault(self, cpu, address, *, write): ..."}, "fault() should be written with async def"),
        (
            {"fault": "    async def fault(self, cpu, address): ..."},
            "fault() should take (self, cpu, address, *, write)",
        ),
        ({"fault": "    async def fault(self, *, write): ..."}, "fault() should take (self, cpu, address, *, write)"),
        ({"more": "    def write_begin(self, context, vma): ..."}, "write_begin() should be written with async def"),
        ({"more": "    def __init__(self, x): ..."}, "its __init__ should take nothing but self"),
        ({"name": ""}, "the class has no name (a string), under which its results are told"),
        ({"name": "    name = 3"}, "the class has no name (a string)"),
    ],
)
def test_a_method_that_could_not_be_called_is_told_before_the_run(tmp_path, parts, message):
    with pytest.raises(UsageError) as caught:
        load_policy(own(tmp_path, **parts))
    assert message in str(caught.value)


def test_a_method_may_take_more_than_it_is_given(tmp_path):
    assert (
        load_policy(own(tmp_path, fault="    async def fault(self, *given, again=False, **named): ...")).name == "mine"
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return None", "mine: fault() returned None: should be one of FaultPath.SPF, FaultPath.VMA_LOCK, "),
        ("return 'spf'", "mine: fault() returned 'spf': should be one of "),
        ("return {}['key']", "own.py:5 in fault: KeyError: 'key'"),
        ("raise GeneratorExit", "own.py:5 in fault: GeneratorExit"),
        ("return await cpu.find_vma('x')", "own.py:5 in fault: ValidationError: FindVma: address = 'x': should be a "),
    ],
)
@pytest.mark.parametrize("runtime", ["inline", "trio"])
def test_what_goes_wrong_inside_is_blamed_on_a_line_of_the_file(tmp_path, capsys, runtime, body, message):
    name = own(tmp_path, fault=f"    async def fault(self, cpu, address, *, write):\n        {body}")
    with pytest.raises(SystemExit) as ended, exit_codes():
        run(Scenario(workload="same-address", machine="small", policy=name), runtime=runtime)
    line = capsys.readouterr().err
    assert (ended.value.code, line.count("\n")) == (2, 1)
    assert message in line


def test_a_file_of_only_imports_has_no_classes(tmp_path):
    path = tmp_path / "own.py"
    path.write_text("from kactors.policies.classic import Classic", encoding="utf-8")
    with pytest.raises(UsageError, match="classes there: none"):
        load_policy(f"{path}:Mine")
