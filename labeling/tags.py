"""Label Studio's XML as tags, each with its line for messages. Pure: text in, objects out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

MAX_DEPTH = 100
MAX_TAGS = 20_000
MAX_CHARACTERS = 1_000_000


class XmlProblem(Exception):
    """The text is not XML that we read. `line` counts from 1."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(f"line {line}: {text}")
        self.line = line
        self.text = text


@dataclass
class Tag:
    """One XML element. `line` counts from 1."""

    name: str
    attributes: dict[str, str]
    line: int
    children: list[Tag] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """The name in lower case: the editor does not distinguish case."""
        return self.name.lower()

    def get(self, attribute: str) -> str:
        """An attribute, whatever its case; empty where it is missing."""
        given = {name.lower(): value for name, value in self.attributes.items()}
        return given.get(attribute.lower(), "")

    def walk(self) -> Iterator[Tag]:
        """This tag and all below it, in the order of the text."""
        waiting = [self]
        while waiting:
            tag = waiting.pop()
            yield tag
            waiting.extend(reversed(tag.children))


def parse_xml(text: str) -> Tag:
    """Return the root tag.

    Raises:
        XmlProblem: not well-formed, a DOCTYPE (it could define entities; Label Studio needs none), or far larger than
            any labeling configuration.
    """
    if len(text) > MAX_CHARACTERS:
        raise XmlProblem(1, f"longer than {MAX_CHARACTERS} characters")
    parser = expat.ParserCreate("utf-8")  # whatever the declaration says: the text is decoded already
    open_tags: list[Tag] = []
    roots: list[Tag] = []
    count = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if len(open_tags) >= MAX_DEPTH or count > MAX_TAGS:
            raise XmlProblem(
                parser.CurrentLineNumber, f"more than {MAX_DEPTH} tags inside each other or {MAX_TAGS} in all"
            )
        tag = Tag(name, attributes, parser.CurrentLineNumber)
        (open_tags[-1].children if open_tags else roots).append(tag)
        open_tags.append(tag)

    def end(_name: str) -> None:
        open_tags.pop()

    def doctype(*_ignored: object) -> None:
        raise XmlProblem(parser.CurrentLineNumber, "a DOCTYPE is not allowed here; delete it")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(text.encode("utf-8", "surrogatepass"), True)
    except expat.ExpatError as error:
        raise XmlProblem(error.lineno, f"not well-formed XML: {expat.ErrorString(error.code)}") from None
    return roots[0]
