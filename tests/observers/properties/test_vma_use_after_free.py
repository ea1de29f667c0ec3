"""vma_use_after_free: VMAs that somebody uses without a reference, and what the mm answers him."""

import pytest

from kactors.observers.properties.vma_use_after_free import VmaUseAfterFree
from protocols.tracepoints import VmaTouched
from protocols.vma import (
    AnonVmaPrepare,
    PutVma,
    ReadSequence,
    ReadVma,
    SetVmaFlags,
    VmaEndRead,
    VmaSequence,
    VmWriteBegin,
    VmWriteEnd,
)
from tests.accounting import assert_settled
from tests.actors.scenes import BASE, PAGE, played
from tests.observers.properties.stories import findings, fires, stopped, with_history

NAME = "vma_use_after_free"

FLAGS = {"readable": True, "writable": True, "hugepage": False}
MESSAGES = [
    (PutVma, {}),
    (AnonVmaPrepare, {}),
    (VmWriteBegin, {}),
    (VmWriteEnd, {}),
    (SetVmaFlags, FLAGS),
    (VmaEndRead, {}),
]


async def freed_vma(thread):
    """Look a VMA up without a reference, and unmap it."""
    cpu = thread.cpu
    await cpu.down_read()
    vma = await cpu.find_vma(BASE)
    await cpu.up_read()
    await thread.munmap(BASE, 64 * PAGE)
    return vma


def saying(kind, fields):
    async def work(thread):
        vma = await freed_vma(thread)
        thread.cpu.say(thread.cpu.directory.mm, kind(vma_id=vma.vma_id, **fields), thread.cpu.current.tag)
        await thread.compute(1_000)

    return work


@pytest.mark.parametrize(("kind", "fields"), MESSAGES, ids=lambda value: getattr(value, "__name__", ""))
def test_whoever_names_a_freed_vma_is_told(kind, fields):
    text = fires(NAME, saying(kind, fields), set_up=with_history)
    assert text.startswith(f"cpu0 sent {kind.__name__} for VMA 1 at")
    machine, _ = played(saying(kind, fields), set_up=with_history, properties=False)
    assert_settled(machine)


def test_what_is_asked_of_a_freed_vma_gets_a_harmless_answer():
    answers = []

    async def asks(thread):
        cpu, vma = thread.cpu, await freed_vma(thread)
        answers.append(await cpu.ask(cpu.directory.mm, ReadSequence(vma_id=vma.vma_id)))
        answers.append(await cpu.ask(cpu.directory.mm, ReadVma(vma_id=vma.vma_id)))

    played(asks, set_up=with_history, properties=False)
    sequence, read = answers
    assert sequence == VmaSequence(sequence=0, attached=False)
    assert not read.attached
    assert read.vma.start == read.vma.end
    assert "ReadSequence for VMA 1" in fires(NAME, asks, set_up=with_history)


async def faults(thread):
    for round_ in range(6):
        await thread.touch(BASE + round_ * PAGE)


async def unmaps(thread):
    for _ in range(3):
        await thread.munmap(BASE, 64 * PAGE)
        await thread.mmap(64 * PAGE, address=BASE)


@pytest.mark.parametrize("policy", ["classic", "spf-v9", "per-vma"])
def test_references_and_locks_keep_an_area_alive(policy):
    assert stopped(NAME, faults, unmaps, faults, cpus=3, set_up=with_history, policy=policy).kind == "quiescent"


def test_the_tracepoint_alone_is_the_finding():
    assert findings(VmaUseAfterFree(), VmaTouched(vma_id=4, toucher="cpu1", request="PutVma")) == [NAME]
