"""page_fault2: a file, mapped privately."""

from __future__ import annotations

from typing import ClassVar

from kactors.workloads.will_it_scale.files import FileFaults


class PageFault2(FileFaults):
    """will-it-scale page_fault2: map a file MAP_PRIVATE, write a byte a page (each is copied), unmap it."""

    name: ClassVar[str] = "page_fault2"
    shared: ClassVar[bool] = False
