"""The lab's certificate for `tls: files`: read on the host, checked, and handed to the proxy in a volume of its own.

A volume and no rendered file: its key is root's there and no one's of a release, and a rollback must not bring an old
certificate back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import LabelrigError
from core.operation import Change, Operation
from hosts.base import Host
from infra.config.address import site_host
from infra.config.settings import Settings
from infra.roles.docker.compose import Compose

if TYPE_CHECKING:
    from cryptography import x509

PEM_FILE = "/config/tls/site.pem"
# Read from standard input: the key stands in no argument list, and in a file that is private from its first byte.
WRITE = 'umask 077 && mkdir -p "${1%/*}" && cat >"$1.new" && mv -f "$1.new" "$1"'
ONE_SHOT_TIMEOUT = 120.0


class CertificateInPlace(Operation):
    """The proxy has the certificate and the key that the settings name."""

    name = "certificate in place"

    def __init__(self, host: Host, settings: Settings, compose: Compose) -> None:
        self._host = host
        self._settings = settings
        self._compose = compose

    def plan(self) -> Sequence[Change]:
        wanted = read_certificate(self._host, self._settings)
        # Exit code 1: there is no such file yet.
        there = self._in_proxy("sha256sum", PEM_FILE, ok=(0, 1))
        if there.split()[:1] == [hashlib.sha256(wanted).hexdigest()]:
            return []
        return [Change(f"give the proxy the certificate of {site_host(self._settings)}", lambda: self._write(wanted))]

    def _write(self, pem: bytes) -> None:
        self._in_proxy("sh", "-c", WRITE, "sh", PEM_FILE, stdin=pem)
        if self._runs():  # it reads the file when it starts
            self._compose.run("restart", "proxy", timeout=ONE_SHOT_TIMEOUT)

    def _runs(self) -> bool:
        return bool(self._compose.run("ps", "--quiet", "--status", "running", "proxy").stdout.strip())

    def _in_proxy(self, program: str, *argv: str, ok: Sequence[int] = (0,), stdin: bytes | None = None) -> str:
        """Run a command in the proxy, or where it does not run in a container of its own with its volumes."""
        if self._runs():
            command = ("exec", "--no-TTY", "proxy", program, *argv)
        else:
            command = ("run", "--rm", "--no-TTY", "--no-deps", "--entrypoint", program, "proxy", *argv)
        return self._compose.run(*command, ok=ok, stdin=stdin, timeout=ONE_SHOT_TIMEOUT).stdout


def read_certificate(host: Host, settings: Settings) -> bytes:
    """Read the certificates and the key of the settings as one PEM text.

    Raises:
        LabelrigError: they cannot be used; see `certificate_problems`.
    """
    if problems := certificate_problems(host, settings):
        raise LabelrigError("; ".join(problems))
    parts = (_read(host, path) or b"" for path in (settings.tls_certificate, settings.tls_key))
    return b"\n".join(part.strip() for part in parts) + b"\n"


def certificate_problems(host: Host, settings: Settings, now: datetime | None = None) -> list[str]:
    """What is wrong with the files of `tls: files`, each in a sentence; nothing for the other kinds."""
    if settings.tls != "files":
        return []
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    contents = {path: _read(host, path) for path in (settings.tls_certificate, settings.tls_key) if path is not None}
    if missing := [f"{path} is not there, or cannot be read" for path, content in contents.items() if content is None]:
        return missing
    certificate, key = (content or b"" for content in contents.values())
    try:
        chain = x509.load_pem_x509_certificates(certificate)
    except ValueError:
        return [f"{settings.tls_certificate} is no certificate in PEM; it must begin with -----BEGIN CERTIFICATE-----"]
    try:
        private = load_pem_private_key(key, None)
    except TypeError:
        return [f"{settings.tls_key} has a passphrase; write it without one: `openssl pkey -in KEY -out NEW`"]
    except ValueError:
        return [f"{settings.tls_key} is no private key in PEM"]
    if private.public_key() != chain[0].public_key():
        return [
            f"{settings.tls_key} is not the key of {settings.tls_certificate}, whose first certificate must be the "
            "server's own"
        ]
    return _of_leaf(chain[0], site_host(settings), settings.tls_certificate, now or datetime.now(UTC))


def _of_leaf(leaf: x509.Certificate, host: str, path: Path | None, now: datetime) -> list[str]:
    problems = []
    if leaf.not_valid_after_utc <= now:
        problems.append(f"{path} was valid until {leaf.not_valid_after_utc:%Y-%m-%d}; have it renewed")
    names = names_of(leaf)
    if not any(_covers(name, host) for name in names):
        problems.append(f"{path} is for {', '.join(names) or 'no name'}, and `public_url` names {host}")
    return problems


def names_of(certificate: x509.Certificate) -> list[str]:
    """The names and addresses that a certificate is for, as browsers read them: the common name counts for nothing."""
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = [str(one) for one in names.get_values_for_type(x509.IPAddress)]
    return [*names.get_values_for_type(x509.DNSName), *addresses]


def _covers(name: str, host: str) -> bool:
    name, host = name.lower(), host.lower()
    return name == host or (name.startswith("*.") and name[2:] == host.partition(".")[2])


def _read(host: Host, path: Path | None) -> bytes | None:
    return None if path is None else host.read(str(path), as_root=True)
