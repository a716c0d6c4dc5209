"""Read a labeling configuration: where the images are, which tags prompt, which tags take the answer.

As in Label Studio's editor, the case of tag and attribute names does not matter, and a missing `toName` is the only
object tag there is (libs/editor, core/Tree.tsx).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from backend.errors import ImageError, LabelingConfigError
from backend.labelstudio.options import OutputKind

SPLIT_PROMPTS = ("keypoint", "rectangle")
LABELLED_PROMPTS = ("keypointlabels", "rectanglelabels")
# In the order in which they are taken: a rectangle tells least of a mask, and is a prompt in most configurations.
OUTPUT_KINDS: tuple[OutputKind, ...] = ("brush", "bitmask", "polygon", "rectangle")
CONTROLS = frozenset(
    (*SPLIT_PROMPTS, *LABELLED_PROMPTS, "labels", *OUTPUT_KINDS, *(f"{k}labels" for k in OUTPUT_KINDS))
)
OTHER_OBJECTS = frozenset(
    ("audio", "chat", "hypertext", "list", "paragraphs", "pdf", "richtext", "table", "text", "timeseries", "video")
)
DEEPEST = 100
MOST_TAGS = 20_000
LONGEST_XML = 1_000_000
VARIABLE = re.compile(r"\$([\w[\].{}]+)")


@dataclass(frozen=True)
class ImageTag:
    """`<Image name="image" value="$image"/>`, or `valueList="$images"` for several images under one name.

    Attributes:
        value: the attribute as it is written: a reference to the task's data, or a text with references in it.
        is_list: it is the `valueList`; results then carry an `item_index`.
    """

    name: str
    value: str
    is_list: bool = False

    @property
    def key(self) -> str:
        """Where a task's data holds the URL, for people."""
        return self.value.removeprefix("$")


@dataclass(frozen=True)
class ControlTag:
    """A tag that draws or labels.

    Attributes:
        kind: the tag's name in lower case, which is also the `type` of its results.
        labels: what it offers, as results name it: the alias, or the value of a label without one. None when the
            labels come from the task's data.
        values: what it shows in place of an alias; the editor finds a label by either (mixins/SelectedModel.js).
        allows_empty: an answer without a label may be written for it (`allowEmpty`).
    """

    kind: str
    name: str
    to_names: tuple[str, ...]
    labels: frozenset[str] | None
    smart: bool
    values: frozenset[str] = frozenset()
    allows_empty: bool = False

    def offers(self, label: str) -> bool:
        """True when the label can be chosen in this tag."""
        return self.labels is None or label in self.labels or label in self.values


@dataclass(frozen=True)
class Output:
    """What an answer is written as, and for which tags.

    Attributes:
        mask_tag: the tag of this kind, with labels of its own (`<BrushLabels>`) or without (`<Brush>`).
        labels_tag: the `<Labels>` that labels a `<Brush>`; None when the mask tag labels, or nothing does.
    """

    kind: OutputKind
    mask_tag: ControlTag
    labels_tag: ControlTag | None


