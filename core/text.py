"""Text for people: lists and sentences that may be long, and the end of a tool's output."""

from __future__ import annotations

from collections.abc import Collection, Sequence, Set

SHOWN = 5
TAIL_LINES = 10
SENTENCE = 600


def some(values: Collection[object]) -> str:
    """The first values with commas, and an ellipsis where there are more; a set in the order of its texts."""
    texts = [str(one) for one in values]
    if isinstance(values, Set):
        texts.sort()
    return ", ".join(texts[:SHOWN]) + (", …" if len(texts) > SHOWN else "")


def shortened(text: str, most: int = SENTENCE) -> str:
    """Text whose middle is left out where it is longer than `most` characters; says how much that is."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]} … {len(text) - 2 * half} characters … {text[-half:]}"


def indented(text: str) -> str:
    """The last lines of a tool's output, as they are shown below a message."""
    lines = text.strip().splitlines()[-TAIL_LINES:]
    return "\n".join(f"    {line}" for line in lines) or "    (no output)"


def bulleted(lines: Sequence[str], shown: int | None = None) -> str:
    """Lines as a list below a message; with `shown` only that many, and how many more there are."""
    listed = "\n".join(f"  - {line}" for line in lines[:shown])
    more = len(lines) - len(lines[:shown])
    return f"{listed}\n  and {more} more" if more else listed


def between_markers(text: str, begin: str, end: str, content: str) -> str:
    """Return a document with other content between its two markers.

    Raises:
        ValueError: it does not hold the first marker once, and the second one after it.
    """
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed or begin in rest:
        raise ValueError(f"the document must hold {begin} once, and {end} after it")
    return f"{before}{begin}\n{content}\n{end}{after}"
