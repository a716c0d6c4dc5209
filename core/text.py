"""Text for people: words of others, lists and sentences that may be long, and the end of a tool's output."""

from __future__ import annotations

import heapq
import itertools
import re
from collections.abc import Collection, Sequence, Set

SHOWN = 5
TAIL_LINES = 10
SENTENCE = 600
# Control characters (also the eight-bit ones), line ends that only some programs know, what turns the direction of
# text, and halves of characters, which no stream can write. Line breaks and tabs stay.
STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """Text that steers no terminal: `\\u001b` in place of such a character, which JSON reads as the same.

    >>> visible("a\\x1b[31m b")
    'a\\\\u001b[31m b'
    """
    return STEERING.sub(_escaped, text.replace("\r\n", "\n"))


def inline(text: str) -> str:
    """Words of others inside a line of ours, such as a title or a label: they end no line, so they begin none.

    A CI system takes a line that begins with `::` for a command.
    """
    return re.sub(r"[\n\t]", _escaped, visible(text))


def some(values: Collection[object]) -> str:
    """The first values with commas, and an ellipsis where there are more; a set in the order of its texts."""
    if isinstance(values, Set):
        texts = heapq.nsmallest(SHOWN, (inline(str(one)) for one in values))
    else:
        texts = [inline(str(one)) for one in itertools.islice(values, SHOWN)]
    return ", ".join(texts) + (", …" if len(values) > SHOWN else "")


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


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines of a table: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([first.ljust(widths[0]), *map(str.rjust, rest, widths[1:])]).rstrip() for first, *rest in rows]


def size_text(count: int) -> str:
    """A number of bytes for people.

    >>> [size_text(0), size_text(2048), size_text(35 << 20), size_text(3 << 29)]
    ['0 KiB', '2 KiB', '35 MiB', '1.5 GiB']
    """
    if count < 1 << 20:
        return f"{count / (1 << 10):.0f} KiB"
    if count < 1 << 30:
        return f"{count / (1 << 20):.0f} MiB"
    return f"{count / (1 << 30):.1f} GiB"


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


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
