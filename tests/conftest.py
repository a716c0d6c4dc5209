"""Loaded before every other part of the tests."""

from __future__ import annotations

import pytest

# Helpers with assertions, imported by conftest files: their failures shall show values too.
pytest.register_assert_rewrite("tests.e2e.clicks", "tests.e2e.project_cases")

# Seconds, also for the first test that waits for images, containers, or a bare host's first deploy.
LONG_TIMEOUT = 900


@pytest.hookimpl(trylast=True)  # when the other conftest files have marked theirs
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        long = any(item.get_closest_marker(name) for name in ("docker", "e2e", "slow"))
        if long and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LONG_TIMEOUT))
