"""What of a backup becomes a machine's, and what is refused before anything is done."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.errors import LabelrigError, SettingsError
from infra.lifecycle.label_studio_image import LabelStudioImage
from infra.lifecycle.snapshot import (
    Snapshot,
    different_tables,
    missing_images,
    old_secrets,
    refuse_later_version,
    refuse_other_kind,
    refuse_other_user,
)
from infra.lifecycle.switch import merged_settings
from tests.fakes import FakeHost

SECRETS = (
    "LABEL_STUDIO_SECRET_KEY='key-of-the-backup'\nLABEL_STUDIO_PASSWORD='password-of-it'\n"
    "LABELRIG_POSTGRES_PASSWORD='postgres-of-it'\nLABELRIG_BACKUP_PASSWORD='backup-of-it'\n"
    "LABELRIG_UID='61050'\nLABELRIG_DATA='/NAS/images'\nLABEL_STUDIO_PORT='9000'\n"
)
FOLDERS = [{"name": "demo", "path": "/old/demo"}, {"name": "images", "path": "/NAS/images"}]


def snapshot(**manifest: Any) -> Snapshot:
    database = {
        "kind": "sqlite",
        "tables": {"task": {"rows": 3, "digest": "a"}, "project": {"rows": 1, "digest": "b"}},
    }
    usual = {
        "made_at": "2026-11-30T02:30:00Z",
        "machine": "gpu01",
        "username": "admin@labelrig.local",
        "label_studio_image": "labelrig/label-studio:1.23.2-abc",
        "database": database,
        "migrations": ["tasks.0001_initial"],
        "media": {"files": 2, "bytes": 10},
    }
    small = {
        "secrets.env": SECRETS,
        "stack/folders.json": json.dumps(FOLDERS),
        "images/images.list": "5 1.0 a.png\x007 1.0 deep/b c.png\x009 1.0 c.png\x00",
    }
    return Snapshot("abc12345", {**usual, **manifest}, small)


def test_sentence_counts_what_people_made() -> None:
    assert snapshot().sentence() == (
        "backup abc12345 of 2026-11-30 02:30:00 UTC from gpu01: 1 projects, 3 tasks, 0 annotations, 0 people, "
        "2 uploaded files"
    )


def test_secrets_of_the_data_are_taken_over() -> None:
    """Not the passwords that only the machine uses, where it has them; never its user or port."""
    bare = snapshot().secrets({})
    assert set(bare) == {
        "LABEL_STUDIO_SECRET_KEY",
        "LABEL_STUDIO_PASSWORD",
        "LABELRIG_POSTGRES_PASSWORD",
        "LABELRIG_BACKUP_PASSWORD",
    }
    present = {"LABELRIG_POSTGRES_PASSWORD": "own", "LABELRIG_BACKUP_PASSWORD": "own", "LABEL_STUDIO_PASSWORD": "own"}
    assert snapshot().secrets(present) == {
        "LABEL_STUDIO_SECRET_KEY": "key-of-the-backup",
        "LABEL_STUDIO_PASSWORD": "password-of-it",
    }


def test_old_secrets_are_those_that_were_replaced() -> None:
    """Not what stays the machine's own, is the same, or is not there."""
    present = {"LABELRIG_POSTGRES_PASSWORD": "own", "LABEL_STUDIO_SECRET_KEY": "key-of-the-backup"}
    assert old_secrets(snapshot(), present, "") == []
    (sentence,) = old_secrets(snapshot(), {**present, "LABEL_STUDIO_PASSWORD": "new"}, " --host gpu01")
    assert "UTC become valid again (LABEL_STUDIO_PASSWORD), also for" in sentence
    assert "`./inv secrets.rotate all --host gpu01` afterwards" in sentence
    assert "password-of-it" not in sentence


def test_choices_stand_back_behind_the_machines() -> None:
    lines = merged_settings(snapshot(), {"LABELRIG_DATA": "/other"}, choices=True)
    assert lines["LABELRIG_DATABASE"] == "sqlite"
    assert lines["LABEL_STUDIO_USERNAME"] == "admin@labelrig.local"
    assert {"LABELRIG_DATA", "LABEL_STUDIO_PORT", "LABELRIG_UID"}.isdisjoint(lines)
    assert "LABELRIG_DATABASE" not in merged_settings(snapshot(), {}, choices=False)


def test_demo_folder_is_not_taken_over() -> None:
    """It is drawn where the stack is, below another path."""
    assert [one.path for one in snapshot().folders()] == ["/NAS/images"]


def test_other_database_is_refused() -> None:
    with pytest.raises(
        SettingsError, match=r"is of a sqlite database and the settings say postgres; set `database` of"
    ):
        refuse_other_kind(snapshot(), "postgres", "gpu01", here=False)
    refuse_other_kind(snapshot(), "sqlite", "gpu01", here=False)


def test_other_user_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"is admin@labelrig\.local, and the settings say ana@lab\.example"):
        refuse_other_user(snapshot(), "ana@lab.example", "gpu01")


def test_later_label_studio_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """By migrations that the image does not know; an earlier backup lacks some, and passes."""
    known = frozenset({"tasks.0001_initial", "tasks.0002_more"})
    image = LabelStudioImage("1.23.2", known, known, frozenset())
    monkeypatch.setattr("infra.lifecycle.snapshot.label_studio_of", lambda *_: image)
    refuse_later_version(snapshot(), FakeHost(), "image", 61041)
    later = snapshot(migrations=["tasks.0001_initial", "tasks.0003_later"])
    with pytest.raises(LabelrigError, match=r"does not know 1 of its migrations, tasks\.0003_later among them"):
        refuse_later_version(later, FakeHost(), "image", 61041)


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ({"task": {"rows": 3, "digest": "a"}}, "the table project is missing"),
        (
            {"task": {"rows": 2, "digest": "x"}, "project": {"rows": 1, "digest": "b"}},
            "the table task has 2 rows and 3 in the backup",
        ),
        (
            {"task": {"rows": 3, "digest": "x"}, "project": {"rows": 1, "digest": "b"}},
            "the table task has other values than in the backup",
        ),
        (
            {
                "task": {"rows": 3, "digest": "a"},
                "project": {"rows": 1, "digest": "b"},
                "more": {"rows": 0, "digest": ""},
            },
            "the table more is not in the backup",
        ),
    ],
)
def test_tampered_table_is_found(found: dict[str, object], problem: str) -> None:
    assert different_tables(snapshot().tables, found) == [problem]


def test_equal_tables_differ_in_nothing() -> None:
    assert different_tables(snapshot().tables, dict(snapshot().tables)) == []


def test_missing_images_are_named() -> None:
    host = FakeHost()
    host.script(
        "find", "-H", "/NAS/images", "-type", "f", "-printf", "%s %T@ %P\\0", stdout="5 2.0 a.png\x008 1.0 c.png\x00"
    )
    (sentence,) = missing_images(snapshot(), host)
    assert sentence.startswith(
        "/NAS/images: of 3 files that it had, 1 are not there and 1 have another size (b c.png, c.png, ...)"
    )
