"""How we log in on an SSH connection: which keys, in which order, and what is said when none is taken.

paramiko has its own order, but it tries each file as three kinds of key and keeps only the last error.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paramiko  # type: ignore[import-untyped]
from cryptography.exceptions import UnsupportedAlgorithm
from pydantic import SecretStr

from core.errors import LoginRefused
from hosts.certificates import certified_key

BESIDE = "-cert.pub"


@dataclass
class Login:
    """One attempt to log in; paramiko calls `authenticate` when the host key was accepted.

    Without `use_agent` the agent is asked for the `public_keys` alone.
    """

    server: str
    where: str
    user: str
    key: Path | None = None
    other_keys: Sequence[Path] = ()
    public_keys: Sequence[Path] = ()
    certificates: Sequence[Path] = ()
    use_agent: bool = True
    passphrase: SecretStr | None = None
    password: SecretStr | None = None
    _tried: list[str] = field(default_factory=list)
    _locked: list[Path] = field(default_factory=list)
    _accepted: frozenset[str] = frozenset()

    def authenticate(self, transport: Any) -> None:
        """Try what we have until the server is content.

        Raises:
            LoginRefused: nothing was taken, or what was named cannot be used.
        """
        with contextlib.closing(paramiko.Agent()) as agent:
            seen: set[bytes] = set()
            for label, key in self._keys(agent):
                if key.asbytes() in seen:
                    continue
                seen.add(key.asbytes())
                # As OpenSSH does: with each certificate of the key, then as it is.
                for certificate, words in (*self._certificates_of(key), (None, "")):
                    key.public_blob = certificate
                    method = functools.partial(transport.auth_publickey, self.user, key)
                    if self._attempt(transport, label + words, method):
                        return
        if self.password is not None:
            secret = self.password.get_secret_value()
            if self._attempt(transport, "a password", lambda: transport.auth_password(self.user, secret)):
                return
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            self._ask_what_is_taken(transport)
        raise LoginRefused(self._refusal())

    def _keys(self, agent: Any) -> Iterator[tuple[str, Any]]:
        if self.key is not None:
            key = self._load(self.key, named=True)
            if key is not None:
                yield f"the key {self.key}", key
                return
        else:
            for path in self.other_keys:
                key = self._load(path, named=False)
                if key is not None:
                    yield f"the key {path}", key
        wanted = None if self.use_agent or self._locked else self._public_blobs()
        for key in agent.get_keys():
            if wanted is None or key.asbytes() in wanted:
                yield f"{key.comment or key.get_name()} of the SSH agent", key

    def _public_blobs(self) -> set[bytes]:
        found: set[bytes] = set()
        for path in self.public_keys:
            with contextlib.suppress(OSError, ValueError):
                found.add(paramiko.pkey.PublicBlob.from_file(str(path)).key_blob)
        return found

    def _certificates_of(self, key: Any) -> list[tuple[Any, str]]:
        beside = [Path(f"{path}{BESIDE}") for path in (self.key, *self.other_keys) if path is not None]
        found = []
        for path in (*self.certificates, *beside):
            with contextlib.suppress(OSError, ValueError):
                blob = paramiko.pkey.PublicBlob.from_file(str(path))
                if certified_key(blob) == key.asbytes():
                    found.append((blob, f" with the certificate {path}"))
        return found

    def _load(self, path: Path, *, named: bool) -> Any | None:
        """Read a private key; None for one that cannot be used and was not named, or that is locked."""
        passphrase = self.passphrase.get_secret_value().encode() if self.passphrase is not None else None
        try:
            try:
                return paramiko.PKey.from_path(path)
            except (TypeError, paramiko.PasswordRequiredException):
                if passphrase is None:
                    self._locked.append(path)  # the agent may hold it, unlocked
                    return None
                return paramiko.PKey.from_path(path, passphrase)
        except OSError as error:
            problem = f"cannot be read: {error.strerror}"
        except (ValueError, TypeError, UnsupportedAlgorithm, paramiko.SSHException, paramiko.UnknownKeyType):
            problem = "is no private key that can be used" + (", or its passphrase is wrong" if passphrase else "")
        if named:
            raise LoginRefused(
                f"{self.server}: the SSH key {path} {problem}; name another one with `ssh_key:` in the inventory, or "
                "correct LABELRIG_SSH_PASSPHRASE in .env"
            )
        return None

    def _attempt(self, transport: Any, label: str, method: Any) -> bool:
        self._tried.append(label)
        try:
            further = method()
        except paramiko.BadAuthenticationType as error:
            self._accepted = frozenset(error.allowed_types)
            return False
        except paramiko.AuthenticationException:
            if not transport.is_active():
                raise LoginRefused(
                    f"{self.server}: {self.where} ended the login of {self.user} after {len(self._tried)} attempt(s) "
                    f"({', '.join(self._tried)}); does it take so many? Name the right key with `ssh_key:` in the "
                    "inventory"
                ) from None
            return False
        except (paramiko.SSHException, EOFError, OSError) as error:
            if transport.is_active():  # a key that the agent does not sign with, or a kind the server does not know
                return False
            raise LoginRefused(
                f"{self.server}: {self.where} closed the connection while {self.user} logged in "
                f"({error or type(error).__name__}); look into its log: journalctl -u ssh"
            ) from None
        if further:
            self._accepted = frozenset(further)
            self._tried[-1] += " (taken, but not enough)"
        return not further

    def _ask_what_is_taken(self, transport: Any) -> None:
        try:
            transport.auth_none(self.user)
        except paramiko.BadAuthenticationType as error:
            self._accepted = frozenset(error.allowed_types)

    def _refusal(self) -> str:
        tried = ", ".join(self._tried) or "nothing, as there is no key here and no password"
        takes = f"; the server takes: {', '.join(sorted(self._accepted))}" if self._accepted else ""
        locked = "".join(
            f"; the key {path} has a passphrase, which was not given (ssh-add, or LABELRIG_SSH_PASSPHRASE in .env)"
            for path in self._locked
        )
        return (
            f"{self.server}: {self.where} does not let {self.user} in; tried: {tried}{takes}{locked}. "
            "Is the user right? Put your key there with `ssh-copy-id`, name it with `ssh_key:` in the inventory, or "
            "put LABELRIG_SSH_PASSWORD into .env"
        )
