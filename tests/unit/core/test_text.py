"""Text for people."""

from __future__ import annotations

import pytest

from core.text import between_markers, bulleted, inline, some, visible

STEERED = "a\x1b[31m\x9b2J\u202e\x07\ud800\x7f\r\0b"
SHOWN = r"a\u001b[31m\u009b2J\u202e\u0007\ud800\u007f\u000d\u0000b"


def test_what_steers_a_terminal_is_shown_as_an_escape() -> None:
    assert visible(STEERED) == SHOWN
    assert visible("línea 画 👩\u200d👧\tb\r\n  ✓") == "línea 画 👩\u200d👧\tb\n  ✓"


def test_words_of_others_begin_no_line() -> None:
    assert inline(f"{STEERED}\n::error::") == SHOWN + r"\u000a::error::"
    assert some(["a\nb", "c\u2028d"]) == r"a\u000ab, c\u2028d"


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


def test_of_many_values_only_those_shown_are_read() -> None:
    """A message names five of 100 000 images; the others need no words."""

    class Counted:
        read = 0

        def __str__(self) -> str:
            Counted.read += 1
            return "a"

    assert some([Counted() for _ in range(50)]) == "a, a, a, a, a, …"
    assert Counted.read == 5
