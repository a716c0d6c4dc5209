"""Loaded before every other part of the tests."""

from __future__ import annotations

from collections.abc import Iterator

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


@pytest.fixture(autouse=True, scope="session")
def _terminal() -> Iterator[None]:
    """What the terminal is shown does not depend on where the tests run: no CI job, no wish for no colour."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CI", "NO_COLOR"):
            patch.delenv(name, raising=False)
        patch.setenv("TERM", "xterm-256color")
        yield
