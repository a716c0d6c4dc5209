"""Reading a labeling configuration: Label Studio's XML, with the line of every tag kept for messages.

Pure: text in, objects out. What is wrong with a configuration beyond its syntax is said by `labeling_checks`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

LABELS_TAGS = {
    "Labels",
    "BrushLabels",
    "KeyPointLabels",
    "RectangleLabels",
    "BitmaskLabels",
    "PolygonLabels",
    "EllipseLabels",
}
POINT_TAGS = ("KeyPoint", "KeyPointLabels")
BOX_TAGS = ("Rectangle", "RectangleLabels")
MASK_TAGS = ("Brush", "BrushLabels")


class XmlProblem(Exception):
    """The text is no XML that we read. `line` counts from 1."""

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

    def walk(self) -> Iterator[Tag]:
        """This tag and all below it, in the order of the text."""
        yield self
        for child in self.children:
            yield from child.walk()


def parse_xml(text: str) -> Tag:
    """Return the root tag.

    Raises:
        XmlProblem: not well-formed, or a DOCTYPE (it could define entities; Label Studio needs none).
    """
    parser = expat.ParserCreate()
    open_tags: list[Tag] = []
    roots: list[Tag] = []

    def start(name: str, attributes: dict[str, str]) -> None:
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
        parser.Parse(text.encode("utf-8"), True)
    except expat.ExpatError as error:
        raise XmlProblem(error.lineno, f"not well-formed XML: {expat.ErrorString(error.code)}") from None
    return roots[0]


@dataclass(frozen=True)
class Control:
    """A tag that makes regions or labels them: its `name` is the `from_name` of results.

    `labels` are the values of its `Label` children; `smart` is whether the editor offers the smart tool, which
    Label Studio does unless the attribute says false.
    """

    tag: str
    name: str
    to_name: str
    labels: tuple[str, ...]
    smart: bool


@dataclass(frozen=True)
class LabelingConfig:
    """What the rest of labelrig needs to know of a checked configuration with one image.

    `image_name` is the image tag's name (`to_name` of results), `image_key` the key of the task data that holds
    the image's URL.
    """

    text: str
    image_name: str
    image_key: str
    controls: tuple[Control, ...]

    @property
    def palette(self) -> Control | None:
        """The `Labels` tag that all tools share, or None where each tool has its own palette."""
        return self._first(("Labels",))

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label once, in the order of the text."""
        return tuple(dict.fromkeys(label for control in self.controls for label in control.labels))

    @property
    def point(self) -> Control | None:
        """The smart key point tag, if there is one."""
        return self._first(POINT_TAGS, smart=True)

    @property
    def box(self) -> Control | None:
        """The smart rectangle tag, if there is one."""
        return self._first(BOX_TAGS, smart=True)

    @property
    def mask(self) -> Control | None:
        """The brush tag that takes the masks."""
        return self._first(MASK_TAGS)

    def _first(self, tags: tuple[str, ...], *, smart: bool = False) -> Control | None:
        found = (control for control in self.controls if control.tag in tags and (control.smart or not smart))
        return next(found, None)


def control_of(tag: Tag) -> Control:
    """The control that a tag stands for."""
    return Control(
        tag=tag.name,
        name=tag.attributes.get("name", ""),
        to_name=tag.attributes.get("toName", ""),
        labels=tuple(child.attributes.get("value", "") for child in tag.children if child.name == "Label"),
        smart=tag.attributes.get("smart", "true").lower() == "true",
    )


def labeling_config(text: str, root: Tag) -> LabelingConfig:
    """Make a LabelingConfig; `labeling_checks.problems_in` must have found nothing wrong before."""
    image = next(tag for tag in root.walk() if tag.name == "Image")
    controls = tuple(
        control_of(tag)
        for tag in root.walk()
        if tag.name in LABELS_TAGS or tag.name in (*POINT_TAGS, *BOX_TAGS, *MASK_TAGS)
    )
    return LabelingConfig(
        text=text,
        image_name=image.attributes["name"],
        image_key=(image.attributes.get("value") or image.attributes.get("valueList", "")).removeprefix("$"),
        controls=controls,
    )
