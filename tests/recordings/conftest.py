"""Recordings of a few lines, written in either layout of `perf script`."""

import pytest

from kactors.recordings import read_recording

MM = "0xffff888100000000"


class Script:
    """Lines of perf script, of a process 10 named "app" unless said otherwise; times in microseconds."""

    def __init__(self, layout, folder):
        self.layout = layout
        self.path = folder / "small.perf.txt"
        self.lines = []

    def event(self, at_us, event, args, *, tid=10, cpu=0, comm="app", pid=10):
        seconds, us = divmod(at_us, 1_000_000)
        if self.layout == "ns":
            header = f"{comm:>16} {pid:>5}/{tid:<5} [{cpu:03}] {seconds:>5}.{us:06}000:"
        else:
            header = f"{comm:>16} {tid:>5} [{cpu:03}] {seconds:>5}.{us:06}:"
        self.lines.append(f"{header} {event:>40}: {args}")
        return self

    def fault(self, at_us, address, *, code=0x6, kernel=False, **who):
        mode = "kernel" if kernel else "user"
        return self.event(
            at_us, f"exceptions:page_fault_{mode}", f"address={address:#x} ip=0x400 error_code={code:#x}", **who
        )

    def enter(self, at_us, call, *, named=None, **who):
        args = ", ".join(f"{name}: {value & 0xFFFFFFFFFFFFFFFF:#010x}" for name, value in (named or {}).items())
        return self.event(at_us, f"syscalls:sys_enter_{call}", args, **who)

    def leave(self, at_us, call, result=0, **who):
        return self.event(
            at_us, f"syscalls:sys_exit_{call}", result if isinstance(result, str) else f"{result:#x}", **who
        )

    def mmap(self, from_us, to_us, result, length, *, addr=0, prot=3, flags=0x22, fd=0xFFFFFFFF, **who):
        named = {"addr": addr, "len": length, "prot": prot, "flags": flags, "fd": fd, "off": 0}
        return self.enter(from_us, "mmap", named=named, **who).leave(to_us, "mmap", result, **who)

    def munmap(self, from_us, to_us, addr, length, **who):
        return self.enter(from_us, "munmap", named={"addr": addr, "len": length}, **who).leave(to_us, "munmap", **who)

    def lock(self, at_us, what, *, write=True, mm=MM, **who):
        success = " success=true" if what == "acquire_returned" else ""
        args = f"mm={mm} memcg_id=1 write={str(write).lower()}{success}"
        return self.event(at_us, f"mmap_lock:mmap_lock_{what}", args, **who)

    def alloc(self, at_us, **who):
        return self.event(
            at_us, "kmem:mm_page_alloc", "page=0x1 pfn=0x1 order=0 migratetype=1 gfp_flags=GFP_KERNEL", **who
        )

    def other(self, at_us, *, tid=99, **who):
        """An event that says only who is on the CPU."""
        who = {"comm": "other", "pid": 99} | who
        return self.event(at_us, "kmem:mm_page_free", "page=0x1 pfn=0x1 order=0", tid=tid, **who)

    def read(self, *, tracing_ns=0, pid=None):
        self.path.write_text("\n".join(self.lines) + "\n")
        return read_recording(self.path, pid=pid, tracing_ns=tracing_ns)

    def steps(self, tid=10, **how):
        """What the thread `tid` did."""
        return next(thread.steps for thread in self.read(**how).threads if thread.tid == tid)


@pytest.fixture(params=["ns", "default"])
def script(request, tmp_path):
    return Script(request.param, tmp_path)


@pytest.fixture
def new_script(tmp_path):
    """Makes one more script in a layout, for tests that need many."""
    return lambda layout: Script(layout, tmp_path)


@pytest.fixture
def ns_script(tmp_path):
    """For what only the layout with pids can tell."""
    return Script("ns", tmp_path)


@pytest.fixture
def default_script(tmp_path):
    """For what only the layout without pids needs."""
    return Script("default", tmp_path)
