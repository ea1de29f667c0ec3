"""Many runs at once: in parallel processes, with results in the order of the scenarios."""

from kactors.sweep.pool import do_all, run_all, worker_processes
from kactors.sweep.progress import RunsBar

__all__ = ["RunsBar", "do_all", "run_all", "worker_processes"]
