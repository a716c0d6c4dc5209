"""The key that signs NVIDIA's packages: fetched here, checked against a fingerprint, and only then handed on.

A few packets of OpenPGP are read here, because neither a bare server nor every laptop has gpg, and so that what was
checked is byte for byte what apt will trust.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import ssl

import httpx

from core.errors import HostError

FETCH_TIMEOUT = 20.0
LARGEST_KEY = 64 * 1024
PUBLIC_KEY = 6
# A public key, its names and attributes, the signatures on them, and its subkeys: nothing else belongs in a keyring.
EXPECTED_PACKETS = (PUBLIC_KEY, 2, 13, 14, 17)
ARMOR = re.compile(
    rb"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(?:[^\r\n]+\r?\n)*\r?\n(.*?)-----END PGP PUBLIC KEY BLOCK-----",
    re.DOTALL,
)


def fetch_key(url: str) -> bytes:
    """Download a key.

    Raises:
        HostError: it cannot be had from there.
    """
    try:
        # The system's certificates, and not a bundle of Python's: a lab's proxy may have its own.
        with httpx.Client(timeout=FETCH_TIMEOUT, verify=ssl.create_default_context(), follow_redirects=True) as client:
            answer = client.get(url).raise_for_status()
    except (httpx.HTTPError, OSError) as error:
        raise HostError(
            f"the key of NVIDIA's packages cannot be fetched from {url}: {type(error).__name__}: {error}; "
            "can this machine reach it? A lab's mirror can be set instead"
        ) from error
    if len(answer.content) > LARGEST_KEY:
        raise HostError(f"{url} is {len(answer.content)} bytes long, which no key is; is it the right address?")
    return answer.content


def checked_keyring(content: bytes, fingerprint: str | None, url: str) -> bytes:
    """Return the key in binary form, as apt reads it from a `.gpg` file.

    Args:
        content: what was fetched, armored or binary.
        fingerprint: 40 hexadecimal digits that the one key in it must have; None: whatever key it is.
        url: where it came from, for messages.

    Raises:
        HostError: it is no keyring, or holds another key.
    """
    try:
        keyring = dearmored(content)
        found = fingerprints(keyring)
    except ValueError as error:
        raise HostError(f"{url} is no OpenPGP key: {error}; is it the right address?") from None
    if not is_pinned(found, fingerprint):
        raise HostError(
            f"{url} holds the key {', '.join(found) or '(none)'}, and {fingerprint} was expected; nothing was "
            "installed. If NVIDIA changed its key, its install guide says so: then a newer labelrig knows it"
        )
    return keyring


def is_pinned(found: list[str], fingerprint: str | None) -> bool:
    """Whether there is one key, and the right one."""
    return len(found) == 1 and fingerprint in (None, found[0])


def dearmored(content: bytes) -> bytes:
    """Return binary packets; an armored key is decoded, its checksum line left out.

    Raises:
        ValueError: it is neither.
    """
    if content[:1] and content[0] & 0x80:
        return content
    found = ARMOR.search(content)
    if found is None:
        raise ValueError("it has no block of a public key")
    lines = [line.strip() for line in found[1].splitlines()]
    try:
        return base64.b64decode(b"".join(line for line in lines if not line.startswith(b"=")), validate=True)
    except binascii.Error as error:
        raise ValueError(f"its block is not base64 ({error})") from None


def fingerprints(keyring: bytes) -> list[str]:
    """The fingerprints of all primary keys in a keyring (RFC 4880, sections 4.2 and 12.2).

    Raises:
        ValueError: it is cut off, or holds what a keyring does not.
    """
    found, at = [], 0
    while at < len(keyring):
        kind, start, end = _packet(keyring, at)
        if kind not in EXPECTED_PACKETS:
            raise ValueError(f"it holds a packet of kind {kind}")
        body = keyring[start:end]
        if kind == PUBLIC_KEY:
            if body[:1] != b"\x04":
                raise ValueError(f"it holds a key of version {body[0] if body else '(none)'}, and 4 is expected")
            prefixed = b"\x99" + len(body).to_bytes(2, "big") + body
            found.append(hashlib.sha1(prefixed, usedforsecurity=False).hexdigest().upper())
        at = end
    return found


def _packet(keyring: bytes, at: int) -> tuple[int, int, int]:
    """Kind, begin and end of the packet at an offset."""
    head = keyring[at]
    if not head & 0x80:
        raise ValueError(f"byte {at} begins no packet")
    if head & 0x40:
        kind, length, start = head & 0x3F, *_new_length(keyring, at + 1)
    else:
        kind, width = head >> 2 & 0x0F, head & 0x03
        if width == 3:
            raise ValueError("it holds a packet of no fixed length")
        start = at + 1 + (1 << width)
        length = int.from_bytes(keyring[at + 1 : start], "big")
    if start + length > len(keyring):
        raise ValueError("it is cut off")
    return kind, start, start + length


def _new_length(keyring: bytes, at: int) -> tuple[int, int]:
    """Length and begin of a body in the newer format."""
    first = keyring[at] if at < len(keyring) else 0
    if first < 192:
        return first, at + 1
    if first < 224:
        return (first - 192 << 8) + int.from_bytes(keyring[at + 1 : at + 2], "big") + 192, at + 2
    if first < 255:
        raise ValueError("it holds a packet of no fixed length")
    return int.from_bytes(keyring[at + 1 : at + 5], "big"), at + 5