@dataclass(frozen=True)
class LabelingConfig:
    """The tags of one configuration that matter here."""

    images: tuple[ImageTag, ...]
    controls: tuple[ControlTag, ...]

    def image(self, name: str) -> ImageTag:
        """The image tag with this name.

        Raises:
            LabelingConfigError: there is none.
        """
        for tag in self.images:
            if tag.name == name:
                return tag
        raise LabelingConfigError(f"the labeling configuration has no <Image> named {name!r}")

    def of_kind(self, kind: str, image_name: str) -> tuple[ControlTag, ...]:
        """The control tags of one kind that work on this image tag."""
        return tuple(tag for tag in self.controls if tag.kind == kind and image_name in tag.to_names)

    def find_output(self, kind: OutputKind, image_name: str, label: str | None, prompt_kind: str) -> Output | None:
        """The first tags of one kind that take the label, of the style of the prompt before the other style."""
        fused = (
            Output(kind, tag, None)
            for tag in self.of_kind(f"{kind}labels", image_name)
            if (tag.allows_empty if label is None else tag.offers(label))
        )
        palettes: tuple[ControlTag | None, ...] = (None,)
        if label is not None:
            palettes = tuple(tag for tag in self.of_kind("labels", image_name) if tag.offers(label))
        split = (Output(kind, tag, palette) for tag in self.of_kind(kind, image_name) for palette in palettes)
        is_fused = prompt_kind.endswith("labels") and prompt_kind != "labels"
        first, second = (fused, split) if is_fused else (split, fused)
        return next(first, None) or next(second, None)

    def output_for(
        self, image_name: str, label: str | None, prompt_kind: str, prefer: OutputKind | None = None
    ) -> Output:
        """Where the answer to a prompt belongs: brush, bitmask, polygon, rectangle, the first that takes the label.

        Args:
            label: None for a prompt that was drawn without a label.
            prompt_kind: `type` of the prompt's result.
            prefer: the project's own choice, which comes first; where no such tag takes the label, the usual order
                counts.

        Raises:
            LabelingConfigError: no tag can take it.
        """
        kinds = OUTPUT_KINDS if prefer is None else (prefer, *OUTPUT_KINDS)
        if label is None and prefer != "rectangle" and self._has_mask_tag(image_name):
            # The <Rectangle> is there to prompt: what is missing is a mask tag without labels.
            kinds = tuple(kind for kind in kinds if kind != "rectangle")
        outputs = (self.find_output(kind, image_name, label, prompt_kind) for kind in kinds)
        found = next((output for output in outputs if output is not None), None)
        if found is not None:
            return found
        what = f"the label {label!r}" if label is not None else "a mask without a label"
        raise LabelingConfigError(
            f"no output tag of the labeling configuration takes {what} on image {image_name!r}: "
            f"add {'it to ' if label is not None else ''}{self._hint(image_name, label)}"
        )

    def _has_mask_tag(self, image_name: str) -> bool:
        tags = (kind for base in OUTPUT_KINDS if base != "rectangle" for kind in (base, f"{base}labels"))
        return any(self.of_kind(kind, image_name) for kind in tags)

    def _hint(self, image_name: str, label: str | None) -> str:
        if label is None:
            return '<Brush>, or to <BrushLabels> the attribute allowEmpty="true"'
        for kind in OUTPUT_KINDS[:3]:
            for tag in self.of_kind(f"{kind}labels", image_name):
                return f"{shown(tag.kind)} {tag.name!r}"
            if self.of_kind(kind, image_name):
                return f"{'the' if self.of_kind('labels', image_name) else 'a new'} <Labels> beside {shown(kind)}"
        return "<BrushLabels>, or to the <Labels> beside a <Brush>"


def shown(kind: str) -> str:
    """A tag as people write it: `<BrushLabels>`."""
    base = kind.removesuffix("labels")
    name = {"keypoint": "KeyPoint"}.get(base, base.capitalize())
    return f"<{name}{'Labels' if kind.endswith('labels') else ''}>"


def image_url(data: Mapping[str, Any], tag: ImageTag, item_index: int | None) -> str:
    """The URL of the image that a tag shows, resolved as the editor does it (utils/data.js `parseValue`).

    Args:
        data: the task's data.
        item_index: which image of a list; None is the first.

    Raises:
        ImageError: the data holds no such image.
    """
    whole = VARIABLE.fullmatch(tag.value)
    found = _looked_up(data, whole[1]) if whole else VARIABLE.sub(lambda one: _as_text(data, one[1]), tag.value)
    if isinstance(found, list):
        index = item_index or 0
        if not 0 <= index < len(found):
            raise ImageError(f"image {index + 1} was asked for, but {tag.key!r} of the task's data holds {len(found)}")
        found = found[index]
    if not isinstance(found, str) or not found:
        seen = ", ".join(sorted(data)[:20]) or "nothing"
        raise ImageError(f"the task's data holds no image URL under {tag.key!r} (it holds: {seen})")
    return found


