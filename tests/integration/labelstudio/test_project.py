"""The project cases, on a Label Studio that already runs (see conftest.py)."""

from tests.e2e.project_cases import *  # noqa: F403
