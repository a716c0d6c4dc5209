"""Images that are written into a task, as browsers read them."""

from __future__ import annotations

import base64

import pytest

from labeling.data_urls import content_of, is_data_url, shown_data_url

CODE = base64.b64encode(b"pix\xffls!").decode()


@pytest.mark.parametrize(
    "url",
    [
        f"data:image/png;base64,{CODE}",
        f" DATA:image/PNG;charset=x;Base64,{CODE}",
        f"data:image/png;base64,{CODE.rstrip('=')}",
        f"data:image/png;base64,{CODE[:5]}\r\n  {CODE[5:]}#part",
        f"data:;base64,{CODE.replace('/', '%2F').replace('=', '%3D')}",
        "data:image/png,pix%FFls!",
        "data:,pix%FFls!",
    ],
)
def test_bytes_are_those_of_the_browser(url: str) -> None:
    assert is_data_url(url)
    assert content_of(url) == b"pix\xffls!"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("data:image/png;base64", "the data URL has no comma before its content"),
        ("data:image/png;base64,A", "the content of the data URL is not base64"),
        ("data:image/png;base64,AA-_", "the content of the data URL is not base64"),
        ("data:image/png;base64,AA=A", "the content of the data URL is not base64"),
        ("data:image/png;base64,A*I=", "the content of the data URL is not base64"),
    ],
)
def test_damaged_ones_are_refused_in_words(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        content_of(url)


def test_what_is_shown_is_short_and_clean() -> None:
    assert shown_data_url(f"data:image/png;base64,{CODE * 9999}") == "data:image/png,..."
    assert shown_data_url(f"data:{'a' * 99}\x1b[2J,") == f"data:{'a' * 40},..."
    assert not any(map(is_data_url, ("/data/local-files/?d=data:a.png", "https://example.org/a.png", "")))
