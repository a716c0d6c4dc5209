"""The mark of a restore: written before the first rename, and nothing starts while it is there."""

from __future__ import annotations

import pytest

from core.errors import LabelrigError
from infra.config.settings import Settings
from infra.roles.stack.secrets import SecretsMade
from infra.stack.kept_secrets import kept_secrets
from infra.stack.restoring import (
    DamagedMark,
    Restoring,
    begun_restore,
    read_restoring,
    refuse_half_restored,
    remove_restoring,
)
from infra.stack.site import Site
from tests.fakes import FakeHost

MARK = Restoring("abc12345", "def67890", "20261130T030000Z")


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


def site(host: FakeHost, **given: object) -> Site:
    settings = Settings.model_validate({"LABELRIG_BACKUP_REPOSITORY": "/NAS/backup", **given})
    return Site(host, settings, "/state", "/state", "/state/.env", lambda: settings)


def test_marked_stack_is_refused(host: FakeHost) -> None:
    refuse_half_restored(site(host))
    host.files["/state/restoring.json"] = MARK.text().encode()
    assert read_restoring(site(host)) == MARK
    with pytest.raises(
        LabelrigError, match=r"the stack is half of two; `./inv restore` finishes it; nothing was started"
    ):
        refuse_half_restored(site(host))


def test_mark_is_taken_away(host: FakeHost) -> None:
    host.script("rm", "-f", "/state/restoring.json")
    remove_restoring(site(host))
    assert host.commands == [("rm", "-f", "/state/restoring.json")]
    assert read_restoring(site(host)) is None


def test_damaged_mark_still_refuses(host: FakeHost) -> None:
    host.files["/state/restoring.json"] = b"{"
    with pytest.raises(DamagedMark, match=r"`./inv restore SNAPSHOT` restores the backup that you name"):
        begun_restore(site(host), "")
    assert begun_restore(site(host), "abc12345") == Restoring("abc12345", "", "")
    with pytest.raises(LabelrigError, match="half of two"):
        refuse_half_restored(site(host))


def test_lost_line_makes_no_other_backup_password(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """With another one the backups that are there could not be read, and none could be added."""
    monkeypatch.setattr("infra.stack.kept_secrets._of_container", lambda _site: {})
    host.files |= {"/state/backup/password": b"the-first-one\n", "/state/.env": b"LABELRIG_PROJECT=lab\n"}
    here = site(host)
    kept = kept_secrets(here)
    assert kept == {"LABELRIG_BACKUP_PASSWORD": "the-first-one"}
    made = SecretsMade(host, "/state/.env", here.settings, kept).values()
    assert made["LABELRIG_BACKUP_PASSWORD"] == "the-first-one"
