"""Hypothesis profiles, for every test."""

import os

from hypothesis import settings

# No deadline in either: wall-clock time says nothing about a simulation, and a loaded machine would fail it.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")
