"""Of all unit tests. Not in `tests/conftest.py`: the GPU check loads that on a machine that has no Hypothesis."""

from __future__ import annotations

from hypothesis import settings

# No example has a deadline of its own: how fast the machine is, is not what a test asks. Each test has its time-out.
settings.register_profile("unit", deadline=None)
settings.load_profile("unit")
