"""Browsers on the end-to-end stack. Playwright's loop ends with each module: other tests have loops of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, ViewportSize, sync_playwright

from core.repository import REPOSITORY
from tests.e2e import clicks
from tests.e2e.browser.desk import VIEW, Desk, chromium
from tests.e2e.clicks import Round, Scene
from tests.e2e.conftest import Stack
from tests.e2e.project_cases import Stage
from tests.e2e.workbench import Bench, project

CONFIG = (REPOSITORY / "labeling_configs" / "rgbt-sar" / "v2.xml").read_text("utf-8")
MakeDesk = Callable[..., Desk]
# They make the containers anew with other settings. Last, so that no test needs them as before: each time takes 20 s.
LAST = ("test_stock.py", "test_tls.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests; all others stay where they are."""
    items.sort(key=lambda item: LAST.index(item.path.name) + 1 if item.path.name in LAST else 0)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play, chromium(play) as one:
        yield one


@pytest.fixture(scope="module")
def bench(stage: Stage) -> Iterator[Bench]:
    """A project of the module's own, with the recommended labels."""
    key = stage.ctx.access.api_key
    assert key is not None
    with project(stage.client, key, stage.ctx.backend_url, stage.ctx.backend_login, CONFIG) as one:
        yield one


@pytest.fixture(scope="module")
def scenes(round_: Round) -> list[Scene]:
    return clicks.scenes(round_)


@pytest.fixture(scope="session")
def cookies() -> list[Any]:
    """Those of the first desk that signed in: the form loads two pages more, which takes seconds each time."""
    return []


@pytest.fixture
def make_desk(browser: Browser, stack: Stack, cookies: list[Any]) -> Iterator[MakeDesk]:
    """Signed-in annotators; afterwards none of their pages may have thrown an error."""
    settings, made = stack.settings, list[Desk]()
    assert settings.password is not None
    password = settings.password.get_secret_value()

    with ExitStack() as closing:

        def make(config: str = CONFIG, language: str = "en-US", view: ViewportSize = VIEW) -> Desk:
            one = Desk(browser, settings.url, config, language, cookies, view)
            closing.callback(one.close)
            if not cookies:
                one.sign_in(settings.username, password)
                cookies.extend(one.context.cookies())
            made.append(one)
            return one

        yield make
    assert [failure for one in made for failure in one.failures if not (one.expects and one.expects in failure)] == []


@contextmanager
def without_backend(stack: Stack) -> Iterator[None]:
    """The backend is stopped meanwhile."""
    stack.compose.run("stop", "--timeout", "1", "sam2", timeout=60)
    try:
        yield
    finally:
        stack.compose.run("start", "sam2", timeout=120)
        stack.running.wait_until_healthy()


@pytest.fixture
def desk(make_desk: MakeDesk) -> Desk:
    return make_desk()
