"""Text for people."""

from __future__ import annotations

from core.text import bulleted


def test_long_list_says_how_many_more_there_are() -> None:
    assert bulleted(["a", "b"]) == "  - a\n  - b"
    assert bulleted(["a", "b"], 2) == "  - a\n  - b"
    assert bulleted(["a", "b", "c", "d"], 2) == "  - a\n  - b\n  and 2 more"
