"""OpenSSH's certificates: keys that an authority has signed, of hosts (`@cert-authority` in known_hosts) and of users.

paramiko takes a host's and then looks at the bare key alone, so who signed it, for which host and until when is looked
at here; signatures are checked by `cryptography`.
"""

from __future__ import annotations

import base64
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko  # type: ignore[import-untyped]
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificate,
    SSHCertificateType,
    SSHCertPublicKeyTypes,
    load_ssh_public_identity,
)

SUFFIX = "-cert-v01@openssh.com"
KEYGEN_TIMEOUT = 10.0
KRL = b"SSHKRL\n\0"  # how a key revocation list begins
END_OF_TIME = 253402300799  # the last second of the year 9999


@dataclass(frozen=True)
class HostCertificate:
    """A certificate that a server presented.

    Attributes:
        authority: the public key that signed it, as it travels in the protocol.
        names: the host names that it is for, patterns among them; none means all.
        problem: why it counts for no host at all; None where it does.
    """

    authority: bytes
    names: tuple[str, ...]
    problem: str | None


def certificate_of(key: Any) -> HostCertificate | None:
    """The certificate with which a server presented its key.

    Args:
        key: paramiko's key of the server.

    Returns:
        None where it presented a bare key.
    """
    public = getattr(key, "public_blob", None)
    if public is None or not public.key_type.endswith(SUFFIX):
        return None
    try:
        read = _read(public)
        authority = _bytes_of(read.signature_key())
    except (ValueError, UnsupportedAlgorithm) as error:
        return HostCertificate(b"", (), f"it cannot be read ({error})")
    names = tuple(name.decode("utf-8", "replace") for name in read.valid_principals)
    return HostCertificate(authority, names, _problem(read, public.key_blob, time.time()))


def in_revoked_file(file: Path, key: Any) -> str | None:
    """Whether a server's key, its certificate or its authority is revoked, as `ssh-keygen` finds it.

    Args:
        file: a list of keys, or a key revocation list.
        key: paramiko's key of the server.

    Returns:
        Why it is not trusted: also where the file cannot be read, as for OpenSSH. None for a key that is not revoked.
    """
    public = getattr(key, "public_blob", None)
    kind, blob = (public.key_type, public.key_blob) if public is not None else (key.get_name(), key.asbytes())
    with tempfile.TemporaryDirectory() as folder:
        shown, made = Path(folder, "presented.pub"), Path(folder, "revoked")
        shown.write_text(f"{kind} {base64.b64encode(blob).decode()}\n")
        try:
            if not file.read_bytes().startswith(KRL):
                _keygen("-k", "-f", str(made), str(file))
                file = made
            _keygen("-Q", "-f", str(file), str(shown))
        except (OSError, subprocess.SubprocessError) as error:
            return _words(error).rpartition(f"{shown} ")[2]
    return None


def _keygen(*arguments: str) -> None:
    command = ("ssh-keygen", "-q", *arguments)
    subprocess.run(command, capture_output=True, text=True, timeout=KEYGEN_TIMEOUT, check=True)


def _words(error: OSError | subprocess.SubprocessError) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        said = f"{error.stdout}{error.stderr}".strip().splitlines()
        return said[-1].strip() if said else f"ssh-keygen ended with exit code {error.returncode}"
    return str(error)


def certified_key(public: Any) -> bytes:
    """The public key that a certificate is about, as it travels in the protocol.

    Args:
        public: paramiko's `PublicBlob`.

    Raises:
        ValueError: it is no certificate, or of a kind that is not known.
    """
    try:
        return _bytes_of(_read(public).public_key())
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from None


def _read(public: Any) -> SSHCertificate:
    read = load_ssh_public_identity(f"{public.key_type} {base64.b64encode(public.key_blob).decode()}".encode())
    if not isinstance(read, SSHCertificate):
        raise ValueError("it is a bare key")
    return read


def _bytes_of(key: SSHCertPublicKeyTypes) -> bytes:
    return base64.b64decode(key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1])


def _problem(certificate: SSHCertificate, blob: bytes, now: float) -> str | None:
    if certificate.type is not SSHCertificateType.HOST:
        return "it is a user's, not a host's"
    if certificate.critical_options:
        return "it has critical options, of which OpenSSH knows none for hosts"
    if now < certificate.valid_after:
        return f"it is not valid before {_date(certificate.valid_after)}"
    if now >= certificate.valid_before:
        return f"it was valid until {_date(certificate.valid_before)}"
    if _signature_algorithm(blob) == "ssh-rsa":
        return "its authority signed it with SHA-1, which is no longer safe"
    try:
        certificate.verify_cert_signature()
    except InvalidSignature:
        return "its signature is not its authority's"
    return None


def _signature_algorithm(blob: bytes) -> str:
    """The algorithm of the authority's signature, which `cryptography` keeps to itself."""
    fields = paramiko.Message(blob)
    kind = fields.get_text()
    for _ in range(2 if "ed25519" in kind else 3):  # the nonce, and the key's numbers: one, or two
        fields.get_string()
    fields.get_int64(), fields.get_int()  # serial, type
    fields.get_string(), fields.get_string()  # id, principals
    fields.get_int64(), fields.get_int64()  # valid after, before
    for _ in range(4):  # critical options, extensions, reserved, the authority's key
        fields.get_string()
    return str(paramiko.Message(fields.get_string()).get_text())


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(min(seconds, END_OF_TIME)))
