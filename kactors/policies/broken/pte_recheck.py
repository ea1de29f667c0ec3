"""Policies that map a page without asking whether somebody else has mapped one meanwhile (A10, C13)."""

from __future__ import annotations

from typing import ClassVar

from kactors.policies.broken.base import Broken
from kactors.policies.classic import Classic
from kactors.policies.per_vma_6_15 import PerVma615
from kactors.policies.spf_v9 import SpfV9


class NoPteRecheck(Broken, SpfV9):
    """Speculates, and writes its PTE over whatever stands there (C13): the page that stood there is lost.

    Caught by store_lost.
    """

    name: ClassVar[str] = "broken-no-pte-recheck"
    drops: ClassVar[tuple[str, ...]] = ("pte_same",)
    caught_by: ClassVar[str | None] = "store_lost"


class ClassicNoPteRecheck(Broken, Classic):
    """The classic path without A10: mmap_sem held for reading keeps no other fault out.

    Caught by page_accounting, before anybody has stored to the page that is lost.
    """

    name: ClassVar[str] = "broken-classic-no-pte-recheck"
    drops: ClassVar[tuple[str, ...]] = ("pte_same",)
    caught_by: ClassVar[str | None] = "page_accounting"


class PerVmaNoPteRecheck(Broken, PerVma615):
    """Per-VMA locks without A10: neither does a read-locked VMA. Caught by store_lost."""

    name: ClassVar[str] = "broken-per-vma-no-pte-recheck"
    drops: ClassVar[tuple[str, ...]] = ("pte_same",)
    caught_by: ClassVar[str | None] = "store_lost"
