"""Text for people."""

from __future__ import annotations

import pytest

from core.text import between_markers, bulleted


def test_long_list_says_how_many_more_there_are() -> None:
    assert bulleted(["a", "b"]) == "  - a\n  - b"
    assert bulleted(["a", "b"], 2) == "  - a\n  - b"
    assert bulleted(["a", "b", "c", "d"], 2) == "  - a\n  - b\n  and 2 more"


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    assert between_markers("a\n<b>\nold\n<e>\nz <e>\n", "<b>", "<e>", "new") == "a\n<b>\nnew\n<e>\nz <e>\n"


@pytest.mark.parametrize("text", ["no markers", "<b>", "<e><b>", "<b><b><e>"])
def test_document_without_its_markers(text: str) -> None:
    with pytest.raises(ValueError, match=r"^the document must hold <b> once, and <e> after it$"):
        between_markers(text, "<b>", "<e>", "new")
