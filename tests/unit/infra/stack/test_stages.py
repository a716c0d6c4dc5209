"""How many stages there are, and who sees a password."""

from __future__ import annotations

import io
import re
from types import ModuleType
from typing import Any, cast

import pytest
from pydantic import SecretStr

from core.report import Report
from hosts.local import LocalHost
from infra.config.settings import Settings
from infra.deploy import deployment
from infra.roles.stack.image_folders import ImageFolder
from infra.stack import up
from infra.stack.site import Site
from infra.stack.stages import Summary


class FakeSmokeTest:
    model_version = "demo@1"

    def sentence(self) -> str:
        return "a click came back as a mask"


@pytest.mark.parametrize("module", [up, deployment])
def test_steps_are_as_many_as_the_stages(module: ModuleType) -> None:
    """A deploy meets "stack" and "project" in two places each, and one of them in a run."""
    with open(str(module.__file__), encoding="utf-8") as file:
        names = re.findall(r'\b(?:report|run)\.stage\("([^"]+)"\)', file.read())
    assert len(set(names)) == module.STAGES


@pytest.mark.parametrize(
    ("first_login", "terminal", "shown"),
    [
        (True, True, "password hunter2hunter2 (kept in /home/me/.env, not shown again)"),
        (True, False, "password in /home/me/.env"),
        (False, True, "password in /home/me/.env"),
    ],
)
def test_the_first_password_is_shown_on_a_terminal_only(first_login: bool, terminal: bool, shown: str) -> None:
    settings = Settings(LABEL_STUDIO_PASSWORD=SecretStr("hunter2hunter2"))  # type: ignore[call-arg]
    site = Site(LocalHost(), settings, "/state", "/state", "/home/me/.env", lambda: settings)
    folder = ImageFolder("demo", "/images")
    one = Summary(site, folder, "demo", cast(Any, FakeSmokeTest()), first_login, "http://127.0.0.1:8080")
    text = one.text(Report(io.StringIO()), show_password=terminal)
    assert f"  login    {settings.username}, {shown}\n" in text
    assert ("hunter2hunter2" in text) is (first_login and terminal)
