"""What there is to run: policies, workloads with their options, machines."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from kactors.fault_policy import FaultPolicy
from kactors.machines import load_machine, machine_names
from kactors.policies import ALIASES, BROKEN, POLICIES
from kactors.report.tables import table
from kactors.report.units import size
from kactors.workloads import WORKLOADS


def catalogue() -> str:
    """Return what `kactors list` prints."""
    parts = [
        ["Policies (--policy):", *_policies(POLICIES), *_aliases()],
        ["Broken policies, each without one protection, to see what it protects from:", *_policies(BROKEN)],
        ["Your own policy: --policy FILE.py:CLASS"],
        ["Options of policies (--set policy.KEY=VALUE) and defaults:", *_policy_options()],
        ["A policy without some of its checks: --policy NAME-without-CHECK+CHECK", *_checks()],
        ["Workloads, with their options (--set KEY=VALUE) and defaults:", *_workloads()],
        ["Machines (--machine NAME, FILE.toml, or generic:N for an x86 server of N CPUs):", *_machines()],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def _policies(policies: Mapping[str, type[FaultPolicy]]) -> list[str]:
    rows = [[name, _first_line(policy.__doc__)] for name, policy in policies.items()]
    return table(("policy", "what it is"), rows, left=2)


def _aliases() -> list[str]:
    return [f"  {alias} is the older name of {name}" for alias, name in ALIASES.items()]


def _checks() -> list[str]:
    rows = [
        [policy.name, check.name, check.step, check.text] for policy in POLICIES.values() for check in policy.checks
    ]
    return table(("policy", "check", "step", "what it asks or does"), rows, left=4)


def _policy_options() -> list[str]:
    lines: list[str] = []
    for name, policy in POLICIES.items():
        if options := _options(policy.options_type):
            lines += [f"  {name}", *options]
    return lines


def _workloads() -> list[str]:
    lines: list[str] = []
    for name, workload in WORKLOADS.items():
        lines.append(f"  {name}: {_first_line(workload.__doc__)}")
        lines += _options(workload.options_type)
    return lines


def _options(model: type[BaseModel] | None) -> list[str]:
    lines: list[str] = []
    for key, field in model.model_fields.items() if model is not None else ():
        default = "required" if field.is_required() else str(field.default).lower()
        meaning = f"  {_first_line(field.description)}" if field.description else ""
        lines.append(f"      {key} = {default:<10}{meaning}".rstrip())
    return lines


def _machines() -> list[str]:
    profiles = [load_machine(name) for name in machine_names()]
    rows = [[machine.name, str(machine.cpus), size(machine.page_size), machine.tlb] for machine in profiles]
    return table(("machine", "CPUs", "page", "TLB shootdown by"), rows)


def _first_line(doc: str | None) -> str:
    return (doc or "").strip().partition("\n")[0]
