"""Loaded before every other part of the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

# Helpers with assertions, imported by conftest files: their failures shall show values too.
pytest.register_assert_rewrite("tests.e2e.clicks", "tests.e2e.project_cases")

# One thread for torch, before it is imported: the workers and lanes fill all cores already, and OpenMP's threads wait
# for each other by turning round (2.4 times the processor's time for the tests of the engine, beside other work).
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Seconds, also for the first test that waits for images and containers.
LONG_TIMEOUT = 900


@pytest.hookimpl(trylast=True)  # when the other conftest files have marked theirs
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        long = any(item.get_closest_marker(name) for name in ("docker", "e2e", "slow"))
        if long and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LONG_TIMEOUT))


# Settings of whoever runs the tests, which are not for the tests, and those which are.
SETTINGS, FOR_TESTS = (
    ("LABELRIG_", "LABEL_STUDIO_", "BACKEND_"),
    ("LABELRIG_TEST_", "LABELRIG_RGBT", "LABELRIG_SCREENSHOTS"),
)


@pytest.fixture(autouse=True, scope="session")
def _callers_environment() -> Iterator[None]:
    """No result depends on where the tests run: no CI job, no wish for no colour, no stack or settings of a person."""
    with pytest.MonkeyPatch.context() as patch:
        theirs = [name for name in os.environ if name.startswith(SETTINGS) and not name.startswith(FOR_TESTS)]
        for name in ("CI", "NO_COLOR", *theirs):
            patch.delenv(name, raising=False)
        patch.setenv("TERM", "xterm-256color")
        yield
