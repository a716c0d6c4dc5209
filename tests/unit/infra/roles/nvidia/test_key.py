from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from core.errors import HostError
from infra.roles.nvidia.key import LARGEST_KEY, checked_keyring, dearmored, fetch_key, fingerprints
from tests.nvidia_shim.keys import OTHER_FINGERPRINT, OTHER_KEY, TEST_FINGERPRINT, TEST_KEY

URL = "https://mirror.lab/gpgkey"
BINARY = dearmored(TEST_KEY)
WITH_HEADERS = b"a preface\n" + TEST_KEY.replace(b"BLOCK-----\n\n", b"BLOCK-----\nVersion: 1\n\n")


def test_the_fingerprint_is_the_one_that_gpg_says() -> None:
    assert fingerprints(BINARY) == [TEST_FINGERPRINT]
    assert fingerprints(dearmored(OTHER_KEY)) == [OTHER_FINGERPRINT]


@pytest.mark.parametrize("content", [TEST_KEY, BINARY, TEST_KEY.replace(b"\n", b"\r\n"), WITH_HEADERS])
def test_armored_or_not_the_same_packets_reach_apt(content: bytes) -> None:
    assert checked_keyring(content, TEST_FINGERPRINT, URL) == BINARY


def test_an_own_mirror_may_leave_the_key_open() -> None:
    assert checked_keyring(OTHER_KEY, None, URL) == dearmored(OTHER_KEY)


def new_format(kind: int, body: bytes) -> bytes:
    """A packet with the newer header, in the five-byte form of its length."""
    return bytes([0xC0 | kind, 0xFF]) + len(body).to_bytes(4, "big") + body


def test_both_forms_of_a_packet_are_read() -> None:
    body = BINARY[2 : 2 + BINARY[1]]
    assert fingerprints(new_format(6, body)) == [TEST_FINGERPRINT]
    assert fingerprints(bytes([0xC6, len(body)]) + body) == [TEST_FINGERPRINT]
    named = bytes([0xCD, 0xC0, 0x08]) + b"n" * 200  # a two-byte length
    assert fingerprints(BINARY + named) == [TEST_FINGERPRINT]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (BINARY + dearmored(OTHER_KEY), f"holds the key {TEST_FINGERPRINT}, {OTHER_FINGERPRINT}, and"),
        (OTHER_KEY, f"holds the key {OTHER_FINGERPRINT}, and {TEST_FINGERPRINT} was expected"),
        (b"", "it has no block of a public key"),
        (b"<html></html>", "it has no block of a public key"),
        (TEST_KEY.replace(b"mDME", b"m*ME"), "its block is not base64"),
        (BINARY[:40], "it is cut off"),
        (BINARY + b"\x00", "begins no packet"),
        (BINARY + new_format(11, b"data"), "it holds a packet of kind 11"),
        (BINARY + b"\x9b", "it holds a packet of no fixed length"),
        (BINARY + b"\xce\xe1", "it holds a packet of no fixed length"),
        (new_format(6, b"\x06more"), "it holds a key of version 6, and 4 is expected"),
    ],
)
def test_what_is_not_exactly_that_key_is_refused(content: bytes, problem: str) -> None:
    with pytest.raises(HostError) as caught:
        checked_keyring(content, TEST_FINGERPRINT, URL)
    assert problem in str(caught.value)
    assert str(caught.value).startswith(URL)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        bodies = {"/gpgkey": TEST_KEY, "/huge": b"x" * (LARGEST_KEY + 1)}
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/gpgkey")
            self.end_headers()
            return
        body = bodies.get(self.path)
        self.send_response(404 if body is None else 200)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as one:
        thread = threading.Thread(target=one.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{one.server_port}"
        one.shutdown()
        thread.join()


def test_a_key_is_fetched_also_where_it_moved(server: str) -> None:
    assert fetch_key(f"{server}/gpgkey") == fetch_key(f"{server}/moved") == TEST_KEY


@pytest.mark.parametrize(
    ("path", "problem"),
    [("/none", "HTTPStatusError: Client error '404 Not Found'"), ("/huge", "is 65537 bytes long, which no key is")],
)
def test_what_cannot_be_had_is_one_error(server: str, path: str, problem: str) -> None:
    with pytest.raises(HostError) as caught:
        fetch_key(server + path)
    assert problem in str(caught.value)
    assert server + path in str(caught.value)


def test_a_server_that_is_not_there_is_one_error() -> None:
    with pytest.raises(HostError, match=r"cannot be fetched from http://127.0.0.1:9/k: ConnectError"):
        fetch_key("http://127.0.0.1:9/k")


def test_the_decoded_block_is_all_that_counts() -> None:
    smuggled = TEST_KEY + OTHER_KEY  # apt would read both blocks of such a file; it gets the first, decoded
    assert checked_keyring(smuggled, TEST_FINGERPRINT, URL) == BINARY
