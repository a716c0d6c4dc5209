"""The ways to tell people: a webhook, an e-mail, a program of the lab."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from urllib.parse import unquote, urlsplit

from core.errors import LabelrigError
from core.report import Report
from core.text import inline
from hosts.base import Host
from infra.alerts.changes import Message
from infra.config.alert_settings import MAIL_TO, SMTP, WEBHOOK, AlertSettings
from infra.releases.hooks import HookName, HookValues, run_hook

HOOK: HookName = "on-alert"
SEND_TIMEOUT = 20.0
MAIL_PORTS = {"smtp": 25, "smtps": 465}
SUBMISSION = 587  # where a login is usual, RFC 6409


class NotDelivered(LabelrigError):
    """A channel did not take a message. The text names no address: it may hold a secret."""


@dataclass(frozen=True)
class Channel:
    """One way to tell people.

    Attributes:
        name: what the state file calls it.
        tell: tells them, and returns whom it could not, in a sentence; raises NotDelivered where it told no one.
    """

    name: str
    tell: Callable[[Message], str | None]


def channels_of(settings: AlertSettings, hooks: Path, here: Host, report: Report) -> list[Channel]:
    """The ways that are set up.

    Args:
        hooks: the folder that may hold `on-alert`.
        here: this machine, which runs it.
    """
    found: list[Channel] = []
    if settings.webhook is not None:
        address = settings.webhook.get_secret_value()
        found.append(Channel("webhook", lambda message: post(address, message)))
    if settings.smtp is not None:
        server = settings.smtp.get_secret_value()
        found.append(Channel("mail", lambda message: mail(server, as_mail(settings, message))))
    if (hooks / HOOK).is_symlink() or (hooks / HOOK).exists():
        found.append(Channel("hook", lambda message: _call(hooks, message, here, report)))
    return found


def post(address: str, message: Message, timeout: float = SEND_TIMEOUT) -> None:
    """Post a message as JSON; `text` is what chat servers show.

    Raises:
        NotDelivered: no answer, or another one than 2xx.
    """
    import httpx

    body = {"text": message.text, "host": message.host, "state": message.state, "links": [*message.links]}
    try:
        answer = httpx.post(address, json=body, timeout=timeout, follow_redirects=False)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        raise NotDelivered(f"{WEBHOOK}: {type(error).__name__}: no answer") from None
    if not answer.is_success:
        said = inline(answer.text[:200].strip())
        raise NotDelivered(f"{WEBHOOK}: answered {answer.status_code}{f': {said}' if said else ''}")


def mail(address: str, message: EmailMessage, timeout: float = SEND_TIMEOUT) -> str | None:
    """Send an e-mail (RFC 5322, over SMTP).

    Args:
        address: `smtp://` or `smtps://` of the server, with the login where it asks for one.

    Returns:
        For whom the server does not take it, in a sentence, where it took it for others.

    Raises:
        NotDelivered: the server does not take it, or offers no encryption for a password.
    """
    parts = urlsplit(address)
    has_login = parts.username is not None
    port = parts.port or (SUBMISSION if has_login and parts.scheme == "smtp" else MAIL_PORTS[parts.scheme])
    context = ssl.create_default_context()
    try:
        server = (
            smtplib.SMTP_SSL(parts.hostname or "", port, timeout=timeout, context=context)
            if parts.scheme == "smtps"
            else smtplib.SMTP(parts.hostname or "", port, timeout=timeout)
        )
        with server:
            if parts.scheme == "smtp":
                _encrypt(server, context, needed=has_login)
            if has_login:
                server.login(unquote(parts.username or ""), unquote(parts.password or ""))
            refused = server.send_message(message)
    except smtplib.SMTPAuthenticationError as error:
        raise NotDelivered(f"{SMTP}: the login is refused ({error.smtp_code})") from None
    except UnicodeError:  # its text would show a piece of the password
        raise NotDelivered(f"{SMTP}: the login holds a character that SMTP cannot carry; use ASCII") from None
    except (OSError, smtplib.SMTPException) as error:
        raise NotDelivered(f"{SMTP}: {inline(str(error) or type(error).__name__)[:300]}") from None
    return f"{MAIL_TO}: the server does not take mail for {', '.join(sorted(refused))}" if refused else None


def as_mail(settings: AlertSettings, message: Message) -> EmailMessage:
    """The e-mail; its subject is the message's title."""
    made = EmailMessage()
    made["Subject"] = inline(message.title)
    people = settings.mail_to or ()
    made["From"] = settings.mail_from or people[0]
    made["To"] = ", ".join(people)
    made["Date"] = formatdate(localtime=True)
    made["Message-ID"] = make_msgid(domain=str(made["From"]).rpartition("@")[2])
    made["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
    made.set_content("\n".join(message.lines) + "\n")
    return made


def _encrypt(server: smtplib.SMTP, context: ssl.SSLContext, *, needed: bool) -> None:
    server.ehlo()
    if server.has_extn("starttls"):
        server.starttls(context=context)
        server.ehlo()
    elif needed:
        raise smtplib.SMTPException("the server offers no STARTTLS, and a password is not sent without encryption")


def _call(hooks: Path, message: Message, here: Host, report: Report) -> None:
    values = HookValues(message.host, "", "", "doctor", result=message.state, error=message.text)
    if not run_hook(HOOK, hooks, values, here, report):
        raise NotDelivered(f"the hook {hooks / HOOK} failed")
