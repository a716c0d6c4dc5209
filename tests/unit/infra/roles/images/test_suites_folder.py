"""Where what the Debian suites offer is kept: it goes into the names of images."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra.roles.images.suites import suites_folder
from tests.deploy.command import Lab


@pytest.mark.parametrize("cache", [None, "/var/cache/ana"])
def test_commands_against_lab_hosts_share_it_with_the_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: str | None
) -> None:
    """Else a fix that comes out between two runs makes them want other images than the tests have built."""
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if cache is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", cache)
    environment = Lab(tmp_path, {}).environment()
    assert environment["HOME"] == str(tmp_path)
    assert suites_folder(environment) == suites_folder(os.environ)
