"""docs/policy-api.md is what the docstrings say."""

import pytest

from kactors.context import KernelContext
from kactors.fault_context import FaultContext
from kactors.fault_policy import FaultPolicy
from kactors.report.policy_api import COMMAND, PAGE, methods, page
from kactors.vma_context import VmaContext


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), f"run {COMMAND}"


@pytest.mark.parametrize("cls", [FaultPolicy, FaultContext, VmaContext, KernelContext])
def test_every_public_primitive_has_a_docstring(cls):
    assert len(methods(cls)) >= 5
    assert all(method.__doc__ for method in methods(cls).values())


def test_the_primitives_that_a_policy_needs_are_there():
    there = methods(FaultContext) | methods(VmaContext) | methods(KernelContext)
    wanted = "down_read vm_write_begin rcu_read_lock synchronize_rcu srcu_read_lock call_rcu get_vma irqs_off read_pte"
    assert set(f"{wanted} alloc_page send_ipi pte_trylock vma_has_changed".split()) <= set(there)
