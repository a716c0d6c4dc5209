"""When what an upgrade kept may go: after a backup that was made since, and read byte by byte."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from core.errors import LabelrigError
from infra.config.settings import Settings
from infra.lifecycle.upgraded import FILE, Upgraded, not_needed, read_upgraded, write_upgraded
from infra.roles.backup.result import encode_run
from infra.stack.site import Site
from tests.fakes import FakeHost

UPGRADED = Upgraded("20261130T120000Z", "15", "before12")
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()


@pytest.fixture
def site() -> Site:
    settings = Settings.model_validate({})
    made = Site(FakeHost(), settings, "/state", "/state", "/state/.env", lambda: settings)
    write_upgraded(made, [UPGRADED])
    return made


def went(site: Site, what: str, began: float) -> None:
    site.host.write(f"/state/backup/good-{what}.json", encode_run(began, began + 60, {"snapshot": "abc"}))


@pytest.mark.parametrize(
    ("backup", "verify", "goes"),
    [
        (None, None, False),
        (3600, None, False),  # not verified
        (-3600, 3600, False),  # a backup of before
        (3600, 1800, False),  # verified, then backed up
        (3600, 3630, False),  # while it was made
        (3600, 7200, True),
    ],
)
def test_kept_until_a_later_backup_was_verified(
    site: Site, backup: float | None, verify: float | None, goes: bool
) -> None:
    for what, after in (("backup", backup), ("verify", verify)):
        if after is not None:
            went(site, what, NOON + after)
    assert not_needed(site) == ([UPGRADED] if goes else [])


def test_none_and_damaged(site: Site) -> None:
    site.host.write(f"/state/{FILE}", b"[{}]")
    with pytest.raises(LabelrigError, match=r"/state/upgraded.json is damaged"):
        read_upgraded(site)
    assert isinstance(site.host, FakeHost)
    del site.host.files[f"/state/{FILE}"]
    assert read_upgraded(site) == []
