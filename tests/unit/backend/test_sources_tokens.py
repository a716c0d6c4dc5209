from __future__ import annotations

import base64
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from backend.errors import ImageError, SourceUnavailable
from backend.sources.tokens import TokenSource


def jwt(**claims: object) -> str:
    parts = (json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return ".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), "c2ln"])


PERSONAL = jwt(token_type="refresh", exp=4_000_000_000)
LEGACY = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Desk:
    """Sells access tokens that live 300 s by a clock of its own."""

    now: float = 1000.0
    sold: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def refresh(self, personal: str, deadline: float) -> str:
        self.keys.append(personal)
        self.sold.append(jwt(iat=77, exp=377, serial=len(self.sold)))
        return self.sold[-1]

    def source(self, key: str | None = PERSONAL, key_file: Path | None = None) -> TokenSource:
        return TokenSource(key, key_file, self.refresh, lambda: self.now)


def soon() -> float:
    return time.monotonic() + 30


def test_legacy_token_is_sent_as_it_is() -> None:
    desk = Desk()
    assert desk.source(LEGACY).authorization(soon()) == f"Token {LEGACY}"
    assert desk.keys == []


def test_access_token_is_renewed_shortly_before_it_expires() -> None:
    """An access token is fetched once and renewed shortly before it expires."""
    desk = Desk()
    source = desk.source()
    first = source.authorization(soon())
    assert first == f"Bearer {desk.sold[0]}"
    desk.now += 269
    assert source.authorization(soon()) == first
    desk.now += 2
    assert source.authorization(soon()) == f"Bearer {desk.sold[1]}"
    assert desk.keys == [PERSONAL, PERSONAL]


def test_refused_access_token_is_renewed_once_for_all() -> None:
    """A refused access token is renewed once for all who were refused."""
    desk = Desk()
    source = desk.source()
    first = source.authorization(soon())
    again = [source.authorization(soon(), refused=first) for _ in range(3)]
    assert again == [f"Bearer {desk.sold[1]}"] * 3
    assert len(desk.sold) == 2


def test_refused_legacy_token_is_not_sent_again() -> None:
    source = Desk().source(LEGACY)
    with pytest.raises(
        ImageError, match=r"^Label Studio refuses the backend's token; make a new one and set "
    ) as caught:
        source.authorization(soon(), refused=source.authorization(soon()))
    assert LEGACY not in str(caught.value)


def test_many_threads_buy_one_token() -> None:
    desk, ready = Desk(), threading.Barrier(8)
    source = desk.source()

    def ask(_: int) -> str:
        ready.wait(30)
        return source.authorization(soon())

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1
    assert len(desk.sold) == 1


def test_waiting_for_another_thread_ends_at_the_deadline() -> None:
    entered, leave = threading.Event(), threading.Event()

    def refresh(personal: str, deadline: float) -> str:
        entered.set()
        assert leave.wait(30)
        return jwt(iat=0, exp=300)

    source = TokenSource(PERSONAL, None, refresh)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(source.authorization, soon())
        assert entered.wait(30)
        with pytest.raises(SourceUnavailable, match=r"^Label Studio did not renew the access token in time$"):
            source.authorization(time.monotonic() + 0.02)
        leave.set()
        assert first.result(30).startswith("Bearer ")


def test_failed_purchase_is_tried_again_by_the_next() -> None:
    desk = Desk()
    answers = [SourceUnavailable("Label Studio answered 500"), None]

    def refresh(personal: str, deadline: float) -> str:
        if (error := answers.pop(0)) is not None:
            raise error
        return desk.refresh(personal, deadline)

    source = TokenSource(PERSONAL, None, refresh)
    with pytest.raises(SourceUnavailable, match="500"):
        source.authorization(soon())
    assert source.authorization(soon()) == f"Bearer {desk.sold[0]}"


@pytest.mark.parametrize("key", [None, ""])
def test_no_token(key: str | None, tmp_path: Path) -> None:
    for source in (Desk().source(key), Desk().source(key, tmp_path / "none")):
        with pytest.raises(ImageError, match=r"has no token for it; set LABEL_STUDIO_API_KEY ") as caught:
            source.authorization(soon())
        assert str(tmp_path) not in str(caught.value)


def test_file_may_come_later_and_change(tmp_path: Path) -> None:
    desk, file = Desk(), tmp_path / "key"
    source = desk.source(None, file)
    with pytest.raises(ImageError):
        source.authorization(soon())
    file.write_text(f"{LEGACY}\n")
    assert source.authorization(soon()) == f"Token {LEGACY}"
    (tmp_path / "new").write_text(PERSONAL)
    (tmp_path / "new").replace(file)
    assert source.authorization(soon()) == f"Bearer {desk.sold[0]}"
    other = jwt(token_type="refresh", exp=4_000_000_001)
    file.write_text(other)
    os.utime(file, ns=(5, 5))
    assert source.authorization(soon()) == f"Bearer {desk.sold[1]}"
    assert desk.keys == [PERSONAL, other]
    file.unlink()
    with pytest.raises(ImageError, match="has no token"):
        source.authorization(soon())


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "é", "a\x00b"])
def test_key_that_cannot_be_sent(key: str) -> None:
    with pytest.raises(ImageError, match=r"^the backend's token for Label Studio holds characters that no token has"):
        Desk().source(key).authorization(soon())


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xff\xfe")
    for file in (tmp_path, tmp_path / "key"):
        with pytest.raises(ImageError, match=r"^the file of LABEL_STUDIO_API_KEY_FILE cannot be read: ") as caught:
            Desk().source(None, file).authorization(soon())
        assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("key", ["a.b.c", "e30.e30.e30", "..", "W10.W10.W10", "a.b"])
def test_dots_alone_make_no_jwt(key: str) -> None:
    assert Desk().source(key).authorization(soon()) == f"Token {key}"


def test_access_token_without_expiry_is_used_for_a_minute() -> None:
    """An access token that does not name its expiry is used for a minute."""
    now = [0.0]
    sold: list[str] = []

    def refresh(personal: str, deadline: float) -> str:
        sold.append(f"opaque{len(sold)}")
        return sold[-1]

    source = TokenSource(PERSONAL, None, refresh, lambda: now[0])
    source.authorization(soon())
    now[0] = 50
    assert source.authorization(soon()) == "Bearer opaque0"
    now[0] = 60
    assert source.authorization(soon()) == "Bearer opaque1"