def _looked_up(data: Mapping[str, Any], path: str) -> Any:
    """As lodash's `get`: the key itself, else a way through objects and lists, `photos[0].url`."""
    if path in data:
        return data[path]
    found: Any = data
    for step in re.findall(r"[^.[\]]+", path):
        if isinstance(found, list) and step.isdecimal() and len(step) < 10 and int(step) < len(found):
            found = found[int(step)]
        elif isinstance(found, Mapping) and step in found:
            found = found[step]
        else:
            return None
    return found


def _as_text(data: Mapping[str, Any], path: str) -> str:
    found = _looked_up(data, path)
    if not isinstance(found, str | int):
        raise ImageError(f"the task's data holds no text under {path!r}, of which the image's URL is made")
    return str(found)


class _BoundedBuilder(TreeBuilder):
    """Builds the tree of a configuration, not of an attack."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = self._tags = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        self._depth += 1
        self._tags += 1
        if self._depth > DEEPEST or self._tags > MOST_TAGS:
            raise LabelingConfigError(
                f"the labeling configuration has more than {DEEPEST} tags inside each other or {MOST_TAGS} in all"
            )
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Element:
        self._depth -= 1
        return super().end(tag)


def parse(xml: str) -> LabelingConfig:
    """Read the tags. DTDs, entities, and what is far larger than any configuration are refused.

    Raises:
        LabelingConfigError: not XML, or XML that could be an attack.
    """
    if len(xml) > LONGEST_XML:
        raise LabelingConfigError(f"the labeling configuration is longer than {LONGEST_XML} characters")
    parser = DefusedXMLParser(target=_BoundedBuilder(), forbid_dtd=True)
    try:
        parser.feed(xml)
        root = parser.close()
    except ParseError as error:
        raise LabelingConfigError(f"the labeling configuration is not well-formed XML: {error}") from None
    except (DefusedXmlException, ValueError):
        raise LabelingConfigError(
            "the labeling configuration declares a DTD or entities, which are refused; remove them"
        ) from None
    elements = [
        (str(element.tag).lower(), {name.lower(): value for name, value in element.attrib.items()}, element)
        for element in root.iter()
    ]
    images = tuple(_image(attributes) for kind, attributes, _ in elements if kind == "image")
    is_alone = len(images) == 1 and not any(kind in OTHER_OBJECTS for kind, _, _ in elements)
    only = images[0].name if is_alone else ""
    controls = (_control(kind, attributes, element, only) for kind, attributes, element in elements if kind in CONTROLS)
    return LabelingConfig(images, tuple(controls))


@lru_cache(maxsize=64)
def parse_cached(xml: str) -> LabelingConfig:
    """`parse`, remembered: the same configuration comes with every click. What cannot be read is not remembered."""
    return parse(xml)


def _image(attributes: Mapping[str, str]) -> ImageTag:
    # As in the editor, a valueList wins over a value (tags/object/MultiItemObjectBase.js).
    is_list = "valuelist" in attributes
    return ImageTag(attributes.get("name", ""), attributes.get("valuelist" if is_list else "value", ""), is_list)


def _control(kind: str, attributes: Mapping[str, str], element: Element, only: str) -> ControlTag:
    labels, values = set(), set()
    for child in element.iter():
        if str(child.tag).lower() == "label":
            given = {name.lower(): value for name, value in child.attrib.items()}
            value = given.get("value", "")
            labels.add(given.get("alias") or value)
            values.add(value)
    return ControlTag(
        kind=kind,
        name=attributes.get("name", ""),
        to_names=tuple(name.strip() for name in (attributes.get("toname") or only).split(",")),
        labels=None if attributes.get("value", "").startswith("$") else frozenset(labels - {""}),
        # Label Studio's editor takes a missing `smart` as true (libs/editor, tags/control/Base.js).
        smart=attributes.get("smart", "true").lower() != "false",
        values=frozenset(values - {""}),
        allows_empty=attributes.get("allowempty", "").lower() == "true",
    )
