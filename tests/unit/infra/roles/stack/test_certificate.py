"""The lab's certificate on its way to the proxy: read, checked, handed over once."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from core.errors import LabelrigError
from core.operation import converge
from core.report import Report
from hosts.base import Result
from infra.config.settings import Settings
from infra.roles.docker.compose import Compose
from infra.roles.stack.certificate import PEM_FILE, CertificateInPlace, certificate_problems
from infra.roles.stack.root_certificate import IN_PROXY, RootCertificateKept
from tests.certificates import authority
from tests.fakes import FakeHost

ROOT = authority()
HOST = "label.lab.example"
SETTINGS = Settings.model_validate(
    {
        "LABELRIG_PUBLIC_URL": f"https://{HOST}",
        "LABELRIG_TLS": "files",
        "LABELRIG_TLS_CERTIFICATE": "/lab/label.crt",
        "LABELRIG_TLS_KEY": "/lab/label.key",
    }
)
GOOD = ROOT.sign(HOST, "other.lab.example")


def machine(certificate: bytes | None, key: bytes | None) -> FakeHost:
    host = FakeHost()
    files = {"/lab/label.crt": certificate, "/lab/label.key": key}
    host.files |= {path: content for path, content in files.items() if content is not None}
    return host


class FakeCompose:
    """The proxy's volume, and whether its container is there. What is not scripted raises."""

    def __init__(self, running: bool) -> None:
        self.running = running
        self.pem: bytes | None = None
        self.calls: list[str] = []

    def run(self, *argv: str, stdin: bytes | None = None, **_: Any) -> Result:
        self.calls.append(argv[0])
        if argv[0] == "ps":
            return Result(argv, 0, "abc\n" if self.running else "", "")
        if argv == ("restart", "proxy"):
            return Result(argv, 0, "", "")
        # A plan must leave nothing behind: where the proxy runs, it is asked itself.
        one_shot = ("run", "--rm", "--no-TTY", "--no-deps", "--entrypoint", *argv[5:6], "proxy")
        begin = ("exec", "--no-TTY", "proxy", argv[3]) if self.running else one_shot
        assert argv[: len(begin)] == begin
        assert not any("PRIVATE KEY" in part for part in argv)
        if "sha256sum" in argv:
            assert argv[len(begin) :] == (PEM_FILE,)
            if self.pem is None:
                return Result(argv, 1, "", "no such file")
            return Result(argv, 0, f"{hashlib.sha256(self.pem).hexdigest()}  {PEM_FILE}\n", "")
        assert "sh" in begin
        self.pem = stdin
        return Result(argv, 0, "", "")


@pytest.mark.parametrize("running", [True, False])
def test_handed_over_once_and_again_when_renewed(running: bool) -> None:
    compose = FakeCompose(running)
    host = machine(*GOOD)
    operation = CertificateInPlace(host, SETTINGS, cast(Compose, compose))
    report = Report(io.StringIO())
    assert converge([operation], report) == 1
    assert compose.pem is not None
    assert compose.pem.count(b"BEGIN CERTIFICATE") == compose.pem.count(b"BEGIN PRIVATE KEY") == 1
    assert ("restart" in compose.calls) is running
    assert converge([operation], report) == 0
    host.files["/lab/label.crt"], host.files["/lab/label.key"] = ROOT.sign(HOST)
    assert converge([operation], report) == 1


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (lambda: (None, GOOD[1]), "/lab/label.crt is not there, or cannot be read"),
        (lambda: (b"hello", GOOD[1]), "/lab/label.crt is no certificate in PEM"),
        (lambda: (GOOD[0], b"hello"), "/lab/label.key is no private key in PEM"),
        (lambda: ROOT.sign(HOST, password=b"word"), "/lab/label.key has a passphrase"),
        (lambda: (GOOD[0], ROOT.sign(HOST)[1]), "/lab/label.key is not the key of /lab/label.crt"),
        (lambda: (ROOT.pem + GOOD[0], GOOD[1]), "whose first certificate must be the server's own"),
        (lambda: ROOT.sign(HOST, days=-1), "was valid until"),
        (
            lambda: ROOT.sign("a.lab.example", "10.0.0.5"),
            f"is for a.lab.example, 10.0.0.5, and `public_url` names {HOST}"[:60],
        ),
        (lambda: ROOT.sign("*.example"), f"is for *.example, and `public_url` names {HOST}"),
    ],
)
def test_what_cannot_be_used_is_said(made: Callable[[], tuple[bytes | None, bytes | None]], problem: str) -> None:
    host = machine(*made())
    (seen,) = certificate_problems(host, SETTINGS)
    assert problem in seen
    with pytest.raises(LabelrigError, match="label"):
        CertificateInPlace(host, SETTINGS, cast(Compose, FakeCompose(True))).plan()


def test_name_of_a_whole_domain_and_an_address_are_good() -> None:
    assert certificate_problems(machine(*ROOT.sign("*.lab.example")), SETTINGS) == []
    by_address = SETTINGS.model_copy(update={"public_url": "https://10.0.0.5"})
    assert certificate_problems(machine(*ROOT.sign("10.0.0.5")), by_address) == []
    assert certificate_problems(FakeHost(), SETTINGS.model_copy(update={"tls": "internal"})) == []


def test_root_of_the_proxy_is_kept_here(tmp_path: Path) -> None:
    path = tmp_path / "roots" / "labelrig.crt"

    def in_proxy(*argv: str, **_: Any) -> Result:
        assert argv == ("cat", IN_PROXY)
        return Result(argv, 0, ROOT.pem.decode(), "")

    operation = RootCertificateKept(in_proxy, path)
    report = Report(io.StringIO())
    assert converge([operation], report) == 1
    assert path.read_bytes() == ROOT.pem
    assert converge([operation], report) == 0
    first, digest, _ = operation.trust_lines()
    assert str(path) in first
    assert len(digest.split()[-1].split(":")) == 32
