"""Where alerts go, as `.env` says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import SettingsError
from infra.config.settings import load_alert_settings, load_settings, secret_names

WEBHOOK, SMTP, TO = "LABELRIG_ALERT_WEBHOOK", "LABELRIG_ALERT_SMTP", "LABELRIG_ALERT_MAIL_TO"


def test_all_of_them_are_read_and_stay_out_of_a_stack(tmp_path: Path) -> None:
    given = {
        WEBHOOK: "https://chat.lab.example/hooks/s3cret",
        SMTP: "smtps://lab%40x:pass@mail.lab.example:465",
        TO: "ana@lab.example, Boss@lab.example",
    }
    found = load_alert_settings(tmp_path / ".env", given)
    assert found.mail_to == ("ana@lab.example", "boss@lab.example")
    assert "s3cret" not in repr(found)
    assert "pass" not in repr(found)
    assert not hasattr(load_settings(tmp_path / ".env", given, {}), "webhook")
    assert {WEBHOOK, SMTP} <= set(secret_names())


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({WEBHOOK: "chat.lab.example/s3cret"}, f"{WEBHOOK}: must be an address such as"),
        ({WEBHOOK: "https://chat.lab.example:port/s3cret"}, f"{WEBHOOK}: must be an address such as"),
        ({SMTP: "http://s3cret", TO: "a@lab.example"}, f"{SMTP}: must be smtp://SERVER"),
        (
            {SMTP: "smtp://s3cret@mail.lab.example", TO: "a@lab.example"},
            f"{SMTP}: must name both a user and a password",
        ),
        ({SMTP: "smtp://mail.lab.example"}, f"{TO}: is missing; e-mails need it beside {SMTP}"),
        ({TO: "a@lab.example"}, f"{SMTP}: is missing; e-mails need it beside {TO}"),
        ({SMTP: "smtp://mail.lab.example", TO: "a@lab.example,s3cret"}, f"{TO}.1: must be an e-mail address"),
    ],
)
def test_what_is_wrong_is_said_without_values(tmp_path: Path, given: dict[str, str], problem: str) -> None:
    with pytest.raises(SettingsError) as error:
        load_alert_settings(tmp_path / ".env", given)
    assert problem in str(error.value)
    assert "s3cret" not in str(error.value)
