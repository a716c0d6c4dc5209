"""Images that are written into a task."""

from __future__ import annotations

import pytest

from labeling.data_urls import content_of, is_data_url

READ = {
    "base64": ("data:image/png;base64,AQI=", b"\x01\x02"),
    "with a character set": ("DATA:image/svg+xml;charset=utf-8;base64,AQI=", b"\x01\x02"),
    "with line breaks": ("data:image/png;base64,AQ\r\n%0AI=", b"\x01\x02"),
    "percent-encoded": ("data:image/svg+xml,%3Csvg/%3E", b"<svg/>"),
    "without a kind": ("data:,a", b"a"),
}
BROKEN = {
    "no comma": ("data:image/png;base64", "has no comma"),
    "cut off": ("data:image/png;base64,AQI", "is not base64"),
    "another alphabet": ("data:image/png;base64,A*I=", "is not base64"),
}


@pytest.mark.parametrize("case", READ)
def test_reads_what_is_in_it(case: str) -> None:
    url, content = READ[case]
    assert is_data_url(url)
    assert content_of(url) == content


@pytest.mark.parametrize("case", BROKEN)
def test_says_what_is_wrong_with_it(case: str) -> None:
    url, reason = BROKEN[case]
    with pytest.raises(ValueError, match=reason):
        content_of(url)


def test_addresses_are_none() -> None:
    assert not any(map(is_data_url, ("/data/local-files/?d=data:a.png", "https://example.org/a.png", "")))
