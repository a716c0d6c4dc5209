"""Alerts reach a real web server, a real mail server and a real program."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message as Mail
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword

from core.report import Report
from hosts.local import LocalHost
from infra.alerts.changes import Message, message_of, troubles_now
from infra.alerts.channels import NotDelivered, as_mail, channels_of, mail, post
from infra.config.alert_settings import AlertSettings
from tests.certificates import authority
from tests.machine import free_port

MESSAGE = Message(
    "gpu01",
    "broken",
    "labelrig gpu01: broken: click",
    ("broken: click: no mask — fix: ./inv up", "", "first broken link: click"),
    ({"id": "click", "result": "broken", "seen": "no mask", "fix": "./inv up"},),
)


@contextmanager
def web_server(status: int = 200, body: bytes = b"ok") -> Iterator[tuple[str, list[Any]]]:
    """A server that answers every POST so. Yields an address with a secret, and what was posted."""
    posted: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hooks/s3cret", posted
        finally:
            server.shutdown()


class MailBox:
    """What a mail server took."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []

    async def handle_RCPT(
        self, _server: SMTP, _session: object, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address.startswith("nobody@"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: object, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.mails.append(message_from_bytes(envelope.content))
        return "250 OK"


def _login(_server: SMTP, _session: object, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
    assert isinstance(data, LoginPassword)
    return AuthResult(success=(data.login, data.password) == (b"lab@x", b"p:w"), handled=False)


@contextmanager
def mail_server(**options: Any) -> Iterator[tuple[str, MailBox]]:
    """A mail server; yields `127.0.0.1:PORT` and its mail box."""
    box = MailBox()
    port = free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield f"127.0.0.1:{port}", box
    finally:
        controller.stop()


def settings(server: str, to: str = "ana@lab.example, boss@lab.example", **more: str) -> AlertSettings:
    return AlertSettings.model_validate({"LABELRIG_ALERT_SMTP": server, "LABELRIG_ALERT_MAIL_TO": to, **more})


def test_a_webhook_gets_text_and_links() -> None:
    with web_server() as (address, posted):
        post(address, MESSAGE)
    (body,) = posted
    assert body["text"].splitlines()[:2] == [MESSAGE.title, "broken: click: no mask — fix: ./inv up"]
    assert (body["host"], body["state"], body["links"][0]["id"]) == ("gpu01", "broken", "click")


@pytest.mark.parametrize("status", [302, 404, 500])
def test_what_a_webhook_answers_is_said_and_no_secret(status: int) -> None:
    with web_server(status, b"no\x1b[31m way") as (address, _), pytest.raises(NotDelivered) as error:
        post(address, MESSAGE)
    assert str(error.value) == f"LABELRIG_ALERT_WEBHOOK: answered {status}: no\\u001b[31m way"


def test_a_webhook_that_is_gone_is_said_without_its_address() -> None:
    with web_server() as (address, _):
        pass
    with pytest.raises(NotDelivered) as error:
        post(address, MESSAGE)
    assert str(error.value) == "LABELRIG_ALERT_WEBHOOK: ConnectError: no answer"


def test_a_mail_goes_to_everybody() -> None:
    with mail_server() as (server, box):
        mail(f"smtp://{server}", as_mail(settings(f"smtp://{server}"), MESSAGE))
    (one,) = box.mails
    assert (one["Subject"], one["From"]) == ("labelrig gpu01: broken: click", "ana@lab.example")
    assert one["To"] == "ana@lab.example, boss@lab.example"
    assert one["Auto-Submitted"] == "auto-generated"
    content = one.get_payload(decode=True)
    assert isinstance(content, bytes)
    assert "no mask — fix: ./inv up" in content.decode()


def test_a_person_the_server_does_not_know_is_named() -> None:
    with mail_server() as (server, box):
        chosen = settings(f"smtp://{server}", "ana@lab.example,nobody@lab.example")
        said = mail(f"smtp://{server}", as_mail(chosen, MESSAGE))
    assert said == "LABELRIG_ALERT_MAIL_TO: the server does not take mail for nobody@lab.example"
    assert len(box.mails) == 1


def test_a_mail_refused_for_everyone_is_not_delivered() -> None:
    with mail_server() as (server, box):
        chosen = settings(f"smtp://{server}", "nobody@lab.example,nobody@else.example")
        with pytest.raises(NotDelivered, match=r"nobody@lab\.example.*no such user"):
            mail(f"smtp://{server}", as_mail(chosen, MESSAGE))
    assert box.mails == []


def test_half_a_character_in_a_check_is_mailed() -> None:
    seen = {"id": "click", "result": "broken", "seen": "half \ud83d", "fix": ""}
    found = {"checks": [seen], "verdict": "half \ud83d"}
    now = datetime(2026, 5, 1, tzinfo=UTC)
    message = message_of("gpu01", found, {}, troubles_now([seen], {}, now), now)
    assert message is not None
    with mail_server() as (server, box):
        channels = channels_of(settings(f"smtp://{server}"), Path("/none"), LocalHost(), Report())
        assert [channel.tell(message) for channel in channels] == [None]
    (one,) = box.mails
    content = one.get_payload(decode=True)
    assert isinstance(content, bytes)
    assert b"broken: click: half \\ud83d" in content


def test_a_password_is_never_sent_in_the_clear() -> None:
    with mail_server() as (server, box), pytest.raises(NotDelivered, match="offers no STARTTLS"):
        mail(f"smtp://lab%40x:p%3Aw@{server}", as_mail(settings(f"smtp://{server}"), MESSAGE))
    assert box.mails == []


@pytest.mark.parametrize(
    ("password", "problem"),
    [
        ("p%3Aw", None),
        ("wrong", "the login is refused (535)"),
        ("p%C3%BC", "the login holds a character that SMTP cannot carry; use ASCII"),
    ],
)
def test_a_login_goes_over_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str, problem: str | None
) -> None:
    root = authority()
    for name, content in zip(("root", "certificate", "key"), (root.pem, *root.sign("127.0.0.1")), strict=True):
        (tmp_path / name).write_bytes(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "root"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    options = {"tls_context": context, "authenticator": _login, "auth_required": True, "require_starttls": True}
    with mail_server(**options) as (server, box):
        address = f"smtp://lab%40x:{password}@{server}"
        if problem is None:
            mail(address, as_mail(settings(address), MESSAGE))
        else:
            with pytest.raises(NotDelivered) as error:
                mail(address, as_mail(settings(address), MESSAGE))
            assert str(error.value) == f"LABELRIG_ALERT_SMTP: {problem}"
    assert len(box.mails) == int(problem is None)


def test_a_mail_server_that_is_gone_is_said() -> None:
    with mail_server() as (server, _):
        pass
    with pytest.raises(NotDelivered, match=r"LABELRIG_ALERT_SMTP: .*refused"):
        mail(f"smtp://{server}", as_mail(settings(f"smtp://{server}"), MESSAGE))


def test_a_program_gets_it_in_its_environment(tmp_path: Path) -> None:
    hook = tmp_path / "on-alert"
    hook.write_text(
        f'#!/bin/sh\nprintf "%s|%s|%s" "$LABELRIG_HOST" "$LABELRIG_RESULT" "$LABELRIG_ERROR" >{tmp_path}/out\n'
    )
    hook.chmod(0o755)
    (channel,) = channels_of(AlertSettings(), tmp_path, LocalHost(), Report())
    channel.tell(MESSAGE)
    assert (tmp_path / "out").read_text() == f"gpu01|broken|{MESSAGE.text}"
    hook.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(NotDelivered, match="on-alert failed"):
        channel.tell(MESSAGE)
