"""Loaded before every other part of the tests."""

from __future__ import annotations

import pytest

# Helpers with assertions, imported by conftest files: their failures shall show values too.
pytest.register_assert_rewrite("tests.e2e.clicks", "tests.e2e.project_cases")
