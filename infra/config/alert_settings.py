"""Whom `./inv doctor --tell` tells, and how. Read on the machine that runs it; no server gets any of it."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, SecretStr

from infra.config.stack_settings import about
from infra.config.value_types import CONTROL, Email

WEBHOOK, SMTP = "LABELRIG_ALERT_WEBHOOK", "LABELRIG_ALERT_SMTP"
MAIL_TO, MAIL_FROM = "LABELRIG_ALERT_MAIL_TO", "LABELRIG_ALERT_MAIL_FROM"


def _split(value: SecretStr) -> SplitResult:
    text = value.get_secret_value()
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError:
        parts = urlsplit("")
    return parts if not CONTROL.search(text) and " " not in text else urlsplit("")


def _web(value: SecretStr | None) -> SecretStr | None:
    if value is not None and (_split(value).scheme not in ("http", "https") or not _split(value).hostname):
        raise ValueError("must be an address such as https://chat.lab.example/hooks/abc")
    return value


def _mail_server(value: SecretStr | None) -> SecretStr | None:
    if value is None:
        return None
    parts = _split(value)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError("must be smtp://SERVER or smtps://SERVER, with USER:PASSWORD@ and :PORT where they are needed")
    if (parts.username is None) != (parts.password is None):
        raise ValueError("must name both a user and a password, or neither")
    return value


def _addresses(value: Any) -> Any:
    return [one.strip() for one in value.split(",") if one.strip()] if isinstance(value, str) else value


class AlertSettings(BaseModel):
    """Where alerts go. The alias is the name in `.env`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    webhook: Annotated[
        SecretStr | None,
        AfterValidator(_web),
        about(
            "web address",
            "Where `./inv doctor --tell` posts JSON when a link breaks and when it holds again; its `text` is what "
            "Slack, Mattermost and Rocket.Chat show. Whoever knows the address can post there, so it is a secret.",
            env=WEBHOOK,
            alias=WEBHOOK,
            repr=False,
        ),
    ] = None
    smtp: Annotated[
        SecretStr | None,
        AfterValidator(_mail_server),
        about(
            "smtp://SERVER or smtps://SERVER",
            "The mail server for the same by e-mail, with USER:PASSWORD@ in front where it asks for a login (percent-"
            "encoded). A password never travels unencrypted: smtp:// with a login needs a server with STARTTLS.",
            env=SMTP,
            alias=SMTP,
            repr=False,
        ),
    ] = None
    mail_to: Annotated[
        tuple[Email, ...] | None,
        BeforeValidator(_addresses),
        about("e-mail addresses with commas", "Who gets these e-mails.", env=MAIL_TO, alias=MAIL_TO),
    ] = None
    mail_from: Annotated[
        Email | None,
        about(
            "e-mail address", "Whom they come from. By default the first who gets them.", env=MAIL_FROM, alias=MAIL_FROM
        ),
    ] = None


def alert_problems(settings: AlertSettings) -> list[str]:
    """What does not go together, a sentence each."""
    if (settings.smtp is None) == (not settings.mail_to):
        return []
    there, missing = (SMTP, MAIL_TO) if settings.smtp is not None else (MAIL_TO, SMTP)
    return [f"{missing}: is missing; e-mails need it beside {there}"]
